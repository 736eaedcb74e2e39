// What a server still owes: one descriptor per message that was sent to it, in order.
//
// The one mechanism for pipelines, injected messages, answers of our own and errors: a descriptor
// says which reply ends it and where that reply goes. Nobody counts expected replies.
//
// Protocol: PostgreSQL documentation, "Message Flow", "Extended Query" and "Pipelining".
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/check.h"
#include "session/listen_steps.h"
#include "session/statements.h"

namespace doorman::session {

enum class Awaits : std::uint8_t {
  Query,     // Query or FunctionCall: everything up to ReadyForQuery
  Parse,     // ParseComplete
  Bind,      // BindComplete
  Describe,  // RowDescription or NoData
  Execute,   // CommandComplete, PortalSuspended or EmptyQueryResponse
  Close,     // CloseComplete
  Sync,      // ReadyForQuery
  // These get no reply, or perhaps none. They are for finding Syncs that a COPY has eaten, see
  // server_copy.cc.
  CopyEnd,   // CopyDone or CopyFail
  CopyData,  // one or more
  HeldSync,  // a Sync that was not sent yet
  // A Flush with a body: an error, but in a COPY it is ignored like any other.
  WrongFlush,
  HeldFlush  // such a one that was not sent yet
};

inline bool is_held(Awaits awaits) {
  return awaits == Awaits::HeldSync || awaits == Awaits::HeldFlush;
}
inline bool is_copy_data(Awaits awaits) {
  return awaits >= Awaits::CopyData && awaits != Awaits::WrongFlush;
}
// What stands in the queue for a COPY only.
inline bool is_of_copy(Awaits awaits) {
  return awaits >= Awaits::CopyEnd && awaits != Awaits::WrongFlush;
}
// What a COPY ignores although it was sent.
inline bool is_eaten(Awaits awaits) {
  return awaits == Awaits::Sync || awaits == Awaits::WrongFlush;
}

enum class Deliver : std::uint8_t {
  Forward,  // the reply goes to the client
  Local,    // nothing was sent; we answer when the turn comes
  Swallow,  // we sent the message, and the client learns nothing of its reply
  Refuse    // we sent a message that must fail, and the client gets an error of our own for it
};

// Why a statement is refused.
enum class Refusal : std::uint8_t { None, TooMany, TooLarge, PoolTooLarge };

struct Reply {
  Awaits awaits = Awaits::Query;
  Deliver deliver = Deliver::Forward;
  Refusal refusal = Refusal::None;
  bool unnamed = false;   // it changes the client's unnamed statement, which was `before`
  bool slot = false;      // it changes the server's unnamed statement
  bool own = false;       // `client_statement` is what a name of the client's own is on the server
  bool own_sql = false;   // and SQL had prepared it
  bool doubtful = false;  // undone, it leaves in doubt whether the server has `statement`
  bool sql = false;       // its SQL concerns names: ServerSession has them
  bool plain = false;     // kept by the queue: nothing is set but what comes first
  bool again = false;     // `unnamed`, and it stays what it was; `before` is not set
  std::uint32_t sequence = 0;  // of those with a `statement`
  // Which statement the server gets (Parse) or loses (Close).
  StatementRef statement = {};
  // Which name the client gets (Parse) or loses (Close), or has used (Bind, Describe).
  ClientStatementRef client_statement = {};
  // Of a Query or an Execute of a client that listens.
  ListenStepsRef listens = {};
  StatementRef before = {};
  StatementRef used = {};  // by Bind or Describe, under our name for it

  // As it is made. Often all references are null already, which is quickly seen.
  void reset() {
    if (statement || client_statement || listens || before || used) {
      *this = {};
      return;
    }
    refusal = Refusal::None;
    unnamed = slot = own = own_sql = doubtful = sql = again = plain = false;
    sequence = 0;
  }

  bool changes_names() const {
    return client_statement && (awaits == Awaits::Parse || awaits == Awaits::Close);
  }

  bool operator==(const Reply&) const = default;
};

class ReplyQueue {
 public:
  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }
  std::size_t room() const { return room_; }
  Reply& front() {
    CHECK(count_ > 0);
    return ring_.get()[first_];
  }
  Reply& at(std::size_t index) {
    CHECK(index < count_);
    return ring_.get()[place(index)];
  }
  const Reply& at(std::size_t index) const {
    CHECK(index < count_);
    return ring_.get()[place(index)];
  }
  const Reply& last() const { return at(count_ - 1); }
  void push(Reply&& reply) { next() = std::move(reply); }
  // Most are plain. Of these only the first bytes are touched, from here to pop(): what is free in
  // the ring is as a Reply is made. Who sets more clears `plain`.
  [[gnu::always_inline]] Reply& push(Awaits awaits, Deliver deliver) {
    Reply& reply = next();
    reply.awaits = awaits;
    reply.deliver = deliver;
    reply.plain = true;
    return reply;
  }
  void pop() {
    Reply& gone = front();
    if (!gone.plain) gone.reset();
    first_ = place(1);
    if (--count_ == 0) emptied();
  }
  // Takes out `count` descriptors from `index` on.
  void erase(std::size_t index, std::size_t count);

 private:
  // A ring that one huge pipeline has made larger than that is not kept.
  static constexpr std::size_t kMostKept = 256;

  std::size_t place(std::size_t index) const { return (first_ + index) & (room_ - 1); }
  Reply& next() {
    if (count_ == room_) [[unlikely]]
      grow();
    return ring_.get()[place(count_++)];
  }
  void grow();
  void emptied() {
    first_ = 0;  // the same memory again
    if (room_ > kMostKept) [[unlikely]]
      shrink();
  }
  void shrink();

  std::unique_ptr<Reply[]> ring_;
  std::size_t room_ = 0;  // Replies in it: a power of two, or none
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace doorman::session
