#include "base/log.h"

#include <condition_variable>
#include <deque>
#include <memory>
#include <thread>

#include "base/helper_threads.h"
#include "base/log_sink.h"

namespace doorman {

namespace {

constexpr std::size_t kMaxLines = 8192;                   // in the queue
constexpr std::size_t kMaxBytes = std::size_t{4} << 20;   // in the queue
constexpr std::size_t kMaxText = std::size_t{16} << 10;   // of one line
constexpr auto kPatienceAtEnd = std::chrono::seconds(3);  // for a sink that is stuck

// The queue, and the thread that empties it. Shared with that thread, which may outlive stop().
class LogWriter {
 public:
  explicit LogWriter(LogSinks sinks) : sinks_(std::move(sinks)) {}

  static std::shared_ptr<LogWriter> start(LogSinks sinks) {
    auto writer = std::make_shared<LogWriter>(std::move(sinks));
    writer->thread_ = start_thread("log", [writer] { writer->run(); });
    return writer;
  }

  // False when stopped: the line is still the caller's.
  bool push(LogLine& line) {
    const std::lock_guard lock(mutex_);
    if (stopping_) return false;
    if (queue_.size() >= kMaxLines || bytes_ >= kMaxBytes) {
      ++dropped_;
      log_detail::lost.fetch_add(1, std::memory_order_relaxed);
      return true;
    }
    bytes_ += line.text.size();
    queue_.push_back({.line = std::move(line), .change = nullptr});
    wake_.notify_one();
    return true;
  }

  void change(LogSinks sinks) {
    const std::lock_guard lock(mutex_);
    queue_.push_back({.line = {}, .change = std::make_unique<LogSinks>(std::move(sinks))});
    wake_.notify_one();
  }

  void stop() {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
    const bool ended = done_.wait_for(lock, kPatienceAtEnd, [this] { return ended_; });
    lock.unlock();
    if (ended) {
      thread_.join();
    } else {
      thread_.detach();
    }
  }

 private:
  // A line, or the order to write the following ones elsewhere.
  struct Item {
    LogLine line;
    std::unique_ptr<LogSinks> change;
  };

  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) break;
      std::deque<Item> items = std::exchange(queue_, {});
      const std::uint64_t dropped = std::exchange(dropped_, 0);
      bytes_ = 0;
      lock.unlock();
      write(items, dropped);
      items.clear();
      lock.lock();
    }
    ended_ = true;
    done_.notify_all();
  }

  // The dropped lines came when the queue was full, so after these.
  void write(std::deque<Item>& items, std::uint64_t dropped) {
    for (Item& item : items) {
      if (item.change) {
        sinks_ = std::move(*item.change);
      } else {
        sinks_.write(item.line);
      }
    }
    if (dropped == 0) return;
    sinks_.write({.level = LogLevel::Warning,
                  .time = std::chrono::system_clock::now(),
                  .text = fmt::format("{} lines of the log were dropped: too many at once, or the "
                                      "log is too slow",
                                      dropped)});
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::deque<Item> queue_;
  std::size_t bytes_ = 0;
  std::uint64_t dropped_ = 0;
  bool stopping_ = false;
  bool ended_ = false;
  std::thread thread_;  // touched by start() and stop() only
  LogSinks sinks_;      // touched by the thread only
};

// The log of the process.
struct Current {
  std::mutex mutex;
  std::shared_ptr<LogWriter> writer;
  LogTarget target;
};

// Never destroyed: threads may log until the process is gone.
Current& current() {
  static Current& the = *std::make_unique<Current>().release();
  return the;
}

std::shared_ptr<LogWriter> current_writer() {
  const std::lock_guard lock(current().mutex);
  return current().writer;
}

}  // namespace

Result<> start_log(const LogTarget& target) {
  LogSinks sinks = TRY(LogSinks::open(target));
  const std::lock_guard lock(current().mutex);
  CHECK(!current().writer);
  current().writer = LogWriter::start(std::move(sinks));
  current().target = target;
  return {};
}

Result<> change_log(const LogTarget& target) {
  LogSinks sinks = TRY(LogSinks::open(target));
  const std::lock_guard lock(current().mutex);
  CHECK(current().writer);
  current().writer->change(std::move(sinks));
  current().target = target;
  return {};
}

Result<> reopen_log() {
  LogTarget target;
  {
    const std::lock_guard lock(current().mutex);
    target = current().target;
  }
  return change_log(target);
}

void stop_log() {
  std::shared_ptr<LogWriter> writer;
  {
    const std::lock_guard lock(current().mutex);
    writer.swap(current().writer);
  }
  if (writer) writer->stop();
}

std::uint64_t log_lines_lost() { return log_detail::lost.load(std::memory_order_relaxed); }

void log_detail::write(LogLevel level, std::string text) {
  if (text.size() > kMaxText) {
    text.resize(kMaxText);
    text += "...";
  }
  LogLine line = {
      .level = level, .time = std::chrono::system_clock::now(), .text = std::move(text)};
  const std::shared_ptr<LogWriter> writer = current_writer();
  if (writer && writer->push(line)) return;
  if (auto sinks = LogSinks::open({}); sinks) sinks->write(line);
}

std::optional<std::uint64_t> LogLimiter::pass(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (!period_began_ || now - *period_began_ >= period_) {
    period_began_ = now;
    passed_ = 0;
  }
  if (passed_ >= lines_) {
    ++left_out_;
    return std::nullopt;
  }
  ++passed_;
  return std::exchange(left_out_, 0);
}

}  // namespace doorman
