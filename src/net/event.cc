#include "net/event.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

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
  CHECK(event_config_set_flag(config.get(), EVENT_BASE_FLAG_NO_CACHE_TIME) == 0);
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

Timer::Timer(EventLoop& loop, EventHandler& handler)
    : fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
      handler_(handler),
      event_(loop, fd_.get(), EV_READ, *this) {
  CHECK(fd_);
  event_.enable();
}

void Timer::set(Duration after) {
  const auto us = std::max<Duration::rep>(after.count(), 1);  // 0 would switch it off
  const itimerspec when = {
      .it_interval = {}, .it_value = {.tv_sec = us / 1'000'000, .tv_nsec = us % 1'000'000 * 1000}};
  CHECK(::timerfd_settime(fd_.get(), 0, &when, nullptr) == 0);
}

void Timer::cancel() {
  const itimerspec never = {};
  CHECK(::timerfd_settime(fd_.get(), 0, &never, nullptr) == 0);
}

void Timer::on_event(short /*what*/) {
  std::uint64_t rings = 0;
  if (::read(fd_.get(), &rings, sizeof rings) < 0) return;  // moved or cancelled meanwhile
  handler_.on_event(EV_TIMEOUT);
}

}  // namespace doorman::net
