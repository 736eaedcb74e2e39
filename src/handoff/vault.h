// Vault: sockets that outlive the process, in flight between the two ends of a few socket pairs.
//
// A socket that was sent over a unix socket and not yet received belongs to the kernel. Whoever
// keeps the pair's ends (systemd's FD store, a successor) keeps all sockets in it, so thousands of
// connections need a handful of kept descriptors. Each message holds up to 253 sockets and, for
// each, the number of its session. A new socket comes as a small message into the first pair; when
// that has 253 of them they become one message of another pair, since reading many small messages
// costs the square of their number.
//
// Reading takes nothing out (MSG_PEEK with SO_PEEK_OFF), so a reader that dies destroys nothing.
// The offset belongs to the pair: only one process may read at a time. A socket whose session is
// over stays in flight until tidy() has come round to it.
//
// One per process, any thread: used at login and by the main thread, never per query.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "handoff/fd_store.h"

namespace doorman::handoff {

struct Socket {
  std::uint64_t id;  // of its session
  int fd;            // the caller's; the vault gets a copy
};

class Vault {
 public:
  static constexpr std::size_t kMostPerMessage = 253;  // the kernel's SCM_MAX_FD

  // `number` tells it from other vaults in the names of its descriptors.
  Vault(std::uint32_t number, FdStore& store) : number_(number), store_(store) {}
  ~Vault() = default;
  Vault(const Vault&) = delete;
  Vault& operator=(const Vault&) = delete;

  // A pair's end that came from another process: "stash.v1.0.r" or ".w".
  Result<> add_end(const std::string& name, UniqueFd fd);
  // All ends have come: pairs of which one end is missing are dropped.
  void ends_are_complete();

  // Looks what is in its pairs: another process has put it there.
  void count();
  // Makes the first pair, so that it is kept before anything is in it. Others are made when they
  // are soon needed, for the same reason: what is in a pair that nobody keeps dies with the
  // process.
  void prepare();
  // How many were put in, from the first on. Fewer than all: the kernel has no room for more.
  std::size_t put(std::span<const Socket> sockets);
  // Tells of each socket with a copy of it; it stays in. A socket may come twice.
  Result<> read(const std::function<void(std::uint64_t id, UniqueFd fd)>& visit);
  // Goes through at most `messages` messages and takes out what is not alive any more.
  using Alive = std::function<bool(std::uint64_t id)>;
  void tidy(const Alive& alive, std::size_t messages);
  void drop();  // gives its descriptors back, and with them every socket in it

  std::vector<NamedFd> fds() const;
  std::uint32_t number() const { return number_; }
  std::size_t sockets() const;   // in flight, those that are over included
  std::size_t messages() const;  // in all pairs
  std::size_t pairs() const;
  std::uint64_t refused() const;  // sockets that the kernel did not take, since the start
  void limit_buffers(int bytes) { send_buffer_ = bytes; }  // for tests: as small as they may be

 private:
  struct Pair {
    std::uint32_t number = 0;
    UniqueFd in;   // sockets are sent here
    UniqueFd out;  // and would be received here
    std::size_t messages = 0;
    std::size_t sockets = 0;
  };
  struct Message;

  std::string name_of(const Pair& pair, char end) const;
  Pair* add_pair();
  bool send(Pair& pair, std::span<const Socket> sockets);
  bool send_anywhere(std::span<const Socket> sockets);
  bool send_small(std::span<const Socket> sockets);
  std::size_t condense(std::size_t place, const Alive& alive, std::size_t most);
  static int peek(const Pair& pair, Message& message);
  static void take_first(Pair& pair, std::size_t sockets);
  void give_back(Pair& pair);
  static bool is_filling(const Pair& pair);
  bool needs_spare(std::size_t before) const;

  const std::uint32_t number_;
  FdStore& store_;
  int send_buffer_ = 4 << 20;
  mutable std::mutex mutex_;
  std::vector<Pair> pairs_;  // the first one holds the small messages
  std::uint32_t next_pair_ = 0;
  std::size_t tidy_at_ = 0;    // the pair that tidy() goes on with
  std::size_t tidy_left_ = 0;  // and how many of its messages that has not seen
  std::uint64_t refused_ = 0;
};

}  // namespace doorman::handoff
