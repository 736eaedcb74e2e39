#include "pool/pool.h"

#include <gtest/gtest.h>

#include "unit/pool/pool_fakes.h"

namespace doorman::pool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// ---- Who gets which server --------------------------------------------------------------------

TEST(Pool, ServesInTheOrderInWhichTheyCame) {
  OnePool one;
  FakeWaiter a, b, c;
  for (FakeWaiter* each : {&a, &b, &c}) one.part.pool.wait(*each, one.now);
  FakeServer first, second;
  one.part.pool.add_idle(first, one.now);
  one.part.pool.add_idle(second, one.now);
  one.serve();
  EXPECT_NE(a.server, nullptr);
  EXPECT_NE(b.server, nullptr);
  EXPECT_EQ(c.server, nullptr);
  EXPECT_EQ(one.part.pool.waiting().size(), 1U);
}

TEST(Pool, WhoLeavesTheQueueIsPassedOver) {
  OnePool one;
  FakeWaiter a, b;
  one.part.pool.wait(a, one.now);
  one.part.pool.wait(b, one.now);
  one.part.pool.forget(a);
  FakeServer server;
  one.part.pool.add_idle(server, one.now);
  one.serve();
  EXPECT_EQ(a.server, nullptr);
  EXPECT_EQ(b.server, &server);
}

TEST(Pool, OneThatHasWaitedElsewhereKeepsItsPlace) {
  OnePool one;
  FakeWaiter early, late, moved, newest;
  one.part.pool.wait(early, one.now);
  one.part.pool.wait(late, one.now + seconds(2));
  moved.waiting_since = one.now + seconds(1);
  one.part.pool.rejoin(moved);
  newest.waiting_since = one.now + seconds(3);
  one.part.pool.rejoin(newest);
  FakeWaiter* order[] = {&early, &moved, &late, &newest};
  for (FakeWaiter* each : order) {
    EXPECT_EQ(&one.part.pool.waiting().front(), each);
    one.part.pool.forget(*each);
  }
}

TEST(Pool, TheServerUsedLastIsNextUnlessRoundRobin) {
  for (const bool round_robin : {false, true}) {
    OnePool one;
    one.part.pool.limits.round_robin = round_robin;
    FakeServer first, second;
    one.part.pool.add_idle(first, one.now);
    one.part.pool.add_idle(second, one.now);
    EXPECT_EQ(one.part.pool.take_now(one.now), round_robin ? &first : &second);
    EXPECT_EQ(one.part.pool.take_now(one.now), round_robin ? &second : &first);
    EXPECT_EQ(one.part.pool.take_now(one.now), nullptr);
  }
}

TEST(Pool, NobodyOvertakesThoseWhoWait) {
  OnePool one;
  FakeWaiter waiting;
  one.part.pool.wait(waiting, one.now);
  FakeServer server;
  one.part.pool.add_idle(server, one.now);
  EXPECT_EQ(one.part.pool.take_now(one.now), nullptr);
  one.serve();
  EXPECT_EQ(waiting.server, &server);
}

TEST(Pool, AServerThatMustBeLookedAtFirstIsPassedOver) {
  OnePool one;
  FakeServer good, bad;
  one.part.pool.add_idle(good, one.now);
  one.part.pool.add_idle(bad, one.now);
  one.part.unusable = &bad;
  EXPECT_EQ(one.part.pool.take_now(one.now), &good);
  EXPECT_TRUE(one.part.pool.idle().empty());
}

TEST(Pool, APausedPoolGivesNothingAndOpensNothing) {
  OnePool one;
  one.database.paused = true;
  FakeServer server;
  one.part.pool.add_idle(server, one.now);
  EXPECT_EQ(one.part.pool.take_now(one.now), nullptr);
  FakeWaiter waiter;
  one.part.pool.wait(waiter, one.now);
  one.part.pool.limits.min_pool_size = 3;
  one.serve();
  one.part.pool.fill_if_used(one.now, true);
  EXPECT_EQ(waiter.server, nullptr);
  EXPECT_TRUE(one.part.opened.empty());
  one.database.paused = false;
  one.serve();
  EXPECT_EQ(waiter.server, &server);
}

