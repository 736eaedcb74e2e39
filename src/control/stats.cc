#include "control/stats.h"

#include <fmt/format.h>

#include <array>

#include "base/record.h"
#include "daemon/carry.h"

namespace doorman::control {
namespace {

using enum Counter::Average;

constexpr auto kTable = std::to_array<Counter>({
    {"server_assignment_count", "server_assignment_count", "server_assignment_count",
     "server_assignment_count", "server_assignment_count", &Counters::server_assignments,
     PerSecond},
    {"xact_count", "xact_count", "xact_count", "xact_count", "xact_count", &Counters::transactions,
     PerSecond},
    {"query_count", "query_count", "query_count", "query_count", "query_count", &Counters::queries,
     PerSecond},
    {"received", "recv", "bytes_received", "bytes_received", "client_bytes",
     &Counters::received_bytes, PerSecond},
    {"sent", "sent", "bytes_sent", "bytes_sent", "server_bytes", &Counters::sent_bytes, PerSecond},
    {"xact_time", "xact_time", "xact_time", "xact_time", "xact_time", &Counters::transaction_us,
     PerTransaction},
    {"query_time", "query_time", "query_time", "query_time", "query_time", &Counters::query_us,
     PerQuery},
    {"wait_time", "wait_time", "wait_time", "wait_time", "wait_time", &Counters::wait_us,
     PerSecond},
    {"client_parse_count", "client_parse_count", "client_parse_count", "avg_client_parse_count",
     "ps_client_parse_count", &Counters::client_parses, PerSecond},
    {"server_parse_count", "server_parse_count", "server_parse_count", "avg_server_parse_count",
     "ps_server_parse_count", &Counters::server_parses, PerSecond},
    {"bind_count", "bind_count", "bind_count", "avg_bind_count", "ps_bind_count", &Counters::binds,
     PerSecond},
    {"client_login_count", "client_login_count", "client_login_count", "avg_client_login_count",
     "client_login_count", &Counters::logins, PerSecond},
});

const Counters& of(const Totals& totals, const std::string& database) {
  static const Counters none;
  const auto found = totals.find(database);
  return found == totals.end() ? none : found->second;
}

}  // namespace

std::span<const Counter> counter_table() { return kTable; }

std::uint64_t average(const Counter& counter, const Counters& before, const Counters& after,
                      Duration between) {
  const auto grown = [&](std::uint64_t Counters::*value) {
    return after.*value < before.*value ? 0 : after.*value - before.*value;
  };
  const std::uint64_t amount = grown(counter.value);
  switch (counter.average) {
    case PerTransaction: {
      const std::uint64_t ended = grown(&Counters::transactions);
      return ended == 0 ? 0 : amount / ended;
    }
    case PerQuery: {
      const std::uint64_t ended = grown(&Counters::queries);
      return ended == 0 ? 0 : amount / ended;
    }
    case PerSecond: break;
  }
  if (between <= Duration::zero()) return 0;
  const double seconds = std::chrono::duration<double>(between).count();
  return static_cast<std::uint64_t>(static_cast<double>(amount) / seconds);
}

Counters sum(const Totals& totals) {
  Counters all;
  for (const auto& [database, counters] : totals) all.add(counters);
  return all;
}

std::string stats_line(const Counters& before, const Counters& after, Duration between) {
  const auto average_of = [&](std::uint64_t Counters::*value) {
    for (const Counter& counter : kTable) {
      if (counter.value == value) return average(counter, before, after, between);
    }
    return std::uint64_t{0};
  };
  return fmt::format(
      "stats: {} xacts/s, {} queries/s, in {} B/s, out {} B/s, xact {} us, query {} us, wait {} us",
      average_of(&Counters::transactions), average_of(&Counters::queries),
      average_of(&Counters::received_bytes), average_of(&Counters::sent_bytes),
      average_of(&Counters::transaction_us), average_of(&Counters::query_us),
      average_of(&Counters::wait_us));
}

void StatsHistory::take(Instant now, Totals totals) {
  before_ = std::move(after_);
  after_ = {.at = now, .totals = std::move(totals)};
}

std::uint64_t StatsHistory::average_of(const Counter& counter, const std::string& database) const {
  return average(counter, of(before_.totals, database), of(after_.totals, database), between());
}

std::uint64_t StatsHistory::average_of_all(const Counter& counter) const {
  return average(counter, sum(before_.totals), sum(after_.totals), between());
}

std::string StatsHistory::line() const {
  return stats_line(sum(before_.totals), sum(after_.totals), between());
}

namespace {

// Never use a number again for something else.
enum Tag : std::uint16_t {
  TagAt = 1,
  TagBefore = 2,
  TagAfter = 3,
  TagDatabase = 4,
  TagCounters = 5,
};

}  // namespace

std::string StatsHistory::save() const {
  const auto save_moment = [](const Moment& moment) {
    RecordWriter out;
    out.number(TagAt, static_cast<std::uint64_t>(moment.at.time_since_epoch().count()));
    for (const auto& [database, counters] : moment.totals) {
      out.text(TagDatabase, database);
      out.text(TagCounters, daemon::save_counters(counters));
    }
    return out.take();
  };
  RecordWriter out;
  out.text(TagBefore, save_moment(before_));
  out.text(TagAfter, save_moment(after_));
  return out.take();
}

Result<StatsHistory> StatsHistory::load(std::string_view record) {
  const auto load_moment = [](std::string_view text) -> Result<Moment> {
    Moment moment;
    std::string database;
    RecordReader reader(text);
    while (auto field = TRY(reader.next())) {
      switch (field->tag) {
        case TagAt:
          moment.at = Instant(Duration(static_cast<Duration::rep>(field->number())));
          break;
        case TagDatabase: database = field->value; break;
        case TagCounters: moment.totals[database] = TRY(daemon::load_counters(field->value)); break;
        default: break;
      }
    }
    return moment;
  };
  StatsHistory history{clock_now()};
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagBefore) history.before_ = TRY(load_moment(field->value));
    if (field->tag == TagAfter) history.after_ = TRY(load_moment(field->value));
  }
  return history;
}

}  // namespace doorman::control
