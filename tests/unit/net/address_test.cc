#include "net/address.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstddef>
#include <string>

#include "base/unique_fd.h"

namespace doorman::net {
namespace {

std::string text_of(const char* host, std::uint16_t port) {
  const auto address = Address::numeric(host, port);
  return address ? address->text() : "none";
}

TEST(Address, ReadsNumbersAndNoNames) {
  EXPECT_EQ(text_of("10.0.0.5", 51234), "10.0.0.5:51234");
  EXPECT_EQ(text_of("::1", 5), "[::1]:5");
  EXPECT_EQ(text_of("2001:db8:0:0::7", 65535), "[2001:db8::7]:65535");
  EXPECT_EQ(text_of("fe80::1%1", 5), "[fe80::1%1]:5");
  for (const char* other : {"", "localhost", "10.1", "1.2.3.4.5", "::1%", "::1%nosuchinterface",
                            "[::1]", " 10.0.0.5", "*", "/tmp", "1.2.3.256"}) {
    EXPECT_EQ(text_of(other, 1), "none") << other;
  }
}

TEST(Address, IsNoNumberWhileAPartOfItIsMissing) {
  const std::string v4 = "192.168.100.200";
  for (std::size_t size = 0; size < v4.size(); ++size) {
    const std::string cut = v4.substr(0, size);
    EXPECT_EQ(text_of(cut.c_str(), 1), size > 12 ? cut + ":1" : "none") << cut;
  }
  const std::string v6 = "2001:db8:1:2:3:4:5:6";
  for (std::size_t size = 0; size < v6.size(); ++size) {
    EXPECT_EQ(text_of(v6.substr(0, size).c_str(), 1), "none") << size;
  }
}

TEST(Address, ShowsHostAndPortApart) {
  const auto v4 = Address::numeric("10.0.0.5", 51234);
  EXPECT_EQ(v4->host(), "10.0.0.5");
  EXPECT_EQ(v4->port(), 51234);
  EXPECT_EQ(Address::numeric("::1", 5)->host(), "::1");
  EXPECT_EQ(Address::numeric("::1", 5)->port(), 5);
  EXPECT_EQ(v4->with_port(6).text(), "10.0.0.5:6");
}

TEST(Address, TurnsMappedIpv4IntoWhatItIs) {
  EXPECT_EQ(Address::numeric("::ffff:10.0.0.5", 7), Address::numeric("10.0.0.5", 7));
}

TEST(Address, KnowsUnixPathsAndAbstractNames) {
  auto path = Address::unix_path("/run/x/.s.PGSQL.6432");
  ASSERT_TRUE(path);
  EXPECT_TRUE(path->is_unix());
  EXPECT_FALSE(path->is_abstract());
  EXPECT_EQ(path->text(), "unix:/run/x/.s.PGSQL.6432");
  EXPECT_EQ(path->path(), "/run/x/.s.PGSQL.6432");
  EXPECT_EQ(path->host(), "unix");
  EXPECT_EQ(path->port(), 0);
  EXPECT_EQ(path->with_port(5), *path);

  auto abstract = Address::unix_path("@doorman");
  ASSERT_TRUE(abstract);
  EXPECT_TRUE(abstract->is_abstract());
  EXPECT_EQ(abstract->text(), "unix:@doorman");
  EXPECT_EQ(abstract->length(), offsetof(sockaddr_un, sun_path) + 8);
  EXPECT_EQ(abstract->get()->sa_data[0], '\0');
}

TEST(Address, RefusesUnixPathsThatDoNotFit) {
  EXPECT_TRUE(Address::unix_path(std::string(107, 'x')));
  const auto path = Address::unix_path(std::string(108, 'x'));
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code, ErrorCode::Config);
  EXPECT_NE(path.error().message.find("108 bytes, the system allows 107"), std::string::npos);
  EXPECT_TRUE(Address::unix_path("@" + std::string(107, 'x')));
  EXPECT_FALSE(Address::unix_path("@" + std::string(108, 'x')));
  EXPECT_FALSE(Address::unix_path(""));
  EXPECT_FALSE(Address::unix_path("@"));
  EXPECT_FALSE(Address::unix_path(std::string_view("/a\0b", 4)));
}

TEST(Address, IsEqualByMeaning) {
  EXPECT_EQ(Address::numeric("10.0.0.5", 1), Address::numeric("10.0.0.5", 1));
  EXPECT_NE(Address::numeric("10.0.0.5", 1), Address::numeric("10.0.0.5", 2));
  EXPECT_NE(Address::numeric("10.0.0.5", 1), Address::numeric("10.0.0.6", 1));
  EXPECT_NE(Address::numeric("::1", 1), Address::numeric("::2", 1));
  EXPECT_NE(Address::numeric("fe80::1%1", 1), Address::numeric("fe80::1%2", 1));
  EXPECT_NE(Address::numeric("::", 1), Address::numeric("0.0.0.0", 1));
  EXPECT_EQ(Address(), Address());

  sockaddr_in6 flow = {};
  flow.sin6_family = AF_INET6;
  flow.sin6_flowinfo = 77;
  flow.sin6_addr = in6addr_loopback;
  EXPECT_EQ(Address::from_sockaddr(reinterpret_cast<sockaddr*>(&flow), sizeof flow),
            *Address::numeric("::1", 0));
}

TEST(Address, ComesFromASocket) {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto loopback = Address::numeric("127.0.0.1", 0);
  ASSERT_EQ(bind(fd.get(), loopback->get(), loopback->length()), 0);
  auto local = Address::local_of(fd.get());
  ASSERT_TRUE(local);
  EXPECT_EQ(local->host(), "127.0.0.1");
  EXPECT_NE(local->port(), 0);
  EXPECT_FALSE(Address::peer_of(fd.get()));
  EXPECT_FALSE(Address::local_of(-1));

  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd one(pair[0]);
  const UniqueFd other(pair[1]);
  auto peer = Address::peer_of(one.get());
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->text(), "unix");
  EXPECT_EQ(peer->path(), "");
}

}  // namespace
}  // namespace doorman::net
