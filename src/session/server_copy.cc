// COPY FROM STDIN, in which the server ignores Sync and Flush: which Syncs it has ignored, so that
// nobody waits for their replies. What is said here of Syncs is true of a Flush with a body too,
// which is an error anywhere else.
//
// A Sync that comes before the first CopyData was surely ignored, if the COPY has begun at all; one
// after CopyDone or CopyFail surely was not. One that comes between is answered only if the data
// before it was refused, of which we learn later. So such a Sync is kept back until the client
// shows that it goes on with the COPY, or that it does not, or an error shows that the Sync is
// wanted.
//
// Protocol: PostgreSQL documentation, "COPY Operations".
#include "session/client.h"
#include "session/server.h"
#include "wire/message_writer.h"

namespace doorman::session {

namespace {

constexpr std::size_t kMostHeld = 16;  // more are taken for eaten

}  // namespace

// In the queue one mark stands for all CopyData since the message before.
void ServerSession::copy_data_sent() {
  if (replies_.empty()) return;
  drop_held();
  if (last_awaits() == Awaits::CopyData) return;
  replies_.push({.awaits = Awaits::CopyData, .deliver = Deliver::Swallow});
  // Whether there is a COPY shows with the answer to what was asked before.
  if (copy_is_unclear()) host_->to_server.add_copy(wire::empty_message('H'));
}

void ServerSession::copy_end_sent() {
  if (replies_.empty()) return;
  drop_held();
  replies_.push({.awaits = Awaits::CopyEnd, .deliver = Deliver::Swallow});
}

// CopyData was the last that was sent, and not known is whether a COPY takes it.
bool ServerSession::copy_is_unclear() const {
  if (replies_.empty() || !is_copy_data(last_awaits())) return false;
  if (!copying_in_) return true;
  for (std::size_t i = 1; i < replies_.size(); ++i) {
    const Awaits each = replies_.at(i).awaits;
    if (!is_eaten(each) && !is_copy_data(each)) return true;
  }
  return false;
}

bool ServerSession::hold(Awaits what) {
  if (replies_.empty() || !is_copy_data(last_awaits())) return false;
  if (held() < kMostHeld) replies_.push({.awaits = what, .deliver = Deliver::Swallow});
  return true;
}

// What the client says next is no part of a COPY: it expects the Syncs to have ended that.
void ServerSession::send_held() {
  if (replies_.empty() || !is_held(last_awaits())) return;
  const std::size_t count = held();
  std::vector<Awaits> kept;
  for (std::size_t i = replies_.size() - count; i < replies_.size(); ++i) {
    kept.push_back(replies_.at(i).awaits);
  }
  drop_held();
  for (const Awaits each : kept) host_->to_server.add_copy(bytes_of(expect_held(each)));
}

// An error has ended the COPY: the client waits for the answers to what was kept back.
void ServerSession::send_wanted(const std::vector<Awaits>& held) {
  for (const Awaits each : held) {
    if (client_ == nullptr) return;
    if (each == Awaits::HeldFlush && skipping_) continue;  // so would the server
    if (!stream_.write(bytes_of(expect_held(each)))) stream_.want_read(true);
  }
}

// The message that is sent at last.
std::string ServerSession::expect_held(Awaits held) {
  const bool sync = held == Awaits::HeldSync;
  expect({.awaits = sync ? Awaits::Sync : Awaits::WrongFlush, .deliver = Deliver::Forward});
  return sync ? wire::sync() : wire::MessageWriter().begin('H').byte('\0').end().take();
}

std::size_t ServerSession::held() const {
  std::size_t count = 0;
  while (count < replies_.size() && is_held(replies_.at(replies_.size() - 1 - count).awaits)) {
    ++count;
  }
  return count;
}

void ServerSession::drop_held() {
  const std::size_t count = held();
  if (count > 0) replies_.erase(replies_.size() - count, count);
}

// A COPY has ended. With `with_next`, the first other message was taken for an error and is gone
// as well. Returns what is wanted of that which was kept back.
std::vector<Awaits> ServerSession::forget_eaten(bool with_next) {
  const auto next_is = [&](bool (*kind)(Awaits)) {
    return replies_.size() > 1 && kind(replies_.at(1).awaits);
  };
  while (next_is(is_eaten)) {
    const Reply& next = replies_.at(1);
    if (next.awaits == Awaits::Sync && next.deliver == Deliver::Forward) --ready_pending_;
    replies_.erase(1, 1);
  }
  if (next_is([](Awaits each) { return each == Awaits::CopyData; })) replies_.erase(1, 1);
  std::vector<Awaits> kept;
  while (next_is(is_held)) {
    kept.push_back(replies_.at(1).awaits);
    replies_.erase(1, 1);
  }
  if (next_is([](Awaits each) { return each == Awaits::CopyEnd; })) {
    replies_.erase(1, 1);
  } else if (with_next && replies_.size() > 1) {
    if (replies_.at(1).awaits == Awaits::Query) --ready_pending_;
    undo(replies_.at(1), 1, statements_settled_);
    replies_.erase(1, 1);
  }
  return kept;
}

}  // namespace doorman::session
