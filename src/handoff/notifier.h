// Notifier: what the service manager is told (sd_notify), and what it keeps for us (its FD store).
//
// A send blocks while PID 1 is busy, so a thread sends, from a bounded queue: what finds it full is
// dropped and counted. Without NOTIFY_SOCKET nothing is sent and nothing fails. Everything here may
// be called from any thread.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace doorman::handoff {

class Notifier {
 public:
  static constexpr std::size_t kQueue = 1024;  // twice that for what systemd waits for

  Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;
  // Sends what is queued; a service manager that takes nothing for a few seconds is left alone.
  ~Notifier();

  bool active() const { return state_ != nullptr; }

  void ready();
  // Who says this says ready() afterwards, whatever came of it: systemd waits for it.
  void reloading();
  void stopping();
  // Of several that wait to be sent only the last one is.
  void status(std::string text);
  void keep_alive();
  // The time limit of a start or stop is to be at least this long from now.
  void extend_timeout(Duration more);
  // `pid` is the service's main process from now on, and it is ready.
  void main_pid(pid_t pid);

  // Polled entries leave the store by themselves when their socket hangs up.
  enum class Poll { No, Yes };
  // Puts a duplicate of `fd` into the store. False: there is no store, or the queue is full.
  bool store(const std::string& name, int fd, Poll poll = Poll::No);
  // Takes all descriptors of that name out of the store.
  void remove(const std::string& name);
  // Waits until the service manager has handled all that was said before. False: time is over.
  bool barrier(Duration limit);

  // A process that is not the service's main one says nothing, since it would be refused. What it
  // last wanted as status is said when it may speak.
  void mute(bool muted);

  std::uint64_t dropped() const;

 private:
  struct Message {
    std::string text;
    UniqueFd fd;
    bool is_status = false;
    bool important = false;  // systemd waits for it, or would believe something wrong without it
    std::shared_ptr<std::promise<bool>> barrier;
    Duration limit{};
  };
  // Shared with the thread, which is left behind when it is stuck in a send.
  struct State {
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<Message> queue;
    std::string last_status;
    bool muted = false;
    bool stopping = false;
    bool stopped = false;
    std::uint64_t dropped = 0;
  };
  static void serve(const std::shared_ptr<State>& state);
  static void send(Message& message);

  enum class Important { No, Yes };
  void say(std::string text, Important important = Important::Yes);
  bool push(Message message);

  std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace doorman::handoff
