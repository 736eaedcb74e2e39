// Channel: messages between a process and its successor, whole ones, with descriptors.
//
// A SEQPACKET socket and a time limit for everything: a peer that is dead, slow or talks nonsense
// is an Error, never a wait for ever. A message is its kind and a record (base/record.h), so both
// sides may add fields; docs/HANDOFF.md lists them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace doorman::handoff {

// Never use a number again for something else. "Old" is the process that upgrades.
enum class MessageKind : std::uint16_t {
  Hello = 1,          // new: its versions
  Refused = 2,        // new: it cannot go on, and why
  Rehearse = 3,       // old: a snapshot of its sessions
  Rehearsed = 4,      // new: what it would lose
  Carry = 5,          // old: everything but the sockets
  Sockets = 6,        // old: the next of them
  Carried = 7,        // new: all is built, nothing has been read or sent
  Go = 8,             // old: serve
  Serving = 9,        // new
  Ping = 10,          // old: are all of your workers alive?
  Pong = 11,          // new: they are
  Done = 12,          // old: the process is yours
  Late = 13,          // old: a session that could not be carried with the others
  Cancel = 14,        // new: a cancel request for a client that the old one still has
  Park = 16,          // old: both are to end; write everything down
  Parked = 17,        // new: here it is; it ends when the old one has
  SocketsTaken = 15,  // new: for each Sockets, so that few descriptors are under way at a time
};

struct Message {
  MessageKind kind = MessageKind::Hello;
  std::string body;
  std::vector<UniqueFd> fds = {};
};

class Channel {
 public:
  static constexpr std::size_t kMaxFds = 253;  // of one message: the kernel's limit
  static constexpr std::size_t kMaxBody = std::size_t{64} * 1024;

  Channel() = default;
  explicit Channel(UniqueFd fd) : fd_(std::move(fd)) {}
  static Result<std::pair<UniqueFd, UniqueFd>> pair();

  // `aborted`: a descriptor that becomes readable when waiting makes no sense any more, or -1.
  void set_abort(int aborted) { abort_ = aborted; }

  Result<> send(MessageKind kind, std::string_view body, std::span<const int> fds, Instant by);
  Result<> send(MessageKind kind, std::string_view body, Instant by) {
    return send(kind, body, {}, by);
  }
  Result<Message> receive(Instant by);
  // The next message, which must be `kind`; Refused is an Error (Config) with the
  // peer's reason.
  Result<Message> expect(MessageKind kind, Instant by);

  int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  void close() { fd_.reset(); }

 private:
  Result<> wait(short events, Instant by);

  UniqueFd fd_;
  int abort_ = -1;
};

// A memfd that holds `text`, of a size that nobody can change.
Result<UniqueFd> memory_of(std::string_view text);
// Overwrites it, for all who have it.
void wipe_memory(int fd);
// What a memfd holds, mapped for reading while this lives.
class Mapped {
 public:
  static Result<Mapped> of(int fd);
  Mapped(Mapped&& other) noexcept;
  Mapped& operator=(Mapped&& other) noexcept;
  ~Mapped();
  std::string_view text() const { return {data_, size_}; }

 private:
  Mapped(const char* data, std::size_t size) : data_(data), size_(size) {}
  const char* data_;
  std::size_t size_;
};

}  // namespace doorman::handoff
