// LISTEN in transaction mode: the client's side.
#include "session/client_listening.h"

#include <algorithm>

#include "session/client.h"
#include "session/live.h"
#include "session/server.h"
#include "wire/error_response.h"
#include "wire/message_reader.h"

namespace doorman::session {

namespace {

constexpr std::size_t kAtOnce = std::size_t{64} * 1024;

std::string notification(std::uint32_t pid, std::string_view channel) {
  return wire::MessageWriter().begin('A').u32(pid).text(channel).text("").end().take();
}

// What a client is told of a gap.
std::string gap(const ClientListening& listening, bool notify_channels) {
  std::string out = wire::error_response(
      wire::Severity::Notice, "01000", "notifications may have been lost",
      "The pooler's connection that listens was interrupted, or the client did not read in time.");
  if (!notify_channels) return out;
  for (const std::string& each : listening.channels) {
    out += notification(listening.hub().pid(), each);
  }
  return out;
}

}  // namespace

Channels ClientListening::unlisten(const std::vector<std::string>& listened_anew) {
  Channels gone;
  const auto drop = [&](const std::string& channel) {
    const bool anew =
        std::find(listened_anew.begin(), listened_anew.end(), channel) != listened_anew.end();
    if (!anew && channels.contains(channel)) gone.insert(channel);
  };
  for (const std::string& each : transaction.unlistened()) drop(each);
  if (transaction.unlistens_all()) {
    for (const std::string& each : channels) drop(each);
  }
  if (gone.empty()) return gone;
  for (const std::string& each : gone) channels.erase(each);
  hub_.unlisten(*subscriber, gone);
  return gone;
}

ClientListening& ClientSession::begin_listening(std::string_view client_encoding) {
  if (!listening_) {
    ListenHub& hub = host_->shared.listens.hub(part_->pool.shared(), client_encoding);
    const std::size_t most = host_->settings().listen_queue_size;
    listening_ = std::make_unique<ClientListening>(hub, hub.enter(*host_, id_, most));
  }
  return *listening_;
}

const std::string& ClientSession::client_encoding() const {
  static const std::string usual = "UTF8";
  const std::string* reported = parameters_->find("client_encoding");
  return reported != nullptr ? *reported : usual;
}

wire::SqlDialect ClientSession::dialect() const {
  const std::string* strings = parameters_->find("standard_conforming_strings");
  return wire::SqlDialect::of(client_encoding(), strings == nullptr || *strings != "off");
}

// A query that has not arrived whole is too long to be looked at.
ListenStepsRef ClientSession::steps_of_query(const wire::Header& header, Bytes input) const {
  if (header.type != 'Q' || input.size() < header.total()) return nullptr;
  wire::MessageReader reader(input.subspan(wire::kHeaderSize, header.total() - wire::kHeaderSize));
  return listen_steps(reader.text(), dialect());
}

void ClientSession::listens_to(const std::vector<std::string>& added) {
  const Channels channels(added.begin(), added.end());
  listening_->channels.insert(channels.begin(), channels.end());
  if (host_->live != nullptr) host_->live->channels_added(*this, channels);
}

void ClientSession::unlisten(const std::vector<std::string>& listened_anew) {
  const Channels gone = listening_->unlisten(listened_anew);
  if (host_->live != nullptr && !gone.empty()) host_->live->channels_removed(*this, gone);
}

void ClientSession::wait_for_channels() { enter(ClientState::Preparing); }

void ClientSession::forget_no_channels() {
  if (listening_ && listening_->channels.empty()) listening_.reset();
}

void ClientSession::channels_ready() {
  forget_no_channels();
  enter(ClientState::Active);
  if (inbox_) host_->wake(*this);
}

void ClientSession::notified() {
  if (!listening_) return;
  const InDoubt doubt(*slot_);
  listening_->hub().is_awake(*listening_->subscriber);
  if (server_ == nullptr) {
    tell_now();
  } else {
    server_->hub_has_news();
  }
  note_pending();
}

// A client that does not read gets the rest when it does.
void ClientSession::tell_notifications() {
  if (!listening_ || output_blocked()) return;
  if (!listening_->subscriber->has_news.load(std::memory_order_relaxed)) return;
  for (const NotificationRef& each : listening_->hub().take(*listening_->subscriber, kAtOnce)) {
    host_->to_client.add_copy(each ? *each : gap(*listening_, host_->settings().listen_gap_notify));
  }
}

// To a client that holds no server.
void ClientSession::tell_now() {
  while (state_ != ClientState::Closing && !output_blocked()) {
    tell_notifications();
    if (host_->to_client.empty() || !write_gathered()) return;
  }
}

}  // namespace doorman::session
