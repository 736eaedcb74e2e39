#include "net/listener.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace doorman::net {
namespace {

using testing::HasSubstr;

UniqueFd connected_to(const Address& address) {
  UniqueFd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), address.get(), address.length()) != 0) fd.reset();
  return fd;
}

UniqueFd listening_on_loopback() {
  auto fd = listen_tcp(*Address::numeric("127.0.0.1", 0), 16);
  EXPECT_TRUE(fd);
  return fd ? fd.take() : UniqueFd();
}

void expect_never_blocks_nor_leaks(int fd) {
  EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

bool has_ipv6() {
  const UniqueFd fd(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto any = Address::numeric("::", 0);
  return fd && bind(fd.get(), any->get(), any->length()) == 0;
}

TEST(ListenTcp, AcceptsWhoConnectsAndSaysWhoItIs) {
  const UniqueFd listener = listening_on_loopback();
  expect_never_blocks_nor_leaks(listener.get());
  Address peer;
  auto nobody = accept_one(listener.get(), &peer);
  ASSERT_TRUE(nobody);
  EXPECT_FALSE(*nobody);

  const UniqueFd client = connected_to(*Address::local_of(listener.get()));
  ASSERT_TRUE(client);
  auto accepted = accept_one(listener.get(), &peer);
  ASSERT_TRUE(accepted);
  ASSERT_TRUE(*accepted);
  expect_never_blocks_nor_leaks((*accepted)->get());
  EXPECT_EQ(peer, *Address::local_of(client.get()));
}

TEST(ListenTcp, SaysWhereAndWhyItCannotListen) {
  const UniqueFd listener = listening_on_loopback();
  const Address taken = *Address::local_of(listener.get());
  const auto second = listen_tcp(taken, 16);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr(taken.text()));
  EXPECT_THAT(second.error().message, HasSubstr("Address already in use"));
}

TEST(ListenTcp, SharesAPortWhenTold) {
  auto first = listen_tcp(*Address::numeric("127.0.0.1", 0), 16, ReusePort::Yes);
  ASSERT_TRUE(first);
  EXPECT_TRUE(listen_tcp(*Address::local_of(first->get()), 16, ReusePort::Yes));
}

TEST(ListenAddresses, TakesAStarForBothFamilies) {
  auto addresses = listen_addresses("*", 0);
  ASSERT_TRUE(addresses);
  ASSERT_EQ(addresses->size(), 2U);
  auto v4 = listen_tcp((*addresses)[0], 16);
  ASSERT_TRUE(v4);
  ASSERT_TRUE(*v4);
  const Address bound = *Address::local_of((*v4)->get());
  EXPECT_EQ(bound.host(), "0.0.0.0");
  EXPECT_NE(bound.port(), 0);
  // The same port on both: :: must not claim IPv4 as well. A machine without IPv6 will do.
  const ListenAddress v6 = {(*addresses)[1].address.with_port(bound.port()), true};
  auto both = listen_tcp(v6, 16);
  ASSERT_TRUE(both);
  EXPECT_EQ(both->has_value(), has_ipv6());
}

TEST(ListenAddresses, TakesNumbersAndNamesOnceEach) {
  auto addresses = listen_addresses(" 127.0.0.1, localhost,,127.0.0.1 ", 6432);
  ASSERT_TRUE(addresses);
  int on_loopback = 0;
  for (const ListenAddress& one : *addresses) on_loopback += one.address.text() == "127.0.0.1:6432";
  EXPECT_EQ(on_loopback, 1);
  auto none = listen_addresses("", 6432);
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
}

TEST(ListenAddresses, RefusesANameThatIsNowhere) {
  const auto addresses = listen_addresses("127.0.0.1, no.such.host.invalid", 0);
  ASSERT_FALSE(addresses);
  EXPECT_EQ(addresses.error().code, ErrorCode::Config);
  EXPECT_THAT(addresses.error().message, HasSubstr("no.such.host.invalid"));
  // Not an address of this machine.
  EXPECT_FALSE(listen_tcp(ListenAddress{*Address::numeric("192.0.2.1", 0), true}, 16));
}

class ListenUnix : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/doorman_listen_XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    folder_ = path;
    what_.path = folder_ / "socket";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
  UnixListen what_;
};

