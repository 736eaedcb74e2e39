// COPY FROM STDIN, in which the server ignores Sync and Flush: which Syncs it has ignored, so that
// nobody waits for their replies.
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

constexpr std::size_t kMostHeldSyncs = 16;  // more of them are taken for eaten

}  // namespace

// In the queue one mark stands for all CopyData since the message before.
void ServerSession::copy_data_sent() {
  if (replies_.empty()) return;
  drop_held_syncs();
  if (last_awaits() == Awaits::CopyData) return;
  replies_.push({.awaits = Awaits::CopyData, .deliver = Deliver::Swallow});
  // Whether there is a COPY shows with the answer to what was asked before.
  if (copy_is_unclear()) host_->to_server.add_copy(wire::empty_message('H'));
}

void ServerSession::copy_end_sent() {
  if (replies_.empty()) return;
  drop_held_syncs();
  replies_.push({.awaits = Awaits::CopyEnd, .deliver = Deliver::Swallow});
}

// CopyData was the last that was sent, and not known is whether a COPY takes it.
bool ServerSession::copy_is_unclear() const {
  if (replies_.empty() || !is_copy_data(last_awaits())) return false;
  if (!copying_in_) return true;
  for (std::size_t i = 1; i < replies_.size(); ++i) {
    const Awaits each = replies_.at(i).awaits;
    if (each != Awaits::Sync && !is_copy_data(each)) return true;
  }
  return false;
}

bool ServerSession::hold_sync() {
  if (replies_.empty() || !is_copy_data(last_awaits())) return false;
  if (held_syncs() < kMostHeldSyncs) {
    replies_.push({.awaits = Awaits::HeldSync, .deliver = Deliver::Swallow});
  }
  return true;
}

// What the client says next is no part of a COPY: it expects the Syncs to have ended that.
void ServerSession::send_held_syncs() {
  const std::size_t count = held_syncs();
  drop_held_syncs();
  for (std::size_t i = 0; i < count; ++i) {
    host_->to_server.add_copy(wire::empty_message('S'));
    expect({.awaits = Awaits::Sync, .deliver = Deliver::Forward});
  }
}

std::size_t ServerSession::held_syncs() const {
  std::size_t count = 0;
  while (count < replies_.size() &&
         replies_.at(replies_.size() - 1 - count).awaits == Awaits::HeldSync) {
    ++count;
  }
  return count;
}

void ServerSession::drop_held_syncs() {
  const std::size_t count = held_syncs();
  if (count > 0) replies_.erase(replies_.size() - count, count);
}

// A COPY has ended. With `with_next`, the first other message was taken for an error and is gone
// as well. Returns how many Syncs are wanted that were kept back.
std::size_t ServerSession::forget_eaten_syncs(bool with_next) {
  const auto next_is = [&](Awaits awaits) {
    return replies_.size() > 1 && replies_.at(1).awaits == awaits;
  };
  while (next_is(Awaits::Sync)) {
    if (replies_.at(1).deliver == Deliver::Forward) --ready_pending_;
    replies_.erase(1, 1);
  }
  if (next_is(Awaits::CopyData)) replies_.erase(1, 1);
  std::size_t held = 0;
  for (; next_is(Awaits::HeldSync); ++held) replies_.erase(1, 1);
  if (next_is(Awaits::CopyEnd)) {
    replies_.erase(1, 1);
  } else if (with_next && replies_.size() > 1) {
    if (replies_.at(1).awaits == Awaits::Query) --ready_pending_;
    undo(replies_.at(1), 1, statements_settled_);
    replies_.erase(1, 1);
  }
  return held;
}

}  // namespace doorman::session