TEST(Pool, AsksToBeServedOncePerTurn) {
  OnePool one;
  one.part.pool.touch();
  one.part.pool.touch();
  EXPECT_EQ(one.part.touches, 1);
  one.serve();
  one.part.pool.touch();
  EXPECT_EQ(one.part.touches, 2);
}

// ---- How many are opened ----------------------------------------------------------------------

TEST(Pool, OpensNoMoreThanThoseWhoWaitNeed) {
  OnePool one;
  FakeWaiter a, b;
  one.part.pool.wait(a, one.now);
  one.serve();
  one.serve();
  EXPECT_EQ(one.part.opened.size(), 1U);
  one.part.pool.wait(b, one.now);
  one.serve();
  EXPECT_EQ(one.part.opened.size(), 2U);
  EXPECT_EQ(one.part.pool.connecting(), 2);
}

TEST(Pool, PoolSizeIsExact) {
  OnePool one;
  one.part.pool.limits.pool_size = 3;
  one.part.pool.limits.connect_parallel = 100;
  FakeWaiter waiters[10];
  for (FakeWaiter& each : waiters) one.part.pool.wait(each, one.now);
  one.serve();
  EXPECT_EQ(one.part.opened.size(), 3U);
  EXPECT_EQ(one.shared.servers.used(), 3);
  one.part.one_is_gone();
  one.serve();
  EXPECT_EQ(one.part.opened.size(), 3U);
  EXPECT_EQ(one.part.rooms_made, 0) << "the pool itself is full";
}

TEST(Pool, ConnectsInParallelUpToItsLimit) {
  OnePool one;
  one.part.pool.limits.connect_parallel = 2;
  FakeWaiter waiters[5];
  for (FakeWaiter& each : waiters) one.part.pool.wait(each, one.now);
  one.serve();
  EXPECT_EQ(one.part.opened.size(), 2U);
  one.part.one_is_connected();
  one.serve();
  EXPECT_EQ(one.part.opened.size(), 3U);
  EXPECT_EQ(one.shared.connecting.used(), 2);
}

TEST(Pool, TheReserveOpensForThoseWhoWaitTooLong) {
  OnePool one;
  one.part.pool.limits = {.pool_size = 1,
                          .reserve_pool_size = 2,
                          .reserve_pool_timeout = seconds(5),
                          .connect_parallel = 100};
  FakeWaiter waiters[5];
  for (FakeWaiter& each : waiters) one.part.pool.wait(each, one.now);
  one.now += seconds(5) - milliseconds(1);
  one.serve();
  EXPECT_EQ(one.part.opened.size(), 1U);
  one.now += milliseconds(1);
  one.serve();
  EXPECT_EQ(one.part.opened.size(), 3U);
}

TEST(Pool, WithoutATimeoutTheReserveIsNeverUsed) {
  OnePool one;
  one.part.pool.limits = {.pool_size = 1, .reserve_pool_size = 2, .connect_parallel = 100};
  FakeWaiter waiters[5];
  for (FakeWaiter& each : waiters) one.part.pool.wait(each, one.now);
  one.now += std::chrono::hours(1);
  one.serve();
  EXPECT_EQ(one.part.opened.size(), 1U);
}

TEST(Pool, LimitsOfDatabaseAndUserHoldAndRoomIsAskedFor) {
  for (const bool of_database : {true, false}) {
    OnePool one;
    one.part.pool.limits.connect_parallel = 100;
    (of_database ? one.part.pool.limits.max_db_connections
                 : one.part.pool.limits.max_user_connections) = 2;
    FakeWaiter waiters[5];
    for (FakeWaiter& each : waiters) one.part.pool.wait(each, one.now);
    one.serve();
    EXPECT_EQ(one.part.opened.size(), 2U);
    EXPECT_EQ(one.shared.servers.used(), 2) << "what was not opened holds no slot";
    EXPECT_EQ(one.database.servers.used(), 2);
    EXPECT_EQ(one.user.servers.used(), 2);
    EXPECT_EQ(one.part.rooms_made, 1);
  }
}

