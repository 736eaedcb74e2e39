#include "session/listen.h"

#include <unistd.h>

#include <algorithm>
#include <random>

#include "session/client.h"
#include "session/host.h"
#include "session/pool_part.h"
#include "session/server.h"
#include "wire/framer.h"
#include "wire/message_reader.h"

namespace doorman::session {

namespace {

std::string_view channel_of(std::string_view notification) {
  wire::MessageReader reader(bytes_of(notification).subspan(wire::kHeaderSize));
  reader.u32();
  return reader.text();
}

std::string random_name() {
  std::random_device random;
  return std::string(ListenHub::kMarkChannels) + std::to_string(random()) +
         std::to_string(random());
}

}  // namespace

ListenHub::ListenHub(ListenHubs& hubs, pool::SharedPool& p, std::string e, std::string m)
    : pool(p), encoding(std::move(e)), mark_channel(std::move(m)), hubs_(hubs) {}

SubscriberRef ListenHub::enter(Host& host, std::uint64_t client, std::size_t most_bytes) {
  auto subscriber = std::make_shared<Subscriber>(*this);
  subscriber->host = &host;
  subscriber->client = client;
  subscriber->most_bytes = most_bytes;
  const std::scoped_lock lock(mutex_);
  subscribers_.emplace(subscriber.get(), subscriber);
  return subscriber;
}

Joined ListenHub::join(Subscriber& subscriber, const std::vector<std::string>& channels, Host& host,
                       std::uint64_t server, std::uint32_t pid, const pool::ServerLimits& limits) {
  const std::scoped_lock lock(mutex_);
  stop_joining_locked(subscriber);
  // A handover that begins again may have got further the first time.
  for (const std::string& each : channels) {
    if (subscriber.channels.erase(each) > 0) remove_locked(subscriber, each);
  }
  forget_queued_locked(subscriber, {channels.begin(), channels.end()});
  if (ear_ == 0) {
    if (!hubs_.room_for_ear(pool, limits)) return Joined::NoRoom;
    for (const std::string& each : channels) {
      add_locked(subscriber, each, /*open=*/true);
      subscriber.channels.insert(each);
      channels_[each].heard = true;
    }
    become_ear_locked(host, server, pid);
    return Joined::AsEar;
  }
  for (const std::string& each : channels) add_locked(subscriber, each, /*open=*/false);
  subscriber.joining = channels;
  await_mark_locked(subscriber);
  return Joined::Awaits;
}

bool ListenHub::set_mark(Subscriber& subscriber) {
  const std::scoped_lock lock(mutex_);
  if (ear_ == 0) return false;
  await_mark_locked(subscriber);
  return true;
}

void ListenHub::await_mark_locked(Subscriber& subscriber) {
  subscriber.awaits = subscriber.mark = ++last_mark_;
  subscriber.lost = false;
  unset_marks_.push_back(subscriber.mark);
  tell_ear_locked();
}

Mark ListenHub::mark(Subscriber& subscriber) {
  const std::scoped_lock lock(mutex_);
  if (std::exchange(subscriber.lost, false)) return Mark::Lost;
  return subscriber.awaits == 0 ? Mark::Reached : Mark::Pending;
}

void ListenHub::rejoin(Subscriber& subscriber, const Channels& channels) {
  const std::scoped_lock lock(mutex_);
  for (const std::string& each : channels) {
    add_locked(subscriber, each, /*open=*/true);
    subscriber.channels.insert(each);
  }
  subscriber.missed = catching_up_ = true;
  tell_ear_locked();
  seek_if_needed_locked();
}

void ListenHub::unlisten(Subscriber& subscriber, const Channels& channels) {
  const std::scoped_lock lock(mutex_);
  for (const std::string& each : channels) {
    remove_locked(subscriber, each);
    subscriber.channels.erase(each);
  }
  // What has come since the transaction began is of no interest any more, as in PostgreSQL.
  forget_queued_locked(subscriber, channels);
  tell_ear_locked();
  seek_if_needed_locked();
}

void ListenHub::leave(Subscriber& subscriber) {
  const std::scoped_lock lock(mutex_);
  stop_joining_locked(subscriber);
  for (const std::string& each : subscriber.channels) remove_locked(subscriber, each);
  subscriber.channels.clear();
  subscriber.host = nullptr;
  std::erase(to_tell_, &subscriber);
  subscribers_.erase(&subscriber);
  tell_ear_locked();
  seek_if_needed_locked();
}

void ListenHub::moved(Subscriber& subscriber, Host* host) {
  const std::scoped_lock lock(mutex_);
  subscriber.host = host;
  subscriber.woken = false;
}

void ListenHub::is_awake(Subscriber& subscriber) {
  const std::scoped_lock lock(mutex_);
  subscriber.woken = false;
}

std::vector<NotificationRef> ListenHub::take(Subscriber& subscriber, std::size_t most) {
  std::vector<NotificationRef> taken;
  const std::scoped_lock lock(mutex_);
  std::size_t bytes = 0;
  while (!subscriber.queue.empty() && bytes < most) {
    NotificationRef next = std::move(subscriber.queue.front());
    subscriber.queue.pop_front();
    if (next) bytes += next->size();
    taken.push_back(std::move(next));
  }
  subscriber.queued_bytes -= bytes;
  subscriber.has_news.store(!subscriber.queue.empty(), std::memory_order_relaxed);
  return taken;
}

std::vector<NotificationRef> ListenHub::queued(const Subscriber& subscriber) const {
  const std::scoped_lock lock(mutex_);
  return {subscriber.queue.begin(), subscriber.queue.end()};
}

void ListenHub::queue(Subscriber& subscriber, const NotificationRef& notification) {
  const std::scoped_lock lock(mutex_);
  queue_locked(subscriber, notification);
}

void ListenHub::add_locked(Subscriber& subscriber, const std::string& channel, bool open) {
  Channel& entry = channels_[channel];
  entry.places.push_back({.subscriber = &subscriber, .open = open});
  if (!entry.heard) changed_.push_back(channel);
}

void ListenHub::remove_locked(Subscriber& subscriber, const std::string& channel) {
  const auto found = channels_.find(channel);
  if (found == channels_.end()) return;
  std::vector<Place>& places = found->second.places;
  std::erase_if(places, [&](const Place& each) { return each.subscriber == &subscriber; });
  if (places.empty()) changed_.push_back(channel);
}

void ListenHub::stop_joining_locked(Subscriber& subscriber) {
  for (const std::string& each : subscriber.joining) remove_locked(subscriber, each);
  subscriber.joining.clear();
  subscriber.awaits = 0;
}

void ListenHub::forget_queued_locked(Subscriber& subscriber, const Channels& channels) {
  std::erase_if(subscriber.queue, [&](const NotificationRef& each) {
    const bool gone = each && channels.contains(channel_of(*each));
    if (gone) subscriber.queued_bytes -= each->size();
    return gone;
  });
}

// Who does not read gets a gap instead of more than fits.
void ListenHub::queue_locked(Subscriber& subscriber, const NotificationRef& notification) {
  const std::size_t size = notification ? notification->size() : 0;
  if (size > 0 && subscriber.queued_bytes + size > subscriber.most_bytes) {
    subscriber.queue.clear();
    subscriber.queue.push_back(nullptr);
    subscriber.queued_bytes = 0;
    subscriber.has_news.store(true, std::memory_order_relaxed);
    if (size > subscriber.most_bytes) return;
  }
  if (!notification && !subscriber.queue.empty() && !subscriber.queue.back()) return;
  subscriber.queue.push_back(notification);
  subscriber.queued_bytes += size;
  subscriber.has_news.store(true, std::memory_order_relaxed);
}

void ListenHub::wake_locked(Subscriber& subscriber) {
  if (subscriber.host == nullptr || std::exchange(subscriber.woken, true)) return;
  subscriber.host->post([host = subscriber.host, id = subscriber.client] {
    if (ClientSession* client = host->find_client(id)) client->notified();
  });
}

// ---- All hubs ---------------------------------------------------------------------------------

ListenHubs::ListenHubs() : name_(random_name()) {}

ListenHub& ListenHubs::hub(pool::SharedPool& pool, std::string_view encoding) {
  const std::scoped_lock lock(mutex_);
  auto& found = hubs_[{&pool, std::string(encoding)}];
  if (!found) {
    found = std::make_unique<ListenHub>(*this, pool, std::string(encoding),
                                        name_ + "_" + std::to_string(++next_));
  }
  return *found;
}

void ListenHubs::tick(PoolPart& part) {
  if (seeking_.load(std::memory_order_relaxed) == 0) return;
  std::vector<ListenHub*> seeking;
  {
    const std::scoped_lock lock(mutex_);
    for (auto& [key, hub] : hubs_) {
      if (key.first == &part.pool.shared() && hub->seeks()) seeking.push_back(hub.get());
    }
  }
  for (ListenHub* each : seeking) each->seek(part);
}

// Nobody listens there any more, nor waits for an ear: a hub that is in use has its pool.
void ListenHubs::forget(const pool::SharedPool& pool) {
  const std::scoped_lock lock(mutex_);
  for (auto at = hubs_.lower_bound({&pool, std::string()});
       at != hubs_.end() && at->first.first == &pool;) {
    at = hubs_.erase(at);
  }
}

std::size_t ListenHubs::size() const {
  const std::scoped_lock lock(mutex_);
  return hubs_.size();
}

bool ListenHubs::room_for_ear(const pool::SharedPool& pool, const pool::ServerLimits& limits) {
  int of_pool = 1;
  int of_database = 1;
  int of_user = 1;
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, hub] : hubs_) {
    if (!hub->has_ear()) continue;
    if (&hub->pool == &pool) ++of_pool;
    if (&hub->pool.database == &pool.database) ++of_database;
    if (&hub->pool.user == &pool.user) ++of_user;
  }
  const auto fits = [](int ears, int limit) { return limit <= 0 || ears < limit; };
  return fits(of_pool, limits.pool) && fits(of_database, limits.database) &&
         fits(of_user, limits.user);
}

}  // namespace doorman::session
