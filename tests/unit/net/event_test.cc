#include "net/event.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>

#include "base/check.h"
#include "base/unique_fd.h"

namespace doorman::net {
namespace {

struct Counter final : EventHandler {
  void on_event(short what) override {
    ++count;
    last = what;
    if (once) once->reset();
  }
  int count = 0;
  short last = 0;
  std::optional<IoEvent>* once = nullptr;  // ends this event from within its callback
};

struct Pair {
  Pair() {
    int both[2] = {-1, -1};
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) == 0);
    near.reset(both[0]);
    far.reset(both[1]);
  }
  void say() const { CHECK(::send(far.get(), "x", 1, 0) == 1); }
  UniqueFd near;
  UniqueFd far;
};

TEST(IoEvent, IsToldOfReadinessWhileEnabledAndAgainUntilItReads) {
  EventLoop loop;
  Pair pair;
  Counter counter;
  IoEvent event(loop, pair.near.get(), EV_READ, counter);
  pair.say();
  loop.run_once(Wait::No);
  EXPECT_EQ(counter.count, 0);
  event.enable();
  event.enable();
  loop.run_once(Wait::Yes);
  loop.run_once(Wait::No);
  EXPECT_EQ(counter.count, 2);
  EXPECT_EQ(counter.last, EV_READ);
  event.disable();
  event.disable();
  EXPECT_FALSE(event.enabled());
  loop.run_once(Wait::No);
  EXPECT_EQ(counter.count, 2);
}

TEST(IoEvent, MayEndInItsOwnCallback) {
  EventLoop loop;
  Pair pair;
  Counter counter;
  std::optional<IoEvent> event;
  event.emplace(loop, pair.near.get(), EV_READ, counter);
  counter.once = &event;
  event->enable();
  pair.say();
  loop.run_once(Wait::No);
  loop.run_once(Wait::No);
  EXPECT_EQ(counter.count, 1);
}

// epoll keeps what it watches as long as the socket lives anywhere; here a copy of it does.
TEST(IoEvent, LeavesTheEpollSetBeforeADescriptorThatLivesOnElsewhere) {
  EventLoop loop;
  Pair pair;
  const UniqueFd copy(::fcntl(pair.near.get(), F_DUPFD_CLOEXEC, 0));
  {
    Counter counter;
    IoEvent event(loop, pair.near.get(), EV_READ, counter);
    event.enable();
    loop.run_once(Wait::No);
  }
  pair.near.reset();
  pair.say();
  loop.run_once(Wait::No);  // a stale registration would reach the dead handler
}

TEST(Timer, RingsOnceAndNotBeforeItsTime) {
  EventLoop loop;
  Counter counter;
  Timer timer(loop, counter);
  const Instant begin = clock_now();
  timer.set(std::chrono::milliseconds(2));
  loop.run_once(Wait::Yes);
  EXPECT_EQ(counter.count, 1);
  EXPECT_EQ(counter.last, EV_TIMEOUT);
  EXPECT_GE(clock_now() - begin, std::chrono::milliseconds(1));  // epoll counts milliseconds
  loop.run_once(Wait::No);
  EXPECT_EQ(counter.count, 1);
}

TEST(Timer, SettingItAgainMovesItAndCancelStopsIt) {
  EventLoop loop;
  Counter moved;
  Counter cancelled;
  Counter due;
  Timer first(loop, moved);
  Timer second(loop, cancelled);
  Timer third(loop, due);
  first.set(Duration::zero());
  first.set(std::chrono::hours(1));
  second.set(Duration::zero());
  second.cancel();
  third.set(std::chrono::hours(-1));  // what is late is due now
  loop.run_once(Wait::Yes);
  loop.run_once(Wait::No);
  EXPECT_EQ(moved.count, 0);
  EXPECT_EQ(cancelled.count, 0);
  EXPECT_EQ(due.count, 1);
}

}  // namespace
}  // namespace doorman::net
