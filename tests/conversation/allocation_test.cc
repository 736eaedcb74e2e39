// In the steady state a query costs no allocation, in our code or in libevent's.
//
// This program's operator new counts, so the peers here are bare buffers and sockets.
#include <event2/event.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <new>

#include "world.h"

namespace {

std::size_t allocations = 0;
bool counting = false;

void* counted(std::size_t size) {
  if (counting) ++allocations;
  return std::malloc(size);
}

void* counted_realloc(void* old, std::size_t size) {
  if (counting) ++allocations;
  return std::realloc(old, size);
}

void give_back(void* memory) { std::free(memory); }

}  // namespace

void* operator new(std::size_t size) {
  void* memory = counted(size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace doorman::conversation {
namespace {

constexpr int kQueries = 1000;

void say(const Peer& peer, const std::string& bytes) {
  const auto size = static_cast<ssize_t>(bytes.size());
  CHECK(::send(peer.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == size);
}

void hear(World& world, const Peer& peer, const std::string& expected) {
  char into[1024];
  std::size_t got = 0;
  for (int turns = 0; got < expected.size() && turns < 100; ++turns) {
    world.turn();
    const ssize_t size = ::recv(peer.fd(), into + got, sizeof into - got, MSG_DONTWAIT);
    if (size > 0) got += static_cast<std::size_t>(size);
  }
  CHECK(std::string_view(into, got) == expected);
}

struct Exchange {
  std::string asked;
  std::string sent_on;
  std::string answered;
  std::string passed_back;
};

// The allocations of `kQueries` times this exchange, after some that may still allocate.
std::size_t allocations_of(World& world, Session& session, const Exchange& exchange) {
  allocations = 0;
  for (int i = -20; i < kQueries; ++i) {
    counting = i >= 0;
    say(session.client, exchange.asked);
    hear(world, session.server, exchange.sent_on);
    say(session.server, exchange.answered);
    hear(world, session.client, exchange.passed_back);
  }
  counting = false;
  return allocations;
}

TEST(RelayTest, ForwardsWithoutAllocating) {
  event_set_mem_functions(counted, counted_realloc, give_back);
  World world;
  Session session = world.session();
  const std::string reply = result("1") + ready();
  const std::size_t simple = allocations_of(world, session,
                                            {.asked = query("select 1"),
                                             .sent_on = query("select 1"),
                                             .answered = reply,
                                             .passed_back = reply});
  EXPECT_EQ(simple, 0U) << "in " << kQueries << " simple queries";
}

TEST(RelayTest, ForwardsPreparedStatementsWithoutAllocating) {
  World world;
  Session session = world.session();
  session.client.sends(parse("a statement of the application", "select 1") + sync());
  session.server.sees(parse("PGDOORMAN_1", "select 1") + sync());
  session.server.sends(parse_complete() + ready());
  session.client.sees(parse_complete() + ready());
  const std::string reply = bind_complete() + executed("1") + ready();
  const std::size_t prepared =
      allocations_of(world, session,
                     {.asked = bind("a statement of the application") + execute() + sync(),
                      .sent_on = bind("PGDOORMAN_1") + execute() + sync(),
                      .answered = reply,
                      .passed_back = reply});
  EXPECT_EQ(prepared, 0U) << "in " << kQueries << " prepared queries";
}

TEST(RelayTest, ForwardsUnnamedStatementsWithoutAllocating) {
  World world;
  Session session = world.session();
  const std::string one = parse("", "select 1") + bind("") + execute() + sync();
  const std::string two = parse("", "select 2") + bind("") + execute() + sync();
  const std::string reply = parse_complete() + bind_complete() + executed("1") + ready();
  const std::size_t unnamed = allocations_of(world, session,
                                             {.asked = one + two,
                                              .sent_on = one + two,
                                              .answered = reply + reply,
                                              .passed_back = reply + reply});
  EXPECT_EQ(unnamed, 0U) << "in " << 2 * kQueries << " queries";
}

// What a login costs beside its system calls: many clients come for one query each.
TEST(LoginTest, TakesFewAllocations) {
  constexpr std::size_t kLogins = 100;
  World world;
  Session session = world.session();
  const std::string startup =
      wire::startup_message({{"user", "app"}, {"database", "shop"}, {"application_name", ""}});
  allocations = 0;
  for (std::size_t i = 0; i < kLogins; ++i) {
    Peer client = world.dials();
    say(client, startup + wire::terminate());
    counting = true;
    for (int turns = 0; turns < 4; ++turns) world.turn();
    counting = false;
    char into[1024];
    CHECK(::recv(client.fd(), into, sizeof into, MSG_DONTWAIT) > 0);
    CHECK(::recv(client.fd(), into, sizeof into, MSG_DONTWAIT) == 0);
  }
  EXPECT_LE(allocations, 10 * kLogins) << "in " << kLogins << " logins";
}

TEST(RelayTest, ChangesServersOfTwoClientsWithoutAllocating) {
  World world("default_pool_size=1\n");
  Session session = world.session();
  Peer second = world.one_more_client();
  const std::string reply = result("1") + ready();
  const std::string asked = query("select 1");
  allocations = 0;
  for (int i = -20; i < kQueries; ++i) {
    counting = i >= 0;
    say(session.client, asked);  // both ask; one of them waits
    say(second, asked);
    for (int each = 0; each < 2; ++each) {
      hear(world, session.server, asked);
      say(session.server, reply);
    }
    hear(world, session.client, reply);
    hear(world, second, reply);
  }
  counting = false;
  EXPECT_EQ(allocations, 0U);
}

}  // namespace
}  // namespace doorman::conversation