TEST_F(ListenUnix, AcceptsWhoConnects) {
  auto listener = listen_unix(what_);
  ASSERT_TRUE(listener);
  expect_never_blocks_nor_leaks(listener->get());
  const UniqueFd client = connected_to(*Address::unix_path(what_.path));
  ASSERT_TRUE(client);
  Address peer;
  auto accepted = accept_one(listener->get(), &peer);
  ASSERT_TRUE(accepted);
  ASSERT_TRUE(*accepted);
  EXPECT_EQ(peer.text(), "unix");
  EXPECT_EQ(Address::local_of((*accepted)->get())->path(), what_.path);
}

TEST_F(ListenUnix, SetsModeAndGroup) {
  what_.mode = 0640;
  what_.group = std::to_string(getgid());
  ASSERT_TRUE(listen_unix(what_));
  struct stat status = {};
  ASSERT_EQ(stat(what_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  EXPECT_EQ(status.st_gid, getgid());
}

TEST_F(ListenUnix, LeavesNothingBehindWhenItsGroupIsUnknown) {
  what_.group = "no-such-group";
  const auto listener = listen_unix(what_);
  ASSERT_FALSE(listener);
  EXPECT_THAT(listener.error().message, HasSubstr("no-such-group"));
  EXPECT_FALSE(std::filesystem::exists(what_.path));
}

TEST_F(ListenUnix, ReplacesTheSocketOfADeadProcess) {
  { ASSERT_TRUE(listen_unix(what_)); }
  ASSERT_TRUE(std::filesystem::exists(what_.path));
  auto listener = listen_unix(what_);
  ASSERT_TRUE(listener);
  EXPECT_TRUE(connected_to(*Address::unix_path(what_.path)));
}

TEST_F(ListenUnix, LeavesASocketThatIsAnswered) {
  what_.backlog = 0;
  auto living = listen_unix(what_);
  ASSERT_TRUE(living);
  // The first probe fills the queue of the living one, so the second meets a full queue.
  for (int i = 0; i < 3; ++i) {
    const auto listener = listen_unix(what_);
    ASSERT_FALSE(listener);
    EXPECT_THAT(listener.error().message, HasSubstr("in use"));
  }
  Address peer;
  EXPECT_TRUE(accept_one(living->get(), &peer));
}

TEST_F(ListenUnix, LeavesAFileThatIsNoSocket) {
  std::ofstream(what_.path) << "precious";
  const auto listener = listen_unix(what_);
  ASSERT_FALSE(listener);
  EXPECT_THAT(listener.error().message, HasSubstr("not a socket"));
  EXPECT_TRUE(std::filesystem::is_regular_file(what_.path));
}

TEST_F(ListenUnix, RefusesPathsThatAreTooLongOrNowhere) {
  what_.path = folder_ / std::string(200, 'x');
  const auto too_long = listen_unix(what_);
  ASSERT_FALSE(too_long);
  EXPECT_THAT(too_long.error().message, HasSubstr("the system allows 107"));
  what_.path = folder_ / "no" / "folder";
  const auto nowhere = listen_unix(what_);
  ASSERT_FALSE(nowhere);
  EXPECT_THAT(nowhere.error().message, HasSubstr("No such file or directory"));
}

TEST_F(ListenUnix, TakesAbstractNames) {
  what_.path = "@doorman_test_" + std::to_string(getpid());
  what_.group = "is not looked at";
  auto listener = listen_unix(what_);
  ASSERT_TRUE(listener);
  EXPECT_TRUE(connected_to(*Address::unix_path(what_.path)));
  const auto second = listen_unix(what_);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("in use"));
}

TEST(AcceptOne, SaysLimitWhenThereAreNoDescriptorsLeft) {
  const UniqueFd listener = listening_on_loopback();
  const UniqueFd client = connected_to(*Address::local_of(listener.get()));
  ASSERT_TRUE(client);
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  Address peer;
  auto refused = accept_one(listener.get(), &peer);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::Limit);

  auto accepted = accept_one(listener.get(), &peer);  // the client was not lost
  ASSERT_TRUE(accepted);
  EXPECT_TRUE(*accepted);
}

TEST(AcceptOne, SaysWhenItIsNoListeningSocket) {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Address peer;
  const auto accepted = accept_one(fd.get(), &peer);
  ASSERT_FALSE(accepted);
  EXPECT_EQ(accepted.error().code, ErrorCode::System);
}

}  // namespace
}  // namespace doorman::net
