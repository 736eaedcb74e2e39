#include "base/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "base/log_sink.h"

namespace doorman {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

std::string content_of(const std::filesystem::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    reader.reset(ends[0]);
    writer.reset(ends[1]);
  }
  std::string read_all() const {
    std::string all;
    char buffer[4096];
    for (ssize_t n = 0; (n = read(reader.get(), buffer, sizeof buffer)) > 0;) all.append(buffer, n);
    return all;
  }
  // Until not one byte more goes in.
  void fill() const {
    const std::string block(4096, 'x');
    while (write(writer.get(), block.data(), block.size()) > 0) continue;
    while (write(writer.get(), "x", 1) > 0) continue;
  }
  // As a stderr that was inherited is.
  void make_writer_blocking() const {
    fcntl(writer.get(), F_SETFL, fcntl(writer.get(), F_GETFL) & ~O_NONBLOCK);
  }
  UniqueFd reader;
  UniqueFd writer;
};

// While it lives, `fd` is this process's stderr.
class StderrIs {
 public:
  explicit StderrIs(int fd) : before_(dup(STDERR_FILENO)) { dup2(fd, STDERR_FILENO); }
  ~StderrIs() { dup2(before_.get(), STDERR_FILENO); }

 private:
  UniqueFd before_;
};

class Log : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/doorman_log_XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    folder_ = path;
  }
  void TearDown() override {
    stop_log();
    std::filesystem::remove_all(folder_);
  }
  LogTarget file_only(const std::string& name) const {
    return {.to_stderr = false, .file = folder_ / name};
  }
  std::string text_of(const std::string& name) const { return content_of(folder_ / name); }

  std::filesystem::path folder_;
};

TEST_F(Log, WritesAllLinesOfAllThreadsWithTimePidAndLevel) {
  ASSERT_TRUE(start_log(file_only("log")));
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([thread] {
        for (int i = 0; i < 100; ++i) log(LogLevel::Info, "line {} of {}", i, thread);
      });
    }
  }
  log(LogLevel::Warning, "the last one");
  stop_log();
  const std::string text = text_of("log");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 401);
  for (int thread = 0; thread < 4; ++thread) {
    EXPECT_THAT(text, HasSubstr(fmt::format("] INFO line 99 of {}\n", thread)));
  }
  EXPECT_THAT(text.substr(text.rfind('\n', text.size() - 2) + 1),
              MatchesRegex("....-..-.. ..:..:..[.]... [^ ]+ \\[" + std::to_string(getpid()) +
                           "\\] WARNING the last one\n"));
}

TEST_F(Log, LeavesOutWhatIsBelowItsThreshold) {
  ASSERT_TRUE(start_log(file_only("log")));
  log(LogLevel::Debug, "unseen");
  set_log_threshold(LogLevel::Debug);
  log(LogLevel::Debug, "seen");
  set_log_threshold(LogLevel::Info);
  stop_log();
  EXPECT_THAT(text_of("log"), HasSubstr("DEBUG seen\n"));
  EXPECT_THAT(text_of("log"), Not(HasSubstr("unseen")));
}

TEST_F(Log, WritesToStderrBeforeItsStartAndAfterItsEnd) {
  const Pipe pipe;
  const StderrIs redirected(pipe.writer.get());
  log(LogLevel::Notice, "before");
  EXPECT_THAT(pipe.read_all(), HasSubstr("NOTICE before\n"));
  ASSERT_TRUE(start_log(file_only("log")));
  stop_log();
  log(LogLevel::Notice, "after");
  EXPECT_THAT(pipe.read_all(), HasSubstr("NOTICE after\n"));
  EXPECT_EQ(text_of("log"), "");
}

TEST_F(Log, ChangesItsTargetBetweenTwoLines) {
  ASSERT_TRUE(start_log(file_only("old")));
  log(LogLevel::Info, "one");
  ASSERT_TRUE(change_log(file_only("new")));
  log(LogLevel::Info, "two");
  stop_log();
  EXPECT_THAT(text_of("old"), HasSubstr("INFO one\n"));
  EXPECT_THAT(text_of("old"), Not(HasSubstr("two")));
  EXPECT_THAT(text_of("new"), HasSubstr("INFO two\n"));
  EXPECT_THAT(text_of("new"), Not(HasSubstr("one")));
}

