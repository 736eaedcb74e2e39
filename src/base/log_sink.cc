#include "base/log_sink.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/text.h"

namespace doorman {

namespace {

using std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(1);
constexpr mode_t kFileMode = 0640;

const char* name_of(LogLevel level) {
  switch (level) {
    case LogLevel::Error: return "ERROR";
    case LogLevel::Warning: return "WARNING";
    case LogLevel::Notice: return "NOTICE";
    case LogLevel::Info: return "INFO";
    case LogLevel::Debug: return "DEBUG";
  }
  return "?";
}

int priority_of(LogLevel level) {
  switch (level) {
    case LogLevel::Error: return LOG_ERR;
    case LogLevel::Warning: return LOG_WARNING;
    case LogLevel::Notice: return LOG_NOTICE;
    case LogLevel::Info: return LOG_INFO;
    case LogLevel::Debug: return LOG_DEBUG;
  }
  return LOG_INFO;
}

// Local time as strftime's `format` wants it.
std::string local_time(std::chrono::system_clock::time_point when, const char* format) {
  const time_t seconds = std::chrono::system_clock::to_time_t(when);
  tm parts = {};
  localtime_r(&seconds, &parts);
  char buffer[64];
  return {buffer, strftime(buffer, sizeof buffer, format, &parts)};
}

LogLine lost_report(std::uint64_t lost, const LogLine& next) {
  return {.level = LogLevel::Warning,
          .time = next.time,
          .text = fmt::format("{} lines of the log could not be written here", lost)};
}

int milliseconds_left(steady_clock::time_point deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
  return static_cast<int>(std::max<decltype(left)>(left, 0));
}

// What stderr is when the log opens it.
LogStamp stderr_stamp() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing changes the environment once there are threads
  const char* stream = std::getenv("JOURNAL_STREAM");
  return is_journal_stream(STDERR_FILENO, stream) ? LogStamp::Priority : LogStamp::Time;
}

}  // namespace

bool is_journal_stream(int fd, const char* journal_stream) {
  struct stat status = {};
  if (journal_stream == nullptr || fstat(fd, &status) != 0) return false;
  return fmt::format("{}:{}", status.st_dev, status.st_ino) == journal_stream;
}

std::string format_line(const LogLine& line, LogStamp stamp) {
  const std::string text = escape_control(line.text);
  if (stamp == LogStamp::Priority) return fmt::format("<{}>{}\n", priority_of(line.level), text);

  const auto milliseconds =
      std::chrono::floor<std::chrono::milliseconds>(line.time.time_since_epoch()).count() % 1000;
  return fmt::format("{}.{:03} {} [{}] {} {}\n", local_time(line.time, "%Y-%m-%d %H:%M:%S"),
                     milliseconds, local_time(line.time, "%Z"), getpid(), name_of(line.level),
                     text);
}

void DescriptorSink::write(const LogLine& line) {
  std::string bytes = torn_ ? "\n" : "";
  if (lost_ > 0) bytes += format_line(lost_report(lost_, line), stamp_);
  bytes += format_line(line, stamp_);
  if (send(bytes)) {
    lost_ = 0;
    torn_ = false;
  } else {
    ++lost_;
    log_detail::lost.fetch_add(1, std::memory_order_relaxed);
  }
}

// stderr is shared with others, so it cannot be made non-blocking. But a pipe that polls as
// writable takes PIPE_BUF bytes without waiting, so what is written at once is never more.
bool DescriptorSink::send(std::string_view bytes) {
  const auto deadline = steady_clock::now() + (lost_ == 0 ? kPatience : kPatience * 0);
  while (!bytes.empty()) {
    pollfd writable = {.fd = fd_, .events = POLLOUT, .revents = 0};
    const int ready = poll(&writable, 1, milliseconds_left(deadline));
    if (ready == 0) return false;
    const std::size_t size = std::min<std::size_t>(bytes.size(), PIPE_BUF);
    const ssize_t written = ready < 0 ? -1 : ::write(fd_, bytes.data(), size);
    if (written < 0) {
      const bool again = errno == EINTR || errno == EAGAIN;
      if (!again || steady_clock::now() >= deadline) return false;
      continue;
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
    torn_ = !bytes.empty();
  }
  return true;
}

void SyslogSink::write(const LogLine& line) {
  if (lost_ > 0 && send(lost_report(lost_, line))) lost_ = 0;
  if (lost_ == 0 && send(line)) return;
  ++lost_;
  log_detail::lost.fetch_add(1, std::memory_order_relaxed);
}

bool SyslogSink::send(const LogLine& line) {
  const std::string message = fmt::format("<{}>{} {}[{}]: {}", facility_ | priority_of(line.level),
                                          local_time(line.time, "%b %e %H:%M:%S"), ident_, getpid(),
                                          escape_control(line.text));
  if (!socket_ && !connect()) return false;
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  if (::send(socket_.get(), message.data(), message.size(), kFlags) >= 0) return true;
  if (errno == EAGAIN || errno == EMSGSIZE || errno == ENOBUFS) return false;
  // The daemon was restarted: its socket is another one now.
  return connect() && ::send(socket_.get(), message.data(), message.size(), kFlags) >= 0;
}

bool SyslogSink::connect() {
  socket_.reset(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (!socket_ || path_.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return true;
  }
  socket_.reset();
  return false;
}

std::optional<int> syslog_facility(std::string_view name) {
  struct Named {
    std::string_view name;
    int facility;
  };
  static constexpr Named kFacilities[] = {
      {"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"cron", LOG_CRON},
      {"daemon", LOG_DAEMON}, {"ftp", LOG_FTP},           {"kern", LOG_KERN},
      {"lpr", LOG_LPR},       {"mail", LOG_MAIL},         {"news", LOG_NEWS},
      {"syslog", LOG_SYSLOG}, {"user", LOG_USER},         {"uucp", LOG_UUCP},
      {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},     {"local2", LOG_LOCAL2},
      {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},     {"local5", LOG_LOCAL5},
      {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7},
  };
  for (const Named& known : kFacilities) {
    if (known.name == name) return known.facility;
  }
  return std::nullopt;
}

Result<LogSinks> LogSinks::open(const LogTarget& target) {
  LogSinks sinks;
  if (target.to_syslog) {
    const std::optional<int> facility = syslog_facility(target.syslog_facility);
    if (!facility) {
      return Error{ErrorCode::Config, "no syslog facility named " + target.syslog_facility};
    }
    sinks.syslog_.emplace(*facility, target.syslog_ident);
  }
  if (!target.file.empty()) {
    // O_NONBLOCK: a FIFO without a reader is an error here, and one that is full holds up nobody.
    constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    sinks.file_fd_.reset(::open(target.file.c_str(), kFlags, kFileMode));
    if (!sinks.file_fd_) {
      return Error{ErrorCode::System, errno_text("opening log file " + target.file, errno)};
    }
    sinks.file_.emplace(sinks.file_fd_.get(), LogStamp::Time);
  }
  if (target.to_stderr) sinks.stderr_.emplace(STDERR_FILENO, stderr_stamp());
  return sinks;
}

void LogSinks::write(const LogLine& line) {
  if (stderr_) stderr_->write(line);
  if (file_) file_->write(line);
  if (syslog_) syslog_->write(line);
}

}  // namespace doorman
