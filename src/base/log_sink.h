// The places a log line can go to. Used by the log's own thread (base/log.cc) and by nobody else.
//
// No sink fails towards its caller: there is nowhere to say it. A line that cannot be written is
// counted, and the count is written before the next line that can. A sink that takes nothing is
// given a second once, and no time at all from then on until it takes a line again.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace doorman {

struct LogLine {
  LogLevel level;
  std::chrono::system_clock::time_point time;
  std::string text;
};

// What stands before the text of a line.
enum class LogStamp {
  Time,      // 2026-01-31 12:00:00.123 UTC [4711] NOTICE
  Priority,  // <5>: sd-daemon's way; the journal has its own time
};

// Whether `fd` is the stream to the journal that systemd named in JOURNAL_STREAM.
bool is_journal_stream(int fd, const char* journal_stream);

// The line as it is written, newline included.
std::string format_line(const LogLine& line, LogStamp stamp);

// A file, pipe or terminal. Does not own the descriptor.
class DescriptorSink {
 public:
  DescriptorSink(int fd, LogStamp stamp) : fd_(fd), stamp_(stamp) {}
  void write(const LogLine& line);

 private:
  bool send(std::string_view bytes);

  int fd_;
  LogStamp stamp_;
  std::uint64_t lost_ = 0;
  bool torn_ = false;  // what was written last ended inside a line
};

// The local syslog daemon. Not syslog(3), which waits for a daemon that does not read.
class SyslogSink {
 public:
  SyslogSink(int facility, std::string ident, std::string path = "/dev/log")
      : facility_(facility), ident_(std::move(ident)), path_(std::move(path)) {}
  void write(const LogLine& line);

 private:
  bool send(const LogLine& line);
  bool connect();

  int facility_;
  std::string ident_;
  std::string path_;
  UniqueFd socket_;
  std::uint64_t lost_ = 0;
};

// "local0" and the like as the number that syslog wants; nullopt: there is no such facility.
std::optional<int> syslog_facility(std::string_view name);

// All the places of one LogTarget.
class LogSinks {
 public:
  static Result<LogSinks> open(const LogTarget& target);
  void write(const LogLine& line);

 private:
  UniqueFd file_fd_;
  std::optional<DescriptorSink> stderr_;
  std::optional<DescriptorSink> file_;
  std::optional<SyslogSink> syslog_;
};

}  // namespace doorman