TEST_F(Log, KeepsItsTargetWhenTheNewOneCannotBeOpened) {
  ASSERT_TRUE(start_log(file_only("log")));
  const auto no_folder = change_log(file_only("no/such/folder"));
  ASSERT_FALSE(no_folder);
  EXPECT_THAT(no_folder.error().message, HasSubstr("No such file"));
  LogTarget odd = file_only("other");
  odd.to_syslog = true;
  odd.syslog_facility = "nonsense";
  const auto no_facility = change_log(odd);
  ASSERT_FALSE(no_facility);
  EXPECT_EQ(no_facility.error().code, ErrorCode::Config);
  log(LogLevel::Info, "still here");
  stop_log();
  EXPECT_THAT(text_of("log"), HasSubstr("still here"));
}

TEST_F(Log, DoesNotStartWithoutItsFile) {
  EXPECT_FALSE(start_log(file_only("no/such/folder")));
  EXPECT_TRUE(start_log(file_only("log")));  // a failed start may be followed by another
}

TEST_F(Log, OpensItsFileAgainAfterItWasRenamed) {
  ASSERT_TRUE(start_log(file_only("log")));
  log(LogLevel::Info, "one");
  std::filesystem::rename(folder_ / "log", folder_ / "log.1");
  ASSERT_TRUE(reopen_log());
  log(LogLevel::Info, "two");
  stop_log();
  EXPECT_THAT(text_of("log.1"), HasSubstr("one"));
  EXPECT_THAT(text_of("log"), HasSubstr("two"));
}

TEST_F(Log, NeverHoldsUpACallerAndSaysHowMuchItDropped) {
  const Pipe pipe;
  pipe.fill();
  pipe.make_writer_blocking();
  const StderrIs redirected(pipe.writer.get());
  const std::uint64_t lost_before = log_lines_lost();
  ASSERT_TRUE(start_log({}));
  // Would never end if callers waited: nobody reads yet.
  for (int i = 0; i < 20'000; ++i) log(LogLevel::Info, "line {}", i);
  EXPECT_GE(log_lines_lost(), lost_before + 3000);  // the queue, taken out once, twice at most

  std::string text;
  std::jthread reader([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      pollfd readable = {.fd = pipe.reader.get(), .events = POLLIN, .revents = 0};
      poll(&readable, 1, /*timeout=*/10);
      text += pipe.read_all();
    }
  });
  log(LogLevel::Info, "somebody reads now");
  stop_log();
  reader.request_stop();
  reader.join();
  text += pipe.read_all();
  // By the queue or, on a slow machine, by the sink: "were dropped", "could not be written".
  EXPECT_TRUE(text.find(" lines of the log ") != std::string::npos);
}

TEST_F(Log, EndsThoughNobodyReadsItsStderr) {
  const Pipe pipe;
  pipe.fill();
  pipe.make_writer_blocking();
  const StderrIs redirected(pipe.writer.get());
  ASSERT_TRUE(start_log({.to_stderr = true, .file = folder_ / "log"}));
  log(LogLevel::Info, "one");
  log(LogLevel::Info, "two");
  stop_log();
  EXPECT_THAT(text_of("log"), HasSubstr("one"));
  EXPECT_THAT(text_of("log"), HasSubstr("two"));
}

