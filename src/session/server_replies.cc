// What a server says, matched with what it was asked: the reply queue at work.
//
// Protocol: PostgreSQL documentation, "Message Flow", "Extended Query", "COPY Operations" and
// "Asynchronous Operations".
#include "base/log.h"
#include "session/client.h"
#include "session/client_listening.h"
#include "session/handover.h"
#include "session/server.h"
#include "session/server_login.h"
#include "wire/error_response.h"
#include "wire/message_reader.h"
#include "wire/message_writer.h"

namespace doorman::session {

namespace {

Bytes body_of(Bytes message) { return message.subspan(wire::kHeaderSize); }

}  // namespace

// Takes one message, or the beginning of a streamed one. False: the session has ended.
bool ServerSession::take_message(const wire::Header& header, Bytes message) {
  switch (header.type) {
    case '1': pass_on(message); return completed(Awaits::Parse);
    case '2': pass_on(message); return completed(Awaits::Bind);
    case '3': pass_on(message); return completed(Awaits::Close);
    case 'n': pass_on(message); return completed(Awaits::Describe);
    case 's':
    case 'I': pass_on(message); return completed(Awaits::Execute, /*part_of_query=*/true);
    case 'C':
      pass_on(message);
      note_command_complete(message);
      return completed(Awaits::Execute, /*part_of_query=*/true);
    case 'T':
      pass_on(message);
      return !framer_.at_boundary() || completed(Awaits::Describe, /*part_of_query=*/true);
    case 'D':
      pass_on(message);
      if (handover_) take_channel(message);
      return true;
    case 'd':
    case 't':
    case 'c':
    case 'H':
    case 'V':
    case 'W': pass_on(message); return true;
    case 'G':
      copying_in_ = true;
      pass_on(message);
      if (orphaned_) orphan_is_quiet();
      return state_ != ServerState::Closing;
    case 'E': return on_error(message);
    case 'Z': return on_ready(message);
    case 'S': return on_parameter_status(message);
    case 'A': return on_notification(message);
    case 'N':
      // What the client has not sent, it is not warned of.
      passing_ = client_ != nullptr && !adopting_ &&
                 (replies_.empty() || replies_.front().awaits != Awaits::Parse ||
                  replies_.front().deliver != Deliver::Swallow);
      if (passing_) host_->to_client.add(message);
      return true;
    default: return unexpected(header.type);
  }
}

bool ServerSession::unexpected(char type) {
  fail(wire::sqlstate::kProtocolViolation,
       std::string("the server sent an unexpected message of type ") + type);
  return false;
}

// To the client, if the front of the queue says so.
void ServerSession::pass_on(Bytes message) {
  passing_ =
      client_ != nullptr && !replies_.empty() && replies_.front().deliver == Deliver::Forward;
  if (passing_) host_->to_client.add(message);
}

// The front of the queue has its last reply; in a Query, what is `part_of_query` is not the last.
bool ServerSession::completed(Awaits awaited, bool part_of_query) {
  if (replies_.empty() || replies_.front().awaits != awaited) [[unlikely]] {
    if (part_of_query && !replies_.empty() && replies_.front().awaits == Awaits::Query) return true;
    fail(wire::sqlstate::kProtocolViolation, "the server answered what it was not asked");
    return false;
  }
  drop(replies_.front());
  advance();
  return true;
}

// Gives the answers of our own whose turn has come.
void ServerSession::answer_ourselves() {
  while (!replies_.empty()) {
    Reply& next = replies_.front();
    if (is_of_copy(next.awaits)) {
      replies_.pop();
      continue;
    }
    if (next.deliver != Deliver::Local) return;
    const char type = next.awaits == Awaits::Parse ? '1' : '3';
    if (client_ != nullptr) host_->to_client.add_copy(wire::empty_message(type));
    drop(next);
  }
}

void ServerSession::note_command_complete(Bytes message) {
  if (passing_ && client_->listening() != nullptr) {
    wire::MessageReader reader(body_of(message));
    const Reply& front = replies_.front();
    client_->listening()->transaction.completed(reader.text(), front.listens.get(),
                                                front.awaits == Awaits::Query);
  }
  note_tag(text_of(body_of(message)));
  if (copying_in_) {
    copying_in_ = false;
    forget_eaten(/*with_next=*/false);
  }
}

// What a command may leave behind in the session, as far as its tag tells.
void ServerSession::note_tag(std::string_view tag) {
  if (!tag.empty() && tag.back() == '\0') tag.remove_suffix(1);
  const bool ours = !replies_.empty() && replies_.front().deliver == Deliver::Swallow;
  const bool told = !replies_.empty() && replies_.front().sql;
  if (told) end_sql(tag);
  if (ours && tag != "DEALLOCATE ALL" && tag != "DISCARD ALL") return;
  switch (tag.empty() ? '\0' : tag[0]) {
    case 'S':
      if (tag == "SET") ++set_tags_;
      return;
    case 'R':
      if (tag == "RESET") dirt_ |= dirt::kSettings;
      return;
    case 'D':
      if (tag == "DECLARE CURSOR") dirt_ |= dirt::kCursors;
      if (tag == "DEALLOCATE ALL" || tag == "DISCARD ALL") {
        statements_.clear();
        if (client_ != nullptr) client_->statements().clear();
      }
      if (tag == "DISCARD ALL") set_parameters_to_default();
      return;
    case 'L':
      if (tag == "LISTEN") dirt_ |= dirt::kListens;
      return;
    case 'P':
      if (tag == "PREPARE" && !told) dirt_ |= dirt::kPrepared;
      return;
    default: return;
  }
}

bool ServerSession::on_error(Bytes message) {
  const Bytes body = body_of(message);
  if (replies_.empty()) {  // the server ends the session, or says so to one that does nothing
    if (client_ == nullptr) {
      fail("", wire::error_field(body, 'M'));
      return false;
    }
    passing_ = true;
    host_->to_client.add(message);
    return true;
  }
  const std::string_view severity = wire::error_field(body, 'V');
  ended_ = ended_ || severity == "FATAL" || severity == "PANIC";
  Reply& front = replies_.front();
  const bool swallowed = front.deliver == Deliver::Swallow;
  if (swallowed && adopting_) return on_refused_parameters(body);
  if (swallowed && handover_ && !ended_) {  // asked again at its ReadyForQuery
    handover_->failed = true;
    passing_ = false;
    return true;
  }
  if (state_ == ServerState::Listening) {
    fail("", wire::error_field(body, 'M'));
    return false;
  }
  if (swallowed && state_ == ServerState::Cleaning && !orphaned_) {
    if (runs_connect_query_ && !ended_) {  // the operator's, and no reason to refuse everybody
      log(LogLevel::Warning, "S-{}: {}/{}: connect_query failed: {}", id_, part_->database(),
          part_->settings.server_user, wire::error_field(body, 'M'));
      passing_ = false;
      return true;
    }
    fail("", "cleaning failed: " + std::string(wire::error_field(body, 'M')));
    return false;
  }
  if (heal(front, body)) return true;
  passing_ = client_ != nullptr && front.deliver != Deliver::Refuse;
  if (passing_ && !pass_renamed(front, message)) host_->to_client.add(message);
  if (front.deliver == Deliver::Refuse) refuse(front);
  if (client_ != nullptr && client_->listening() != nullptr) {
    client_->listening()->transaction.failed();
  }
  const bool copy_was_on = std::exchange(copying_in_, false);
  const bool not_copy_data =
      copy_was_on && wire::error_field(body, 'C') == wire::sqlstate::kProtocolViolation;
  if (front.awaits == Awaits::Sync) return true;
  const auto held = copy_was_on ? forget_eaten(/*with_next=*/not_copy_data) : std::vector<Awaits>();
  if (front.awaits != Awaits::Query) {
    const bool ends_query = own_names_put_before_query();
    skip_to_sync();
    if (ends_query && client_ != nullptr) {  // what PostgreSQL says behind an error of a Query
      expect_for_client(Awaits::Sync);
      if (!stream_.write(bytes_of(wire::sync()))) stream_.want_read(true);  // and so learns why
    }
  }
  send_wanted(held);
  if (orphaned_ && skipping_) orphan_is_quiet();
  return state_ != ServerState::Closing;
}

// The server does not take the client's parameters. A client that waits for that leaves, and the
// server is as it was; one whose query is on its way already takes the server with it.
bool ServerSession::on_refused_parameters(Bytes body) {
  ClientSession* client = client_;
  if (client == nullptr) {  // it has left meanwhile
    skip_to_sync();
    parameters_ = parameters_before_;
    return true;
  }
  const std::string error = wire::as_fatal(body);
  if (client->state() == ClientState::Preparing && !ended_) {
    skip_to_sync();
    parameters_ = parameters_before_;
    detach_client();
  }
  client->refused_parameters(error, /*with_server=*/client_ != nullptr);
  return state_ != ServerState::Closing;
}

// An error in the extended protocol: the server ignores everything up to the next Sync, so what
// stands in the queue before it gets no reply and has had no effect.
void ServerSession::skip_to_sync() {
  std::size_t end = 0;
  while (end < replies_.size() && replies_.at(end).awaits != Awaits::Sync) {
    if (replies_.at(end).awaits == Awaits::Query && replies_.at(end).deliver == Deliver::Forward) {
      --ready_pending_;
    }
    ++end;
  }
  skipping_ = end == replies_.size();
  const std::uint32_t settled = statements_settled_;
  for (std::size_t i = end; i > 0; --i) undo(replies_.at(i - 1), i - 1, settled);  // last one first
  replies_.erase(0, end);
}

bool ServerSession::on_ready(Bytes message) {
  if (replies_.empty() || message.size() != 6 ||
      (replies_.front().awaits != Awaits::Query && replies_.front().awaits != Awaits::Sync)) {
    return unexpected('Z');
  }
  const Deliver deliver = replies_.front().deliver;
  status_ = std::to_integer<char>(message[5]);
  slot_->transaction.store(static_cast<std::uint8_t>(status_), std::memory_order_release);
  if (set_tags_ > 0 && (set_tags_ > 1 || tracked_changes_ != 1)) dirt_ |= dirt::kSettings;
  set_tags_ = tracked_changes_ = 0;
  copying_in_ = false;
  executed_ = false;
  if (deliver == Deliver::Swallow) return on_swallowed_ready();
  --ready_pending_;
  drop(replies_.front());
  answered_ = 0;
  if (encoding_changes_ && replies_.empty()) [[unlikely]] {
    batch_encoding_.clear();
    encoding_changes_ = status_ != 'I';
  }
  if (client_ != nullptr) {
    client_->query_ended(status_, /*more=*/!replies_.empty());
    if (holds_ready()) {
      open_batch_ = false;
      return state_ != ServerState::Closing;
    }
    host_->to_client.add(message);
  }
  advance();
  if (orphaned_ && half_message_ && replies_.size() <= 1) {
    orphan_is_quiet();
    return false;
  }
  if (!replies_.empty()) return true;
  open_batch_ = false;
  settings_in_doubt_ = doubt_lasts_;
  if (orphaned_) orphan_is_quiet();
  if (client_ == nullptr) return state_ != ServerState::Closing;
  if (part_->settings.pool_mode == config::PoolMode::Statement && status_ != 'I') {
    client_->fail(wire::sqlstate::kFeatureNotSupported,
                  "transaction blocks not allowed in statement pooling mode");
    return false;
  }
  release_after_pass_ = status_ == 'I';
  if (outdated_ && status_ == 'I' && host_->settings().server_fast_close &&
      part_->settings.pool_mode == config::PoolMode::Session) {
    client_->fail(wire::sqlstate::kAdminShutdown,
                  "the server connection is out of date (server_fast_close)");
    return false;
  }
  return true;
}

bool ServerSession::on_swallowed_ready() {
  drop(replies_.front());
  advance();
  if (healing_) {
    repeat_batch();
    if (client_ != nullptr || state_ == ServerState::Closing) {
      return state_ != ServerState::Closing;
    }
  }
  if (adopting_) {
    adopting_ = false;
    parameters_before_.reset();
    if (orphaned_) {
      if (replies_.empty()) orphan_is_quiet();
    } else if (client_ == nullptr) {
      clean();
    } else {
      client_->parameters_adopted(parameters_);
      if (client_->state() == ClientState::Preparing) client_->prepared();
    }
  } else if (orphaned_) {
    if (replies_.empty()) orphan_is_quiet();
  } else if (handover_) {
    channels_known();
  } else if (state_ == ServerState::Cleaning) {
    next_cleaning();
  } else if (hub_ != nullptr && replies_.empty()) {
    hub_->answered();
    obey_hub();
  }
  return state_ != ServerState::Closing;
}

bool ServerSession::on_parameter_status(Bytes message) {
  wire::MessageReader reader(body_of(message));
  const std::string_view name = reader.text();
  const std::string_view value = reader.text();
  if (reader.failed()) return unexpected('S');
  if (in_unseen_execute()) return true;  // PostgreSQL before 14 tells of each change
  if (part_->tracked(name)) {
    parameters_ = host_->parameters.with(parameters_, name, value);
    part_->accept(name, value, value);
    ++tracked_changes_;
    if (!adopting_ && name == "client_encoding") doubt_encoding();
    if (client_ != nullptr && !adopting_) client_->parameter_changed(name, value);
  }
  if (client_ != nullptr && !adopting_) host_->to_client.add(message);
  return true;
}

}  // namespace doorman::session
