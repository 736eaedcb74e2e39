// Acceptor: takes new connections from the listening sockets and gives each to the worker that has
// the fewest clients. Lives in the first worker's loop.
//
// Out of descriptors it stops accepting for a moment, says so once, and comes back by itself; one
// descriptor is kept in reserve, so that a client in the queue learns why (53300) instead of
// hanging.
#pragma once

#include <memory>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/worker.h"
#include "net/event.h"

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
    void on_event(short /*what*/) override { acceptor.accept_from(fd.get()); }
    Acceptor& acceptor;
    UniqueFd fd;
    net::IoEvent event;
  };
  struct Retry final : net::EventHandler {
    explicit Retry(Acceptor& a) : acceptor(a) {}
    void on_event(short /*what*/) override { acceptor.resume(); }
    Acceptor& acceptor;
  };

  void accept_from(int fd);
  void out_of_descriptors(int fd, const std::string& why);
  void resume();

  Worker& home_;
  std::vector<Worker*>& all_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  Retry retry_;
  net::Timer timer_;
  UniqueFd reserve_;
  bool paused_ = false;
  bool complained_ = false;
};

}  // namespace doorman::daemon
