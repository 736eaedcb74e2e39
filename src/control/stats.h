// Statistics: the counters of all workers, summed by database, and what they grew by in the last
// stats_period.
//
// One table says what each counter is called and how its average is made; SHOW STATS and its kin
// are written from it, and later faces are to be.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "session/counters.h"

namespace doorman::control {

using session::Counters;
using Totals = std::map<std::string, Counters>;  // by database

struct Counter {
  enum class Average { PerSecond, PerTransaction, PerQuery };
  std::string_view total_name;     // behind total_ in SHOW STATS
  std::string_view average_name;   // behind avg_ in SHOW STATS
  std::string_view plain_total;    // in SHOW STATS_TOTALS
  std::string_view plain_average;  // in SHOW STATS_AVERAGES
  std::string_view summed_name;    // behind total_ and avg_ in SHOW TOTALS
  std::uint64_t Counters::*value;
  Average average;
};
std::span<const Counter> counter_table();

// What `counter` came to between two moments: per second, or per transaction or query ended.
std::uint64_t average(const Counter& counter, const Counters& before, const Counters& after,
                      Duration between);

Counters sum(const Totals& totals);

// The line of the log, as PgBouncer's readers expect it.
std::string stats_line(const Counters& before, const Counters& after, Duration between);

// Two moments, stats_period apart.
class StatsHistory {
 public:
  explicit StatsHistory(Instant start) : after_{.at = start, .totals = {}}, before_(after_) {}

  // True once per `period`: it is time to take() the totals of now.
  bool due(Instant now, Duration period) const { return now - after_.at >= period; }
  void take(Instant now, Totals totals);

  // Of the last whole period; 0 before there was one.
  std::uint64_t average_of(const Counter& counter, const std::string& database) const;
  std::uint64_t average_of_all(const Counter& counter) const;
  std::string line() const;
  std::string save() const;
  static Result<StatsHistory> load(std::string_view record);

 private:
  struct Moment {
    Instant at{};
    Totals totals;
  };
  Duration between() const { return after_.at - before_.at; }

  Moment after_;
  Moment before_;
};

}  // namespace doorman::control
