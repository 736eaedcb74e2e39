#include "session/statements.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace doorman::session {
namespace {

using namespace std::string_literals;

TEST(StatementRegistry, TheSameBytesAreOneStatement) {
  StatementRegistry registry;
  const StatementRef one = registry.intern("select 1\0\0\0"s);
  EXPECT_EQ(registry.intern("select 1\0\0\0"s), one);
  EXPECT_EQ(registry.size(), 1U);
  const StatementRef typed = registry.intern("select 1\0\0\1\0\0\0\x17"s);
  EXPECT_NE(typed, one) << "other parameter types";
  EXPECT_NE(typed->server_name, one->server_name);
  EXPECT_EQ(one->server_name, "PGDOORMAN_" + std::to_string(one->id));
  EXPECT_NE(registry.intern("SELECT 1\0\0\0"s), one);
}

TEST(StatementRegistry, ForgetsWithTheLastUserAndNeverGivesANameTwice) {
  StatementRegistry registry;
  StatementRef one = registry.intern("a");
  const std::string name = one->server_name;
  StatementRef copy = one;
  one.reset();
  EXPECT_EQ(registry.size(), 1U);
  copy.reset();
  EXPECT_EQ(registry.size(), 0U);
  EXPECT_NE(registry.intern("a")->server_name, name) << "a server may still have the old one";
}

TEST(StatementRegistry, RestoresANumberOnlyWhereItMeansTheSame) {
  StatementRegistry registry;
  const StatementRef seven = registry.restore(7, "a");
  ASSERT_NE(seven, nullptr);
  EXPECT_EQ(seven->server_name, "PGDOORMAN_7");
  EXPECT_EQ(registry.restore(7, "a"), seven);
  EXPECT_EQ(registry.restore(7, "b"), nullptr);
  EXPECT_EQ(registry.restore(0, "c"), nullptr);
  EXPECT_EQ(registry.intern("c")->id, 8U);
}

TEST(StatementRegistry, RestoresAStatementWhoseTextHasGotANewNumberSince) {
  StatementRegistry registry;
  const std::uint64_t before = registry.intern("a")->id;  // and gone again
  const StatementRef other = registry.intern("a");
  const StatementRef restored = registry.restore(before, "a");
  ASSERT_NE(restored, nullptr);
  EXPECT_EQ(restored->id, before);
  EXPECT_NE(other->id, before);
  EXPECT_EQ(registry.intern("a"), other);
}

TEST(StatementRegistry, ManyThreadsPrepareAndForget) {
  StatementRegistry registry;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&registry, t] {
        for (int i = 0; i < 2000; ++i) {
          const std::string body = "body " + std::to_string((i + t) % 5);
          const StatementRef one = registry.intern(body);
          EXPECT_EQ(one->body, body);
        }
      });
    }
  }
  EXPECT_EQ(registry.size(), 0U);
}

ClientStatementRef named(std::uint64_t serial, std::string name, StatementRef statement) {
  return std::make_shared<const ClientStatement>(ClientStatement{
      .serial = serial, .name = std::move(name), .statement = std::move(statement)});
}

TEST(ClientStatements, ANameStandsForItsStatementUntilRemoved) {
  StatementRegistry registry;
  ClientStatements names;
  const ClientStatementRef first = named(1, "s", registry.intern("a"));
  const ClientStatementRef second = named(2, "s", registry.intern("b"));
  names.add(first);
  EXPECT_EQ(names.find("s"), first);
  EXPECT_EQ(names.find("t"), nullptr);
  names.remove(*second);
  EXPECT_EQ(names.find("s"), first) << "the name does not stand for that one";
  names.remove(*first);
  EXPECT_EQ(names.find("s"), nullptr);
  names.add(second);
  EXPECT_EQ(names.find("s"), second);
  EXPECT_EQ(names.size(), 1U);
  names.clear();
  EXPECT_EQ(names.size(), 0U);
}

TEST(ServerStatements, TheLongestUnusedGoesFirst) {
  StatementRegistry registry;
  const StatementRef a = registry.intern("a");
  const StatementRef b = registry.intern("b");
  const StatementRef c = registry.intern("c");
  ServerStatements there;
  for (const StatementRef& each : {a, b, c}) there.add(each);
  EXPECT_TRUE(there.use(*a));
  there.add(b);  // to add it again is to use it
  EXPECT_EQ(there.size(), 3U);
  EXPECT_EQ(there.evict(3), nullptr);
  EXPECT_EQ(there.evict(1), c);
  EXPECT_EQ(there.evict(1), a);
  EXPECT_EQ(there.evict(1), nullptr);
  EXPECT_TRUE(there.has(*b));
  EXPECT_FALSE(there.use(*a));
  EXPECT_EQ(there.evict(0), b);
  EXPECT_EQ(there.evict(0), nullptr);
}

TEST(ServerStatements, KeepWhatTheyHaveAlive) {
  StatementRegistry registry;
  ServerStatements there;
  there.add(registry.intern("a"));
  EXPECT_EQ(registry.size(), 1U);
  there.remove(*registry.intern("a"));
  EXPECT_EQ(registry.size(), 0U);
  there.add(registry.intern("b"));
  there.clear();
  EXPECT_EQ(there.size(), 0U);
  EXPECT_EQ(registry.size(), 0U);
}

}  // namespace
}  // namespace doorman::session
