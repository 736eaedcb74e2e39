// A hub's ear: what it is told to listen to, what it hears, and where the next one comes from.
#include <algorithm>

#include "session/host.h"
#include "session/listen.h"
#include "session/pool_part.h"
#include "session/server.h"

namespace doorman::session {

namespace {

std::string quoted(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out.push_back('"');
    out.push_back(c);
  }
  return out + "\"";
}

}  // namespace

void ListenHub::tell_ear_locked() {
  if (ear_ == 0 || std::exchange(ear_told_, true)) return;
  ear_host_->post([host = ear_host_, id = ear_] {
    if (ServerSession* server = host->find_server(id)) server->obey_hub();
  });
}

ListenHub::Order ListenHub::next_order(std::uint64_t server, bool quiet) {
  const std::scoped_lock lock(mutex_);
  Order order;
  if (server != ear_) return order;
  ear_told_ = false;
  const auto say = [&order](std::string_view verb, std::string_view channel) {
    order.sql.append(verb).append(quoted(channel)).append(";");
  };
  if (std::exchange(ear_is_new_, false)) {
    say("SET client_encoding = ", encoding);
    say("LISTEN ", mark_channel);
  }
  for (const std::string& each : std::exchange(changed_, {})) {
    const auto found = channels_.find(each);
    if (found == channels_.end()) continue;
    const bool wanted = !found->second.places.empty();
    if (wanted != found->second.heard) say(wanted ? "LISTEN " : "UNLISTEN ", each);
    found->second.heard = wanted;
    if (!wanted) channels_.erase(found);
  }
  for (const std::uint64_t each : std::exchange(unset_marks_, {})) {
    order.sql += "NOTIFY " + quoted(mark_channel) + ",'" + std::to_string(each) + "';";
  }
  if (channels_.empty() && order.sql.find("NOTIFY") == std::string::npos) {
    if (!quiet) return order;
    order = {.sql = {}, .let_go = true};
    ear_ = 0;
    ear_host_ = nullptr;
    has_ear_ = false;
    catching_up_ = false;
    return order;
  }
  if (std::exchange(catching_up_, false)) {
    for (auto& [subscriber, ref] : subscribers_) {
      if (std::exchange(subscriber->missed, false)) to_tell_.push_back(subscriber);
    }
  }
  return order;
}

void ListenHub::heard(std::string_view channel, std::string_view payload,
                      std::string_view message) {
  const std::scoped_lock lock(mutex_);
  if (channel == mark_channel) {
    for (auto& [subscriber, ref] : subscribers_) {
      if (subscriber->awaits == 0 || std::to_string(subscriber->awaits) != payload) continue;
      for (const std::string& each : std::exchange(subscriber->joining, {})) {
        for (Place& place : channels_[each].places) {
          if (place.subscriber == subscriber) place.open = true;
        }
        subscriber->channels.insert(each);
      }
      subscriber->awaits = 0;
      wake_locked(*subscriber);
      return;
    }
    return;
  }
  const auto found = channels_.find(std::string(channel));
  if (found == channels_.end()) return;
  const auto notification = std::make_shared<const std::string>(message);
  for (const Place& place : found->second.places) {
    if (!place.open) continue;
    queue_locked(*place.subscriber, notification);
    wake_locked(*place.subscriber);
  }
}

void ListenHub::answered() {
  const std::scoped_lock lock(mutex_);
  for (Subscriber* each : std::exchange(to_tell_, {})) {
    queue_locked(*each, nullptr);
    wake_locked(*each);
  }
}

void ListenHub::lost(std::uint64_t server) {
  const std::scoped_lock lock(mutex_);
  if (server != ear_) return;
  ear_ = 0;
  ear_host_ = nullptr;
  has_ear_ = false;
  unset_marks_.clear();
  fruitless_at_ = catching_up_ || !to_tell_.empty() ? clock_now() : Instant();
  to_tell_.clear();
  for (auto& [subscriber, ref] : subscribers_) {
    subscriber->missed = !subscriber->channels.empty();
    if (subscriber->awaits == 0) continue;
    stop_joining_locked(*subscriber);
    subscriber->lost = true;
    wake_locked(*subscriber);
  }
  changed_.clear();
  for (auto& [name, channel] : channels_) {
    channel.heard = false;
    changed_.push_back(name);
  }
  seek_if_needed_locked();
}

void ListenHub::become_ear_locked(Host& host, std::uint64_t server, std::uint32_t pid) {
  ear_host_ = &host;
  ear_ = server;
  pid_ = pid;
  has_ear_ = true;
  ear_told_ = false;
  catching_up_ = true;
  seek_if_needed_locked();
}

// ---- A new ear --------------------------------------------------------------------------------

void ListenHub::seek_if_needed_locked() {
  const bool listened = std::any_of(channels_.begin(), channels_.end(),
                                    [](const auto& each) { return !each.second.places.empty(); });
  const bool wanted = ear_ == 0 && listened;
  if (seeks_.exchange(wanted) != wanted) hubs_.seeking_ += wanted ? 1 : -1;
}

void ListenHub::seek(PoolPart& part) {
  const Instant now = part.host.now();
  if (part.removed || part.pool.paused()) return;
  {
    const std::scoped_lock lock(mutex_);
    const Duration pause = part.host.settings().server_login_retry;
    if (fruitless_at_ != Instant() && now - fruitless_at_ < pause) return;
  }
  if (seeker_.waits.exchange(true)) return;
  seeker_.part = &part;
  part.pool.wait(seeker_, now);
}

bool ListenHub::found(Host& host, std::uint64_t server, std::uint32_t pid) {
  const std::scoped_lock lock(mutex_);
  if (!seeks_) return false;
  become_ear_locked(host, server, pid);
  ear_is_new_ = true;
  return true;
}

void ListenHub::Seeker::served(pool::Server& server) {
  auto& session = static_cast<ServerSession&>(server);
  PoolPart& here = *part;
  waits = false;
  if (hub.found(here.host, session.id(), session.backend_pid())) {
    session.become_ear(hub);
  } else {
    here.pool.add_idle(server, here.host.now());
  }
}

void ListenHub::Seeker::refused(const std::string& /*error_message*/) { waits = false; }

void ListenHub::Seeker::waited_too_long() {
  part->pool.forget(*this);
  waits = false;
}

}  // namespace doorman::session
