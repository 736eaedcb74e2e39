// One line of log. Where it goes (stderr, file, syslog, journal) is set once by main and on reload.
//
// Cheap when the level is off; a line is formatted on the caller's thread and written by the log's
// own thread, so a slow disk or journal never holds up the traffic. Never log a password, a key or,
// above Debug, the text of a query.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <string>
#include <utility>

namespace doorman {

enum class LogLevel { Error, Warning, Notice, Info, Debug };

namespace log_detail {
inline std::atomic<LogLevel> threshold = LogLevel::Info;
void write(LogLevel level, std::string line);
}  // namespace log_detail

inline bool log_enabled(LogLevel level) {
  return level <= log_detail::threshold.load(std::memory_order_relaxed);
}

inline void set_log_threshold(LogLevel level) {
  log_detail::threshold.store(level, std::memory_order_relaxed);
}

template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) log_detail::write(level, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace doorman
