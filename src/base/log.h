// One line of log. Where it goes (stderr, file, syslog, journal) is set once by main and on reload.
//
// Cheap when the level is off; a line is formatted on the caller's thread and written by the log's
// own thread, so a full disk, a stopped journal or a pipe that nobody reads never holds up the
// traffic. The queue between them is bounded: lines that find it full are counted, and the count is
// logged as soon as there is room. Before start_log() and after stop_log() lines are written to
// stderr at once. Never log a password, a key or, above Debug, the text of a query.
//
// Everything here may be called from any thread, but start, change, reopen and stop from one only.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"

namespace doorman {

enum class LogLevel { Error, Warning, Notice, Info, Debug };

struct LogTarget {
  bool to_stderr = true;  // where that is the journal (JOURNAL_STREAM), with its priorities
  std::string file;       // appended to; empty: no file
  bool to_syslog = false;
  std::string syslog_facility = "daemon";
  std::string syslog_ident = "pg_doorman";
};

// Starts the log's thread. Not while it is running.
Result<> start_log(const LogTarget& target);

// Lines from now on go to `target`; those before it still to the old one. On failure nothing
// changes. A file is opened anew even if its name stays the same. The log must be running.
Result<> change_log(const LogTarget& target);

// After the file was renamed (logrotate): opens it again by its name.
Result<> reopen_log();

// Writes what is queued and ends the thread. A sink that is stuck is left alone after a few
// seconds: the end of the process does not wait for it.
void stop_log();

// Lines that did not get to where they should, since the start of the process.
std::uint64_t log_lines_lost();

namespace log_detail {
inline std::atomic<LogLevel> threshold = LogLevel::Info;
inline std::atomic<std::uint64_t> lost = 0;
[[gnu::cold]] void write(LogLevel level, std::string text);
}  // namespace log_detail

inline bool log_enabled(LogLevel level) {
  return level <= log_detail::threshold.load(std::memory_order_relaxed);
}

inline void set_log_threshold(LogLevel level) {
  log_detail::threshold.store(level, std::memory_order_relaxed);
}

inline LogLevel log_threshold() { return log_detail::threshold.load(std::memory_order_relaxed); }

template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level))
    log_detail::write(level, fmt::format(format, std::forward<Args>(args)...));
}

// For lines that a peer can trigger: at most `lines` of them in each `period`. How many were left
// out is said with the first line of a later period.
class LogLimiter {
 public:
  using Clock = std::chrono::steady_clock;

  LogLimiter(int lines, Clock::duration period) : lines_(lines), period_(period) {}

  // nullopt: leave this line out. Otherwise log it; the number is how many were left out before.
  std::optional<std::uint64_t> pass(Clock::time_point now = Clock::now());

 private:
  const int lines_;
  const Clock::duration period_;
  std::mutex mutex_;
  std::optional<Clock::time_point> period_began_;
  int passed_ = 0;
  std::uint64_t left_out_ = 0;
};

template <class... Args>
void log_limited(LogLimiter& limiter, LogLevel level, fmt::format_string<Args...> format,
                 Args&&... args) {
  if (!log_enabled(level)) return;
  const std::optional<std::uint64_t> left_out = limiter.pass();
  if (!left_out) return;
  std::string text = fmt::format(format, std::forward<Args>(args)...);
  if (*left_out > 0) text += fmt::format(" ({} more like it not logged)", *left_out);
  log_detail::write(level, std::move(text));
}

}  // namespace doorman
