// Two workers with a part each of one pool; and the numbers that they share, under real threads.
#include "pool/shared_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "unit/pool/pool_fakes.h"

namespace doorman::pool {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

struct TwoWorkers {
  SharedPool shared{std::make_shared<DatabaseShare>("shop"), std::make_shared<UserShare>("app"), 2};
  FakePart here{shared, 0};
  FakePart there{shared, 1};
  Instant now{std::chrono::hours(1)};

  void both_serve() {
    here.pool.serve(now);
    there.pool.serve(now);
  }
};

SharedPool::Waits since(std::int64_t first, std::int64_t second = SharedPool::kNobodyWaits) {
  SharedPool::Waits waits;
  waits.fill(SharedPool::kNobodyWaits);
  waits[0] = first;
  waits[1] = second;
  return waits;
}

const SharedPool::Waits kNobody = since(SharedPool::kNobodyWaits);

TEST(SharedPool, AServerToSpareGoesToTheWorkerWhereSomebodyWaits) {
  TwoWorkers two;
  FakeWaiter waiter;
  two.there.pool.wait(waiter, two.now);
  two.both_serve();
  FakeServer server;
  two.here.pool.add_idle(server, two.now);
  EXPECT_EQ(two.here.touches, 1);
  two.both_serve();
  ASSERT_EQ(two.here.sent.size(), 1U);
  EXPECT_EQ(two.here.sent[0], std::pair(static_cast<Server*>(&server), 1));
  EXPECT_TRUE(two.here.pool.idle().empty());
  two.there.pool.add_idle(server, two.now);  // as it arrives
  two.both_serve();
  EXPECT_EQ(waiter.server, &server);
}

TEST(SharedPool, AWorkerWithAnIdleServerIsPokedBySomebodyWhoWaitsElsewhere) {
  TwoWorkers two;
  FakeServer server;
  two.here.pool.add_idle(server, two.now);
  two.both_serve();
  FakeWaiter waiter;
  two.there.pool.wait(waiter, two.now);
  two.there.pool.serve(two.now);
  EXPECT_EQ(two.there.poked, std::vector<int>{0});
  two.here.pool.serve(two.now);
  EXPECT_EQ(two.here.sent.size(), 1U);
}

TEST(SharedPool, OwnWaitersComeFirstUntilAnotherHasWaitedAMillisecondLonger) {
  for (const bool much_older : {false, true}) {
    TwoWorkers two;
    FakeWaiter elsewhere, own;
    two.there.pool.wait(elsewhere, two.now);
    two.there.pool.serve(two.now);
    two.now += Pool::kAcrossWorkers;
    if (much_older) two.now += microseconds(1);
    two.here.pool.wait(own, two.now);
    FakeServer server;
    two.here.pool.add_idle(server, two.now);
    two.here.pool.serve(two.now);
    EXPECT_EQ(own.server != nullptr, !much_older);
    EXPECT_EQ(two.here.sent.size(), much_older ? 1U : 0U);
  }
}

TEST(SharedPool, OneServerGoesWhereSomebodyHasWaitedLongerAndTheOthersServeHere) {
  TwoWorkers two;
  FakeWaiter elsewhere, own;
  two.there.pool.wait(elsewhere, two.now);
  two.there.pool.serve(two.now);
  two.now += Pool::kAcrossWorkers + microseconds(1);
  two.here.pool.wait(own, two.now);
  FakeServer one, other;
  two.here.pool.add_idle(one, two.now);
  two.here.pool.add_idle(other, two.now);
  two.here.pool.serve(two.now);
  EXPECT_EQ(two.here.sent.size(), 1U);
  EXPECT_NE(own.server, nullptr) << "nothing would wake it before the next tick";
}

TEST(SharedPool, AsManyGoThereInOneTurnAsHaveWaitedLongerThere) {
  TwoWorkers two;
  FakeWaiter older[3], own[2];
  for (FakeWaiter& each : older) two.there.pool.wait(each, two.now);
  two.there.pool.serve(two.now);
  two.now += Pool::kAcrossWorkers + microseconds(1);
  for (FakeWaiter& each : own) two.here.pool.wait(each, two.now);
  FakeServer servers[4];
  for (FakeServer& each : servers) two.here.pool.add_idle(each, two.now);
  two.here.pool.serve(two.now);
  EXPECT_EQ(two.here.sent.size(), 3U);
  EXPECT_NE(own[0].server, nullptr);
  EXPECT_EQ(own[1].server, nullptr);
}

TEST(SharedPool, AllToSpareGoWhereSomebodyWaits) {
  TwoWorkers two;
  FakeWaiter waiters[2];
  for (FakeWaiter& each : waiters) two.there.pool.wait(each, two.now);
  two.there.pool.serve(two.now);
  FakeServer servers[3];
  for (FakeServer& each : servers) two.here.pool.add_idle(each, two.now);
  two.here.pool.serve(two.now);
  EXPECT_EQ(two.here.sent.size(), 2U);
  EXPECT_EQ(two.here.pool.idle().size(), 1U);
}

TEST(SharedPool, WhoComesNowLeavesTheServerToSomebodyWhoHasWaitedElsewhere) {
  TwoWorkers two;
  FakeServer server;
  two.here.pool.add_idle(server, two.now);
  FakeWaiter waiter;
  two.there.pool.wait(waiter, two.now);
  two.there.pool.serve(two.now);
  EXPECT_EQ(two.here.pool.take_now(two.now + Pool::kAcrossWorkers + microseconds(1)), nullptr);
  EXPECT_EQ(two.here.pool.take_now(two.now), &server);
}

TEST(SharedPool, AFreedSlotIsAnnouncedToTheWorkerThatWaits) {
  TwoWorkers two;
  two.here.pool.limits.pool_size = two.there.pool.limits.pool_size = 1;
  FakeWaiter a, b;
  two.here.pool.wait(a, two.now);
  two.both_serve();
  two.there.pool.wait(b, two.now);
  two.both_serve();
  EXPECT_EQ(two.here.opened.size(), 1U);
  EXPECT_TRUE(two.there.opened.empty());
  two.here.pool.forget(a);
  two.here.one_is_gone();
  EXPECT_EQ(two.here.poked, std::vector<int>{1});
  two.there.pool.serve(two.now);
  EXPECT_EQ(two.there.opened.size(), 1U);
}

TEST(SharedPool, APartThatEndsWaitsForNothingAnyMore) {
  SharedPool shared{std::make_shared<DatabaseShare>("shop"), std::make_shared<UserShare>("app"), 2};
  const Instant now{std::chrono::hours(1)};
  {
    FakePart part(shared, 1);
    FakeWaiter waiter;
    part.pool.wait(waiter, now);
    part.pool.serve(now);
    EXPECT_EQ(shared.longest_waiting(0, Instant::max()), 1);
  }
  EXPECT_EQ(shared.longest_waiting(0, Instant::max()), -1);
}

TEST(SharedPool, TheLongestWaitingOfAllIsFound) {
  SharedPool shared{std::make_shared<DatabaseShare>("shop"), std::make_shared<UserShare>("app"), 3};
  EXPECT_EQ(shared.longest_waiting(0, Instant::max()), -1);
  EXPECT_EQ(shared.with_idle(0), -1);
  shared.publish(1, since(200, 300), 0);
  shared.publish(2, since(100), 5);
  EXPECT_EQ(shared.longest_waiting(0, Instant::max()), 2);
  EXPECT_EQ(shared.longest_waiting(2, Instant::max()), 1);
  EXPECT_EQ(shared.longest_waiting(0, Instant(microseconds(100))), -1);
  // Where a server is on its way already, the next one there counts.
  EXPECT_EQ(shared.longest_waiting(0, Instant::max(), {0, 0, 1}), 1);
  EXPECT_EQ(shared.longest_waiting(0, Instant(microseconds(300)), {0, 1, 1}), -1);
  EXPECT_EQ(shared.longest_waiting(0, Instant(microseconds(301)), {0, 1, 1}), 1);
  EXPECT_EQ(shared.with_idle(0), 2);
  EXPECT_EQ(shared.with_idle(2), -1);
}

TEST(Registry, FindsTheSameObjectsAgainAndPausesThoseToCome) {
  Registry registry(1);
  const auto pool = registry.pool("shop", "app");
  EXPECT_EQ(registry.pool("shop", "app"), pool);
  EXPECT_EQ(registry.database("shop").get(), &pool->database);
  EXPECT_EQ(registry.user("app").get(), &pool->user);
  const auto other = registry.pool("shop", "other");
  EXPECT_NE(other, pool);
  EXPECT_EQ(registry.pools(), 2U);
  registry.pause_all(true);
  EXPECT_TRUE(pool->database.paused);
  EXPECT_TRUE(registry.database("later")->paused);
  registry.pause_all(false);
  EXPECT_FALSE(registry.database("later")->paused);
  EXPECT_EQ(registry.databases().size(), 1U);
  EXPECT_EQ(registry.users().size(), 2U);
}

TEST(Registry, NothingStaysOfANameThatNobodyUses) {
  Registry registry(1);
  auto pool = registry.pool("shop", "app");
  Charge client = pool->charge_client(0);
  ServerCharge server = pool->charge({});
  Charge of_user = registry.charge_client_of_user("visitor", 0);
  pool.reset();
  EXPECT_EQ(registry.pools(), 1U) << "a server, which may be between two workers, has its places";
  server = {};
  EXPECT_EQ(registry.pools(), 0U);
  ASSERT_EQ(registry.users().size(), 1U);
  EXPECT_EQ(registry.users()[0]->name, "visitor");
  ASSERT_EQ(registry.databases().size(), 1U) << "a client, which may be, too, counts under it";
  EXPECT_EQ(registry.database("shop")->clients.used(), 1);
  client.reset();
  of_user.reset();
  EXPECT_TRUE(registry.databases().empty());
  EXPECT_TRUE(registry.users().empty());
}

TEST(Registry, WhatAnAdministratorSaidOfADatabaseStays) {
  Registry registry(1);
  registry.set_paused(registry.database("paused"), true);
  registry.set_disabled(registry.database("disabled"), true);
  EXPECT_TRUE(registry.database("paused")->paused);
  EXPECT_TRUE(registry.is_disabled("disabled"));
  EXPECT_FALSE(registry.is_disabled("paused"));
  EXPECT_EQ(registry.databases().size(), 2U);
  registry.pause_all(true);
  EXPECT_EQ(registry.databases().size(), 1U) << "paused as any other";
  registry.set_paused(registry.database("awake"), false);
  EXPECT_FALSE(registry.database("awake")->paused);
  registry.pause_all(false);
  registry.set_disabled(registry.database("disabled"), false);
  EXPECT_TRUE(registry.databases().empty());
}

TEST(Registry, NamesComeAndGoUnderThreads) {
  struct Watched final : Companion {
    explicit Watched(std::atomic<int>& a) : alive(a) { ++alive; }
    ~Watched() override { --alive; }
    std::atomic<int>& alive;
  };
  std::atomic<int> alive = 0;
  Registry registry(1, [&alive](SharedPool&) { return std::make_unique<Watched>(alive); });
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 2000; ++i) {
          const auto pool = registry.pool(std::to_string(i % 3), "app");
          const ServerCharge charge = pool->charge({});
          const auto same = registry.pool(std::to_string(i % 3), "app");
          if (same != pool || same->servers.used() < 1) ++wrong;
          if (i % 50 == 0) registry.pause_all(i % 100 == 0);
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(registry.pools(), 0U);
  EXPECT_TRUE(registry.databases().empty());
  EXPECT_TRUE(registry.users().empty());
}

// ---- Budgets ----------------------------------------------------------------------------------

TEST(Budget, AChargeIsGivenBackOnceByWhoeverHoldsItLast) {
  Budget budget;
  {
    Charge first(budget, 1);
    EXPECT_TRUE(first);
    EXPECT_FALSE(Charge(budget, 1));
    Charge moved = std::move(first);
    EXPECT_EQ(budget.used(), 1);
    Charge other(budget, 2);
    other = std::move(moved);
    EXPECT_EQ(budget.used(), 1);
  }
  EXPECT_EQ(budget.used(), 0);
  EXPECT_TRUE(Charge(budget, 0)) << "0 is no limit";
}

TEST(Budget, AServersChargeIsAllOrNothing) {
  SharedPool shared{std::make_shared<DatabaseShare>("shop"), std::make_shared<UserShare>("app"), 1};
  const Charge other(shared.user.servers, 0);
  EXPECT_FALSE(shared.charge({.pool = 5, .database = 5, .user = 1}));
  EXPECT_EQ(shared.servers.used(), 0);
  EXPECT_EQ(shared.database.servers.used(), 0);
  const ServerCharge charge = shared.charge({.pool = 5, .database = 5, .user = 2});
  EXPECT_TRUE(charge);
  EXPECT_EQ(shared.user.servers.used(), 2);
}

TEST(Budget, IsExactUnderThreads) {
  constexpr int kLimit = 3;
  SharedPool shared{std::make_shared<DatabaseShare>("shop"), std::make_shared<UserShare>("app"), 4};
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  std::atomic<int> taken = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 5000; ++i) {
          const ServerCharge charge =
              shared.charge({.pool = 0, .database = kLimit, .user = kLimit + 1});
          if (!charge) continue;
          const int now = ++inside;
          int before = most;
          while (before < now && !most.compare_exchange_weak(before, now)) {
          }
          ++taken;
          --inside;
        }
      });
    }
  }
  EXPECT_LE(most, kLimit);
  EXPECT_GT(taken, 0);
  EXPECT_EQ(shared.servers.used(), 0);
  EXPECT_EQ(shared.database.servers.used(), 0);
  EXPECT_EQ(shared.user.servers.used(), 0);
}

// Of two workers that change at the same moment at least one sees the other: else a waiter and an
// idle server could miss each other for good.
TEST(SharedPool, AWaiterAndAServerToSpareNeverMissEachOther) {
  SharedPool shared{std::make_shared<DatabaseShare>("shop"), std::make_shared<UserShare>("app"), 2};
  for (int i = 0; i < 300; ++i) {
    shared.publish(0, kNobody, 0);
    shared.publish(1, kNobody, 0);
    std::atomic<int> ready = 0;
    bool idle_saw_waiter = false;
    bool waiter_saw_idle = false;
    const auto together = [&ready] {
      ++ready;
      while (ready < 2) std::this_thread::yield();
    };
    {
      const std::jthread idle([&] {
        together();
        shared.publish(0, kNobody, 1);
        idle_saw_waiter = shared.longest_waiting(0, Instant::max()) == 1;
      });
      const std::jthread waits([&] {
        together();
        shared.publish(1, since(100), 0);
        waiter_saw_idle = shared.with_idle(1) == 0;
      });
    }
    ASSERT_TRUE(idle_saw_waiter || waiter_saw_idle);
  }
}

}  // namespace
}  // namespace doorman::pool
