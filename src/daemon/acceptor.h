// Acceptor: takes new connections from the listening sockets and gives each to the worker that has
// the fewest clients. Lives in the first worker's loop.
//
// Out of descriptors it stops accepting for a moment, says so once, and comes back by itself; one
// descriptor is kept in reserve, so that a client in the queue learns why (53300) instead of
// hanging.
//
// The listening sockets have been given the socket options of the configuration, which connections
// have from them on Linux. Those that came before that, or after a reload that changed the options,
// are given them one by one.
#pragma once

#include <memory>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/worker.h"
#include "net/event.h"
#include "net/socket_options.h"

namespace doorman::daemon {

class Acceptor {
 public:
  Acceptor(Worker& home, std::vector<Worker*>& all, std::vector<UniqueFd> listeners);
  ~Acceptor();
  // Who comes meanwhile waits in the sockets' queues.
  void pause(bool paused);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

 private:
  static constexpr int kPerTurn = 64;
  static constexpr Duration kPause = std::chrono::milliseconds(100);

  struct Listener final : net::EventHandler {
    Listener(Acceptor& a, UniqueFd f);
    void on_event(short /*what*/) override { acceptor.accept_from(*this); }
    Acceptor& acceptor;
    UniqueFd fd;
    // Its queue has been empty since it got its options: who comes now has them from it.
    bool passes_options_on = false;
    net::IoEvent event;
  };
  struct Retry final : net::EventHandler {
    explicit Retry(Acceptor& a) : acceptor(a) {}
    void on_event(short /*what*/) override { acceptor.resume(); }
    Acceptor& acceptor;
  };

  void accept_from(Listener& listener);
  void set_options(const Listener& listener, int fd, const net::Address& peer);
  void out_of_descriptors(int fd, const std::string& why);
  void resume();

  Worker& home_;
  std::vector<Worker*>& all_;
  const net::SocketOptions of_listeners_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  Retry retry_;
  net::Timer timer_;
  UniqueFd reserve_;
  bool paused_ = false;
  bool complained_ = false;
};

}  // namespace doorman::daemon