TEST_F(Log, CutsALineThatIsTooLong) {
  ASSERT_TRUE(start_log(file_only("log")));
  log(LogLevel::Info, "{}", std::string(1'000'000, 'x'));
  stop_log();
  EXPECT_LT(text_of("log").size(), 20'000u);
  EXPECT_THAT(text_of("log"), HasSubstr("xxx...\n"));
}

LogLine line_of(std::string text) {
  return {.level = LogLevel::Error, .time = std::chrono::system_clock::now(), .text = text};
}

TEST(LogSink, ShowsControlCharactersSoThatNobodyForgesLines) {
  EXPECT_EQ(format_line(line_of("user \"a\n2026 FAKE\x1b[1m\""), LogStamp::Priority),
            "<3>user \"a\\n2026 FAKE\\x1b[1m\"\n");
}

TEST(LogSink, KnowsTheJournalByDeviceAndInode) {
  const Pipe pipe;
  struct stat status = {};
  ASSERT_EQ(fstat(pipe.writer.get(), &status), 0);
  const std::string name = fmt::format("{}:{}", status.st_dev, status.st_ino);
  EXPECT_TRUE(is_journal_stream(pipe.writer.get(), name.c_str()));
  EXPECT_FALSE(is_journal_stream(pipe.writer.get(), (name + "0").c_str()));
  EXPECT_FALSE(is_journal_stream(pipe.writer.get(), nullptr));
  EXPECT_FALSE(is_journal_stream(-1, name.c_str()));
}

TEST(LogSink, WritesPrioritiesAndNoTimeToTheJournal) {
  const Pipe pipe;
  DescriptorSink sink(pipe.writer.get(), LogStamp::Priority);
  sink.write({.level = LogLevel::Debug, .time = {}, .text = "hello"});
  sink.write({.level = LogLevel::Warning, .time = {}, .text = "careful"});
  EXPECT_EQ(pipe.read_all(), "<7>hello\n<4>careful\n");
}

TEST(LogSink, SaysHowManyLinesAFullPipeDidNotTake) {
  const Pipe pipe;
  pipe.fill();
  DescriptorSink sink(pipe.writer.get(), LogStamp::Priority);
  sink.write(line_of("one"));
  sink.write(line_of("two"));
  pipe.read_all();
  sink.write(line_of("three"));
  sink.write(line_of("four"));
  EXPECT_EQ(pipe.read_all(),
            "<4>2 lines of the log could not be written here\n<3>three\n<3>four\n");
}

TEST(LogSink, BearsAFullDisk) {
  const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  const std::uint64_t before = log_lines_lost();
  DescriptorSink sink(full.get(), LogStamp::Time);
  sink.write(line_of("one"));
  sink.write(line_of("two"));
  EXPECT_EQ(log_lines_lost(), before + 2);
}

// A syslog daemon's socket.
UniqueFd syslog_at(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

std::string datagram(const UniqueFd& fd) {
  char buffer[4096];
  const ssize_t size = recv(fd.get(), buffer, sizeof buffer, 0);
  return size < 0 ? "" : std::string(buffer, size);
}

TEST_F(Log, SpeaksToSyslogAndFindsItAgainAfterARestart) {
  const std::string path = folder_ / "dev_log";
  UniqueFd daemon = syslog_at(path);
  SyslogSink sink(LOG_LOCAL3, "doorman", path);
  sink.write(line_of("one"));
  const std::string tail = "doorman\\[" + std::to_string(getpid()) + "\\]: ";
  EXPECT_THAT(datagram(daemon), MatchesRegex("<155>... .. ..:..:.. " + tail + "one"));

  daemon.reset();
  std::filesystem::remove(path);
  sink.write(line_of("two"));  // nobody is there
  daemon = syslog_at(path);
  sink.write(line_of("three"));
  EXPECT_THAT(datagram(daemon), MatchesRegex("<156>.*: 1 lines of the log .*"));
  EXPECT_THAT(datagram(daemon), MatchesRegex("<155>.*: three"));
}

TEST_F(Log, DoesNotWaitForASyslogThatDoesNotRead) {
  const std::string path = folder_ / "dev_log";
  const UniqueFd daemon = syslog_at(path);
  SyslogSink sink(LOG_DAEMON, "doorman", path);
  const std::uint64_t before = log_lines_lost();
  for (int i = 0; i < 5000 && log_lines_lost() == before; ++i) sink.write(line_of("again"));
  EXPECT_GT(log_lines_lost(), before);
}

TEST(LogSink, KnowsTheFacilitiesByName) {
  EXPECT_EQ(syslog_facility("daemon"), LOG_DAEMON);
  EXPECT_EQ(syslog_facility("local7"), LOG_LOCAL7);
  EXPECT_EQ(syslog_facility("local8"), std::nullopt);
  EXPECT_EQ(syslog_facility(""), std::nullopt);
}

TEST(LogLimiter, LetsSomeLinesThroughInEachPeriodAndCountsTheOthers) {
  LogLimiter limiter(2, 10s);
  const auto start = LogLimiter::Clock::now();
  EXPECT_EQ(limiter.pass(start), 0u);
  EXPECT_EQ(limiter.pass(start), 0u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(limiter.pass(start + 9s), std::nullopt);
  EXPECT_EQ(limiter.pass(start + 10s), 5u);
  EXPECT_EQ(limiter.pass(start + 11s), 0u);
  EXPECT_EQ(limiter.pass(start + 11s), std::nullopt);
}

TEST_F(Log, SaysWithTheNextLineHowManyWereLeftOut) {
  ASSERT_TRUE(start_log(file_only("log")));
  LogLimiter limiter(1, 1h);
  for (int i = 0; i < 3; ++i) log_limited(limiter, LogLevel::Info, "flood {}", i);
  LogLimiter brief(1, 0s);
  log_limited(brief, LogLevel::Info, "each one");
  stop_log();
  EXPECT_THAT(text_of("log"), HasSubstr("flood 0\n"));
  EXPECT_THAT(text_of("log"), Not(HasSubstr("flood 1")));
  EXPECT_THAT(text_of("log"), HasSubstr("each one\n"));
}

}  // namespace
}  // namespace doorman
