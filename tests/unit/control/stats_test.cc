#include "control/stats.h"

#include <gtest/gtest.h>

#include "base/check.h"

namespace doorman::control {
namespace {

using namespace std::chrono_literals;

const Counter& counter(std::string_view name) {
  for (const Counter& each : counter_table()) {
    if (each.total_name == name) return each;
  }
  CHECK(false);
  return counter_table().front();
}

std::uint64_t average_of(std::string_view name, const Counters& before, const Counters& after,
                         Duration between = 10s) {
  return average(counter(name), before, after, between);
}

TEST(Stats, CountsAndBytesArePerSecond) {
  const Counters before = {.transactions = 100, .queries = 7, .received_bytes = 1'000'000'000'000};
  const Counters after = {.transactions = 150, .queries = 7, .received_bytes = 3'000'000'000'000};
  EXPECT_EQ(average_of("xact_count", before, after), 5u);
  EXPECT_EQ(average_of("query_count", before, after), 0u);
  EXPECT_EQ(average_of("received", before, after), 200'000'000'000u);
  EXPECT_EQ(average_of("xact_count", before, after, 500ms), 100u);
}

TEST(Stats, TimesArePerTransactionAndPerQuery) {
  const Counters before = {
      .transactions = 1, .queries = 2, .transaction_us = 1000, .query_us = 500};
  const Counters after = {
      .transactions = 5, .queries = 12, .transaction_us = 9000, .query_us = 1500, .wait_us = 2000};
  EXPECT_EQ(average_of("xact_time", before, after), 2000u);
  EXPECT_EQ(average_of("query_time", before, after), 100u);
  EXPECT_EQ(average_of("wait_time", before, after), 200u) << "of all clients, per second";
}

TEST(Stats, NothingDividesByNothing) {
  const Counters before;
  const Counters after = {.transactions = 3, .transaction_us = 9, .query_us = 9};
  EXPECT_EQ(average_of("query_time", before, after), 0u);
  EXPECT_EQ(average_of("xact_count", before, after, 0s), 0u);
  EXPECT_EQ(average_of("xact_count", after, before), 0u) << "a counter that fell";
}

TEST(Stats, EachCounterStandsInTheTableOnce) {
  EXPECT_EQ(counter_table().size(), 12u);
  Counters one;
  for (const Counter& each : counter_table()) one.*each.value += 1;
  for (const Counter& each : counter_table()) EXPECT_EQ(one.*each.value, 1u) << each.total_name;
}

TEST(Stats, HistoryAveragesTheLastWholePeriod) {
  const Instant start(1000s);
  const Counter& transactions = counter("xact_count");
  StatsHistory history(start);
  EXPECT_FALSE(history.due(start + 59s, 60s));
  EXPECT_TRUE(history.due(start + 60s, 60s));
  EXPECT_EQ(history.average_of(transactions, "shop"), 0u);

  history.take(start + 60s, {{"shop", {.transactions = 600}}});
  EXPECT_EQ(history.average_of(transactions, "shop"), 10u);
  EXPECT_FALSE(history.due(start + 61s, 60s));

  history.take(start + 120s, {{"mail", {.transactions = 60}}, {"shop", {.transactions = 720}}});
  EXPECT_EQ(history.average_of(transactions, "shop"), 2u);
  EXPECT_EQ(history.average_of(transactions, "mail"), 1u);
  EXPECT_EQ(history.average_of(transactions, "unheard of"), 0u);
  EXPECT_EQ(history.average_of_all(transactions), 3u);
}

TEST(Stats, TheLineOfTheLogHasPgBouncersFields) {
  const Counters after = {.transactions = 100,
                          .queries = 200,
                          .received_bytes = 3000,
                          .sent_bytes = 4000,
                          .transaction_us = 500'000,
                          .query_us = 200'000,
                          .wait_us = 70};
  EXPECT_EQ(stats_line(Counters(), after, 10s),
            "stats: 10 xacts/s, 20 queries/s, in 300 B/s, out 400 B/s, xact 5000 us, "
            "query 1000 us, wait 7 us");
}

}  // namespace
}  // namespace doorman::control