// Two pools of one database with one slot, of which the first is never idle.
TEST(Pool, WhoStarvesBehindABusyPoolGetsTheNextSlotThatComesFree) {
  OnePool busy;
  SharedPool other_shared{busy.database_share, std::make_shared<UserShare>("report"), 1};
  FakePart starved(other_shared, 0);
  busy.part.pool.limits.max_db_connections = 1;
  starved.pool.limits.max_db_connections = 1;
  Instant now = busy.now;
  FakeServer server;
  FakeWaiter first;
  FakeWaiter second;
  FakeWaiter late;
  busy.part.pool.wait(first, now);
  busy.part.pool.serve(now);
  ASSERT_EQ(busy.part.opened.size(), 1U);
  busy.part.one_is_connected();
  busy.part.pool.add_idle(server, now);
  starved.pool.wait(late, now);
  starved.pool.serve(now);
  EXPECT_EQ(starved.rooms_made, 1);
  busy.part.pool.serve(now);
  EXPECT_EQ(first.server, &server) << "nobody has waited long enough to be asked for";

  now += Pool::kStarving;
  starved.pool.serve(now);
  busy.part.pool.wait(second, now);
  busy.part.pool.add_idle(server, now);
  busy.part.pool.serve(now);
  EXPECT_EQ(second.server, nullptr);
  ASSERT_EQ(busy.part.given_up.size(), 1U);
  server.unlink();
  busy.part.opened.clear();
  busy.part.pool.serve(now);
  EXPECT_TRUE(busy.part.opened.empty()) << "the slot is kept for the one that starves";
  starved.pool.serve(now);
  EXPECT_EQ(starved.opened.size(), 1U);
  busy.part.pool.forget(second);
}

TEST(Pool, KeepsItsMinimumWhileItIsUsed) {
  OnePool one;
  one.part.pool.limits.min_pool_size = 3;
  one.part.pool.limits.connect_parallel = 100;
  one.part.pool.fill_if_used(one.now, false);
  EXPECT_TRUE(one.part.opened.empty());
  one.part.pool.fill_if_used(one.now, true);
  one.part.pool.fill_if_used(one.now, true);
  EXPECT_EQ(one.part.opened.size(), 3U);
}

// ---- When the server is down ------------------------------------------------------------------

TEST(Pool, AfterAFailureNobodyTriesAgainBeforeItsTimeAndAllAreRefused) {
  OnePool one;
  FakeWaiter a, b;
  one.part.pool.wait(a, one.now);
  one.serve();
  one.part.one_has_failed(one.now + seconds(15), "no such host");
  one.serve();
  EXPECT_EQ(a.refusal, "no such host");
  one.part.pool.wait(b, one.now + seconds(1));
  one.now += seconds(1);
  one.serve();
  EXPECT_EQ(b.refusal, "no such host");
  EXPECT_TRUE(one.part.opened.empty());

  FakeWaiter c;
  one.now += seconds(14);
  one.part.pool.wait(c, one.now);
  one.serve();
  EXPECT_EQ(one.part.opened.size(), 1U);
  one.shared.recovered();
  EXPECT_EQ(one.shared.last_error(), "");
}

TEST(Pool, WhileSomeServerIsThereNobodyIsRefused) {
  OnePool one;
  one.part.pool.limits.pool_size = 2;
  FakeWaiter a, b;
  one.part.pool.wait(a, one.now);
  one.part.pool.wait(b, one.now);
  one.serve();
  one.part.one_is_connected();
  one.part.one_has_failed(one.now + seconds(15), "too many");
  one.serve();
  EXPECT_TRUE(a.refusal.empty());
  EXPECT_TRUE(b.refusal.empty());
  EXPECT_EQ(one.part.pool.waiting().size(), 2U);
}

}  // namespace
}  // namespace doorman::pool
