#include "base/helper_threads.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <vector>

namespace doorman {
namespace {

using namespace std::chrono_literals;

constexpr auto kBound = 10s;  // for what must happen; never waited out when all is well

TEST(HelperThreads, RunsAllWorkGivenFromSeveralThreads) {
  std::promise<void> all_done;
  std::atomic<int> done = 0;
  HelperThreads helpers(3, "test");
  {
    std::vector<std::jthread> askers;
    for (int asker = 0; asker < 4; ++asker) {
      askers.emplace_back([&] {
        for (int i = 0; i < 100; ++i) {
          helpers.run([&] {
            if (++done == 400) all_done.set_value();
          });
        }
      });
    }
  }
  EXPECT_EQ(all_done.get_future().wait_for(kBound), std::future_status::ready);
  EXPECT_EQ(done, 400);
  EXPECT_EQ(helpers.size(), 0u);
}

TEST(HelperThreads, BeginsWorkInTheOrderItWasGiven) {
  std::promise<std::vector<int>> result;
  std::vector<int> order;
  HelperThreads helpers(1, "test");
  for (int i = 0; i < 5; ++i) helpers.run([&order, i] { order.push_back(i); });
  helpers.run([&] { result.set_value(order); });
  auto future = result.get_future();
  ASSERT_EQ(future.wait_for(kBound), std::future_status::ready);
  EXPECT_EQ(future.get(), (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(HelperThreads, FinishesWhatRunsAndDropsTheRestWhenDestroyed) {
  // Says when it is destroyed, which is when the pool drops the work that holds it.
  struct Held {
    std::promise<void>& dropped;
    ~Held() { dropped.set_value(); }
  };
  std::promise<void> began;
  std::promise<void> go_on;
  std::promise<void> dropped;
  std::atomic<bool> finished = false;
  std::atomic<bool> second_ran = false;

  auto helpers = std::make_unique<HelperThreads>(1, "test");
  helpers->run([&] {
    began.set_value();
    go_on.get_future().wait();
    finished = true;
  });
  helpers->run(
      [&second_ran, held = std::shared_ptr<Held>(new Held{dropped})] { second_ran = true; });
  ASSERT_EQ(began.get_future().wait_for(kBound), std::future_status::ready);
  EXPECT_EQ(helpers->size(), 1u);

  std::thread destroyer([&] { helpers.reset(); });
  EXPECT_EQ(dropped.get_future().wait_for(kBound), std::future_status::ready);
  go_on.set_value();
  destroyer.join();
  EXPECT_TRUE(finished);
  EXPECT_FALSE(second_ran);
}

TEST(HelperThreads, TakeNoSignalsButTheirOwnFaults) {
  std::promise<sigset_t> result;
  HelperThreads helpers(1, "test");
  helpers.run([&] {
    sigset_t blocked = {};
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    result.set_value(blocked);
  });
  sigset_t blocked = result.get_future().get();
  EXPECT_EQ(sigismember(&blocked, SIGTERM), 1);
  EXPECT_EQ(sigismember(&blocked, SIGHUP), 1);
  EXPECT_EQ(sigismember(&blocked, SIGSEGV), 0);

  sigset_t mine = {};
  pthread_sigmask(SIG_SETMASK, nullptr, &mine);
  EXPECT_EQ(sigismember(&mine, SIGTERM), 0);
}

}  // namespace
}  // namespace doorman
