// Successor: the new process's side of an upgrade (daemon/upgrade.h has the old one's).
//
// Until it is told to serve it may vanish at any moment without a trace: nothing is read from or
// written to a peer, and no socket is shut down. So whatever goes wrong before that ends the
// process on the spot.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/carry.h"
#include "daemon/halt.h"
#include "handoff/channel.h"
#include "net/event.h"

namespace doorman::daemon {

class Daemon;

// Says to the old process why this one cannot take over; for who has not come as far as a Daemon.
void refuse_to_succeed(int fd, std::string_view reason);

class Successor final : private net::EventHandler {
 public:
  Successor(Daemon& daemon, net::EventLoop& loop, UniqueFd fd);

  // Returns when this process serves all sessions; its workers run. Does not return otherwise.
  void take_over();
  // A cancel request for a client that the old process may still have.
  void ask_to_cancel(std::string_view key);

 private:
  static constexpr Duration kPatience = std::chrono::seconds(60);
  static constexpr Duration kSayLimit = std::chrono::seconds(1);

  void on_event(short what) override;
  [[noreturn]] void give_up(const Error& error);
  template <class T>
  T must(Result<T> result) {
    if (!result) give_up(result.error());
    return result.take();
  }
  void rehearse(handoff::Message message);
  void build(handoff::Message message);
  std::vector<UniqueFd> receive_sockets(std::size_t count, Instant by);
  void on_message(handoff::Message message);
  void take_late(handoff::Message message);
  void pong();
  void park();

  Daemon& daemon_;
  net::EventLoop& loop_;
  handoff::Channel channel_;
  std::unique_ptr<net::IoEvent> event_;
  std::size_t trial_fds_ = 0;  // that the old process has got
  std::size_t next_worker_ = 0;
  int pings_ = 0;
  bool main_ = false;
};

}  // namespace doorman::daemon
