#include "net/socket_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/unique_fd.h"
#include "net/listener.h"

namespace doorman::net {
namespace {

using namespace std::chrono_literals;

UniqueFd tcp_socket() { return UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

int option_of(const UniqueFd& fd, int level, int option) {
  int value = -1;
  socklen_t length = sizeof value;
  EXPECT_EQ(getsockopt(fd.get(), level, option, &value, &length), 0);
  return value;
}

TEST(SocketOptions, SetsAllThatIsSaid) {
  const UniqueFd fd = tcp_socket();
  ASSERT_TRUE(set_socket_options(fd.get(), {.keepalive = true,
                                            .keepcnt = 4,
                                            .keepidle = 60s,
                                            .keepintvl = 7s,
                                            .buffer_bytes = 32768,
                                            .user_timeout = 2500ms}));
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 4);
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 60);
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 2500);
  EXPECT_EQ(option_of(fd, SOL_SOCKET, SO_SNDBUF), 65536);  // Linux counts twice what it was told
  EXPECT_EQ(option_of(fd, SOL_SOCKET, SO_RCVBUF), 65536);
}

TEST(SocketOptions, LeavesTheKernelsValuesWhereZero) {
  const UniqueFd untouched = tcp_socket();
  const UniqueFd fd = tcp_socket();
  ASSERT_TRUE(set_socket_options(fd.get(), {}));
  EXPECT_EQ(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
  for (const int option : {TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_USER_TIMEOUT}) {
    EXPECT_EQ(option_of(fd, IPPROTO_TCP, option), option_of(untouched, IPPROTO_TCP, option));
  }
  EXPECT_EQ(option_of(fd, SOL_SOCKET, SO_SNDBUF), option_of(untouched, SOL_SOCKET, SO_SNDBUF));
}

TEST(SocketOptions, SwitchesKeepaliveOffAgain) {
  const UniqueFd fd = tcp_socket();
  ASSERT_TRUE(set_socket_options(fd.get(), {.keepalive = true}));
  ASSERT_TRUE(set_socket_options(fd.get(), {.keepalive = false}));
  EXPECT_EQ(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
}

TEST(SocketOptions, DefersAcceptOnListenersOnly) {
  auto listener = listen_tcp(*Address::numeric("127.0.0.1", 0), 16);
  ASSERT_TRUE(listener);
  ASSERT_TRUE(set_socket_options(listener->get(), {.defer_accept = true}));
  EXPECT_GT(option_of(*listener, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
  ASSERT_TRUE(set_socket_options(listener->get(), {.defer_accept = false}));
  EXPECT_EQ(option_of(*listener, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);

  const UniqueFd client = tcp_socket();
  ASSERT_TRUE(set_socket_options(client.get(), {.defer_accept = true}));
  EXPECT_EQ(option_of(client, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
}

TEST(SocketOptions, LeavesUnixSocketsAlone) {
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_TRUE(set_socket_options(fd.get(), {.keepcnt = 4, .buffer_bytes = 32768}));
}

TEST(SocketOptions, NamesTheOptionThatFailedAndSetsTheOthers) {
  const UniqueFd fd = tcp_socket();
  const auto set = set_socket_options(fd.get(), {.keepcnt = 1000, .keepintvl = 7s});
  ASSERT_FALSE(set);
  EXPECT_THAT(set.error().message, testing::HasSubstr("TCP_KEEPCNT"));
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
  EXPECT_FALSE(set_socket_options(-1, {}));
}

}  // namespace
}  // namespace doorman::net
