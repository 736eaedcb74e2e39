// LISTEN in transaction mode: the servers' side. One hands over to a hub what it listens to for its
// client; another one is a hub's ear.
//
// Protocol: PostgreSQL documentation, "Asynchronous Operations"; SQL commands LISTEN, NOTIFY.
#include "base/log.h"
#include "session/client.h"
#include "session/client_listening.h"
#include "session/handover.h"
#include "session/server.h"
#include "wire/error_response.h"
#include "wire/message_reader.h"
#include "wire/message_writer.h"

namespace doorman::session {

namespace {

constexpr std::size_t kMaxChannels = 10'000;  // of one client
constexpr int kMaxQuestions = 3;              // the client's own cancel request may have hit one

pool::ServerLimits limits_of(const PoolPart& part) {
  const pool::Limits& limits = part.pool.limits;
  return {.pool = limits.pool_size,
          .database = limits.max_db_connections,
          .user = limits.max_user_connections};
}

}  // namespace

// A ReadyForQuery is about to go to the client. True: it waits until a hub listens to what the
// client has said that it listens to, or has heard what it notified.
bool ServerSession::holds_ready() {
  if (part_->settings.pool_mode == config::PoolMode::Session) return false;
  ClientListening* listening = client_->listening();
  if (listening != nullptr) listening->transaction.ready(status_);
  if (status_ != 'I') return false;
  const bool last = replies_.empty() && client_->between_messages();
  if ((dirt_ & dirt::kListens) != 0) {
    if (!last) return false;  // its own connection goes on listening for it
    handover_ = std::make_unique<Handover>();
    handover_->since = host_->now();
    client_->begin_listening(client_->client_encoding());
    client_->wait_for_channels();
    ask_channels();
    return true;
  }
  if (listening == nullptr) return false;
  const bool notified = listening->transaction.notified();
  client_->unlisten({});
  listening->transaction.taken();
  if (last && notified && !listening->channels.empty() &&
      listening->hub().set_mark(*listening->subscriber)) {
    handover_ = std::make_unique<Handover>();
    handover_->since = host_->now();
    handover_->phase = Handover::Phase::Notes;
    client_->wait_for_channels();
    return true;
  }
  client_->tell_notifications();
  client_->forget_no_channels();
  return false;
}

void ServerSession::ask_channels() {
  handover_->failed = false;
  handover_->channels.clear();
  ++handover_->questions;
  replies_.push({.awaits = Awaits::Query, .deliver = Deliver::Swallow});
  statements_.set_unnamed(ServerStatements::Unnamed::None);
  const std::string sql = "SELECT pg_catalog.pg_listening_channels(); LISTEN \"" +
                          client_->listening()->hub().mark_channel + "\"";
  if (!stream_.write(bytes_of(wire::query(sql)))) {
    fail(wire::sqlstate::kConnectionFailure, "server closed the connection unexpectedly");
  }
}

void ServerSession::hand_over_again() {
  handover_ = std::make_unique<Handover>();
  handover_->since = host_->now();
  handover_->failed = true;
}

void ServerSession::ask_again() {
  client_->begin_listening(client_->client_encoding());
  if (replies_.empty()) ask_channels();  // else the last question is still to be answered
}

void ServerSession::take_channel(Bytes row) {
  wire::MessageReader reader(row.subspan(wire::kHeaderSize));
  if (reader.u16() != 1) return;
  const std::string_view name = reader.raw(reader.u32());
  if (!reader.failed()) handover_->channels.emplace_back(name);
}

void ServerSession::channels_known() {
  if (handover_->failed && handover_->questions < kMaxQuestions) {
    ask_channels();
    return;
  }
  if (handover_->failed) {
    end_handover("the pooler cannot learn which channels are listened to");
    return;
  }
  ClientListening& listening = *client_->listening();
  std::erase_if(handover_->channels, [](const std::string& each) {
    return each.starts_with(ListenHub::kMarkChannels);  // also those of another process
  });
  client_->unlisten(handover_->channels);
  listening.transaction.taken();
  for (const std::string& each : handover_->channels) {
    if (!listening.channels.contains(each)) handover_->added.push_back(each);
  }
  if (handover_->added.empty()) {
    end_handover({});
  } else if (listening.channels.size() + handover_->added.size() > kMaxChannels) {
    end_handover("a client cannot listen to so many channels");
  } else {
    join_hub();
  }
}

void ServerSession::join_hub() {
  handover_->phase = Handover::Phase::Joins;
  handover_->mark_is_here = handover_->mark_is_there = false;
  ClientListening& listening = *client_->listening();
  switch (listening.hub().join(*listening.subscriber, handover_->added, *host_, id_, backend_pid(),
                               limits_of(*part_))) {
    case Joined::AsEar: hand_over_as_ear(); return;
    case Joined::Awaits: handover_->mark = std::to_string(listening.subscriber->mark); return;
    case Joined::NoRoom:
      end_handover("LISTEN needs a server connection of its own: a pool_size of two or more");
      return;
  }
}

// The server itself is the hub's ear from now on: it listens to all that the client wants already.
void ServerSession::hand_over_as_ear() {
  ClientSession& client = *client_;
  ListenHub& hub = client.listening()->hub();
  client.listens_to(handover_->added);
  detach_client();
  become_ear(hub);
  client.released();
  if (client.state() == ClientState::Closing) return;
  host_->to_client.add_copy(wire::ready_for_query('I'));
  client.write_gathered();
}

void ServerSession::hub_has_news() {
  if (!handover_ || handover_->phase == Handover::Phase::Asks) return;
  const InDoubt doubt(*slot_);
  ClientListening& listening = *client_->listening();
  switch (listening.hub().mark(*listening.subscriber)) {
    case Mark::Pending: return;
    case Mark::Reached: handover_->mark_is_there = true; break;
    case Mark::Lost:
      if (handover_->phase == Handover::Phase::Joins) {
        join_hub();
      } else {
        handover_->mark_is_there = true;  // what is lost with the ear is told as a gap
      }
      break;
  }
  if (client_ != nullptr) end_of_pass();
}

void ServerSession::look_at_marks() {
  if (!handover_->mark_is_there || !framer_.at_boundary()) return;
  if (handover_->phase == Handover::Phase::Joins) {
    if (!handover_->mark_is_here) return;
    client_->listens_to(handover_->added);
  }
  end_handover({});
}

// The client gets its ReadyForQuery, and the server is free for others.
void ServerSession::end_handover(std::string_view error_message) {
  handover_.reset();
  if (!error_message.empty()) {
    host_->to_client.add_copy(wire::error_response(
        wire::Severity::Error, wire::sqlstate::kTooManyConnections, error_message,
        "The transaction is committed, but the client does not listen to what it asked for."));
  }
  client_->tell_notifications();
  host_->to_client.add_copy(wire::ready_for_query('I'));
  client_->channels_ready();
  release_after_pass_ = true;
}

bool ServerSession::on_notification(Bytes message) {
  passing_ = false;
  wire::MessageReader reader(message.subspan(wire::kHeaderSize));
  reader.u32();
  const std::string_view channel = reader.text();
  const std::string_view payload = reader.text();
  if (state_ == ServerState::Listening) {
    if (!reader.failed()) hub_->heard(channel, payload, text_of(message));
    return true;
  }
  note_stray_listen();
  if (client_ == nullptr || adopting_) return true;
  const ClientListening* listening = client_->listening();
  if (handover_ && !reader.failed() && channel == listening->hub().mark_channel) {
    handover_->mark_is_here = handover_->mark_is_here || payload == handover_->mark;
    return true;
  }
  const bool from_hub = listening != nullptr && listening->channels.contains(channel);
  if (from_hub || (handover_ && handover_->mark_is_here)) return true;
  passing_ = true;
  host_->to_client.add(message);
  return true;
}

// A server listens though no tag has said so: a function did. That ends with the client that holds
// it now.
void ServerSession::note_stray_listen() {
  const bool settled = state_ == ServerState::Active || state_ == ServerState::Idle;
  const bool known = (dirt_ & (dirt::kListens | dirt::kAll)) != 0;
  if (!settled || known || part_->settings.pool_mode == config::PoolMode::Session ||
      !cleaning_.empty()) {
    return;
  }
  log(LogLevel::Warning,
      "S-{}: {}/{}: the server listens though nobody has said LISTEN: a function or a DO block "
      "has, "
      "and the pooler cannot know for whom",
      id_, part_->database(), part_->settings.server_user);
  cleaning_.emplace_back("UNLISTEN *");
}

// ---- As an ear --------------------------------------------------------------------------------

void ServerSession::become_ear(ListenHub& hub) {
  enter(ServerState::Listening);
  hub_ = &hub;
  log(LogLevel::Info, "S-{}: {}/{}@{} listens for its pool's clients", id_, part_->database(),
      part_->settings.server_user, address_.text());
  obey_hub();
}

void ServerSession::obey_hub() {
  if (hub_ == nullptr) return;
  const InDoubt doubt(*slot_);
  const ListenHub::Order order = hub_->next_order(id_, replies_.empty());
  if (order.let_go) {
    let_go_of_hub();
  } else if (!order.sql.empty()) {
    if (replies_.empty()) state_since_ = host_->now();
    replies_.push({.awaits = Awaits::Query, .deliver = Deliver::Swallow});
    if (!stream_.write(bytes_of(wire::query(order.sql)))) fail("", "server is gone");
  } else if (replies_.empty()) {
    hub_->answered();
  }
}

void ServerSession::let_go_of_hub() {
  hub_ = nullptr;
  dirt_ |= dirt::kListens;
  clean();
}

// Neither waits for ever for what does not answer.
void ServerSession::tick_listening(Instant now) {
  const Duration limit = host_->settings().server_connect_timeout;
  if (limit == Duration::zero()) return;
  if (state_ == ServerState::Listening && !replies_.empty() && now - state_since_ >= limit) {
    fail("", "the connection that listens does not answer");
  } else if (handover_ && now - handover_->since >= 2 * limit) {
    client_->fail(wire::sqlstate::kConnectionFailure,
                  "the pooler's connection that listens does not answer");
  }
}

}  // namespace doorman::session
