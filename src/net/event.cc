#include "net/event.h"

#include <algorithm>

#include "base/check.h"

namespace doorman::net {

namespace {

void dispatch(evutil_socket_t /*fd*/, short what, void* handler) noexcept {
  static_cast<EventHandler*>(handler)->on_event(what);
}

event_base* new_base() {
  std::unique_ptr<event_config, void (*)(event_config*)> config(event_config_new(),
                                                                event_config_free);
  CHECK(config != nullptr);
  CHECK(event_config_set_flag(config.get(), EVENT_BASE_FLAG_NOLOCK) == 0);
  return event_base_new_with_config(config.get());
}

}  // namespace

EventLoop::EventLoop() : base_(new_base()) { CHECK(base_ != nullptr); }

void EventLoop::run_once(Wait wait) {
  // EVLOOP_NONBLOCK alone goes round while anything is ready: busy peers would hold up the turn.
  const int flags = wait == Wait::Yes ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK;
  CHECK(event_base_loop(base_.get(), flags) >= 0);
}

IoEvent::IoEvent(EventLoop& loop, int fd, short what, EventHandler& handler) {
  CHECK(event_assign(&event_, loop.get(), fd, static_cast<short>(what | EV_PERSIST), dispatch,
                     &handler) == 0);
}

void IoEvent::enable() {
  if (enabled_) return;
  CHECK(event_add(&event_, nullptr) == 0);
  enabled_ = true;
}

void IoEvent::disable() {
  if (!enabled_) return;
  CHECK(event_del(&event_) == 0);
  enabled_ = false;
}

Timer::Timer(EventLoop& loop, EventHandler& handler) {
  CHECK(event_assign(&event_, loop.get(), -1, 0, dispatch, &handler) == 0);
}

void Timer::set(Duration after) {
  const auto us = std::max<Duration::rep>(after.count(), 0);
  const timeval tv = {.tv_sec = us / 1'000'000, .tv_usec = us % 1'000'000};
  CHECK(event_add(&event_, &tv) == 0);
}

void Timer::cancel() { event_del(&event_); }

}  // namespace doorman::net
