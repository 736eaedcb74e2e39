// What the service manager learns of us, and which listening sockets are used.
#include "daemon/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "base/log.h"
#include "daemon/listeners.h"
#include "net/listener.h"

namespace doorman::daemon {
namespace {

using handoff::PassedFd;
using net::Address;

TEST(Watchdog, StopsTheKeepAliveWhenAWorkerHangs) {
  // Without a service manager nothing is sent; what counts here is what the log says of it.
  handoff::Notifier notifier;
  Watchdog watchdog(notifier, std::chrono::seconds(8));
  const Instant start = clock_now();
  testing::internal::CaptureStderr();
  watchdog.look(start, {1, 1});
  watchdog.look(start + std::chrono::seconds(3), {2, 1});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  testing::internal::CaptureStderr();
  watchdog.stand_by(true);
  watchdog.look(start + std::chrono::seconds(5), {2, 1});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  watchdog.stand_by(false);
  testing::internal::CaptureStderr();
  watchdog.look(start + std::chrono::seconds(8), {3, 1});
  watchdog.look(start + std::chrono::seconds(9), {4, 1});
  watchdog.look(start + std::chrono::seconds(10), {5, 1});
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, testing::HasSubstr("worker 1 hangs"));
  EXPECT_EQ(said.find("hangs"), said.rfind("hangs"));
}

class OpenListeners : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/doorman_listeners_XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    settings_.unix_socket_dir = folder_ = folder;
    settings_.listen_addr = {"127.0.0.1"};
    // A port that is free: the kernel chooses one.
    auto probe = net::listen_tcp(*Address::numeric("127.0.0.1", 0), 16);
    ASSERT_TRUE(probe);
    settings_.listen_port = Address::local_of(probe->get())->port();
    path_ = folder_ + "/.s.PGSQL." + std::to_string(settings_.listen_port);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string addresses(const Listeners& listeners) {
    std::string text;
    for (const UniqueFd& fd : listeners.fds) text += Address::local_of(fd.get())->text() + " ";
    return text;
  }
  PassedFd tcp(const std::string& name) const {
    auto fd = net::listen_tcp(*Address::numeric("127.0.0.1", settings_.listen_port), 16);
    EXPECT_TRUE(fd);
    return {.name = name, .fd = fd.take()};
  }
  PassedFd unix_socket(const std::string& name) const {
    auto fd = net::listen_unix({.path = path_, .mode = 0777, .group = "", .backlog = 16});
    EXPECT_TRUE(fd);
    return {.name = name, .fd = fd.take()};
  }
  // Opens them and returns what the log said.
  std::string open(std::vector<PassedFd> passed) {
    testing::internal::CaptureStderr();
    auto opened = open_listeners(settings_, std::move(passed), notifier_);
    std::string said = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(opened);
    if (opened) listeners_ = opened.take();
    return said;
  }

  std::string folder_;
  std::string path_;
  config::Settings settings_;
  handoff::Notifier notifier_;
  Listeners listeners_;
};

TEST_F(OpenListeners, OpensWhatTheConfigurationNames) {
  const std::string said = open({});
  EXPECT_THAT(said, testing::HasSubstr("listening on 127.0.0.1"));
  EXPECT_EQ(listeners_.fds.size(), 2U);
  EXPECT_EQ(listeners_.unix_paths, std::vector<std::string>{path_});
}

TEST_F(OpenListeners, TakesThoseOfTheServiceManagerAndDoesNotOwnTheirFiles) {
  std::vector<PassedFd> passed;
  passed.push_back(unix_socket("client"));
  passed.push_back(tcp("client"));
  const std::string said = open(std::move(passed));
  EXPECT_THAT(said, testing::Not(testing::HasSubstr("WARNING")));
  EXPECT_EQ(listeners_.fds.size(), 2U);
  EXPECT_TRUE(listeners_.unix_paths.empty());
}

TEST_F(OpenListeners, SaysWhereTheServiceManagerAndTheConfigurationDiffer) {
  std::vector<PassedFd> passed;
  passed.push_back(tcp("client"));
  const std::string said = open(std::move(passed));
  EXPECT_THAT(said, testing::HasSubstr("WARNING"));
  EXPECT_THAT(said, testing::HasSubstr("unix:" + path_));
  EXPECT_EQ(listeners_.fds.size(), 1U);
}

TEST_F(OpenListeners, TakesItsOwnAgain) {
  std::vector<PassedFd> passed;
  passed.push_back(unix_socket(std::string(handoff::kOwnListener)));
  passed.push_back(tcp(std::string(handoff::kOwnListener)));
  const int kept = passed[1].fd.get();
  const std::string said = open(std::move(passed));
  EXPECT_THAT(said, testing::Not(testing::HasSubstr("WARNING")));
  ASSERT_EQ(listeners_.fds.size(), 2U);
  EXPECT_EQ(listeners_.fds[0].get(), kept);
  EXPECT_EQ(listeners_.unix_paths, std::vector<std::string>{path_});
}

TEST_F(OpenListeners, MakesItsUnixSocketAnewWhenItsFileIsGone) {
  std::vector<PassedFd> passed;
  passed.push_back(unix_socket(std::string(handoff::kOwnListener)));
  ::unlink(path_.c_str());
  open(std::move(passed));
  ASSERT_EQ(listeners_.fds.size(), 2U);
  EXPECT_TRUE(std::filesystem::is_socket(path_));
}

}  // namespace
}  // namespace doorman::daemon
