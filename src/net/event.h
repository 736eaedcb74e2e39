// libevent, owned: the loop of one worker, readiness of descriptors, timers, signals.
//
// libevent tells readiness only; the bytes are ours (net/stream.h). One loop belongs to one thread,
// so libevent's own locking stays off: another thread reaches a loop through a Mailbox.
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include <memory>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace doorman::net {

// What wakes up. `what` is a set of EV_READ, EV_WRITE, EV_TIMEOUT and EV_SIGNAL.
class EventHandler {
 public:
  virtual void on_event(short what) = 0;

 protected:
  ~EventHandler() = default;
};

enum class Wait { Yes, No };

class EventLoop {
 public:
  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void run_once(Wait wait);
  event_base* get() const { return base_.get(); }

 private:
  struct Free {
    void operator()(event_base* base) const { event_base_free(base); }
  };
  std::unique_ptr<event_base, Free> base_;
};

// Readiness of one descriptor (or a signal's arrival). `handler` and the descriptor must outlive
// it; destroying it unregisters, so a callback never reaches a dead handler, and a descriptor that
// lives on elsewhere leaves the loop's epoll set before it is closed here.
class IoEvent {
 public:
  IoEvent(EventLoop& loop, int fd, short what, EventHandler& handler);
  IoEvent(const IoEvent&) = delete;
  IoEvent& operator=(const IoEvent&) = delete;
  ~IoEvent() { disable(); }

  void enable();
  void disable();
  bool enabled() const { return enabled_; }

 private:
  event event_{};
  bool enabled_ = false;
};

// Rings once after a while. Setting it again moves it. A timerfd, not a timer of libevent's: while
// a loop has one of those, each of its turns reads the clock twice for it.
class Timer final : private EventHandler {
 public:
  Timer(EventLoop& loop, EventHandler& handler);
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void set(Duration after);
  void cancel();

 private:
  void on_event(short what) override;

  UniqueFd fd_;
  EventHandler& handler_;
  IoEvent event_;
};

}  // namespace doorman::net
