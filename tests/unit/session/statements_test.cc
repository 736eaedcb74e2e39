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
  const StatementRef seven = registry.restore({.id = 7, .body = "a"});
  ASSERT_NE(seven, nullptr);
  EXPECT_EQ(seven->server_name, "PGDOORMAN_7");
  EXPECT_EQ(registry.restore({.id = 7, .body = "a"}), seven);
  EXPECT_EQ(registry.restore({.id = 7, .body = "b"}), nullptr);
  EXPECT_EQ(registry.restore({.id = 0, .body = "c"}), nullptr);
  EXPECT_EQ(registry.intern("c")->id, 8U);
}

TEST(StatementRegistry, RestoresAStatementWhoseTextHasGotANewNumberSince) {
  StatementRegistry registry;
  const std::uint64_t before = registry.intern("a")->id;  // and gone again
  const StatementRef other = registry.intern("a");
  const StatementRef restored = registry.restore({.id = before, .body = "a"});
  ASSERT_NE(restored, nullptr);
  EXPECT_EQ(restored->id, before);
  EXPECT_NE(other->id, before);
  EXPECT_EQ(registry.intern("a"), other);
}

TEST(StatementRegistry, OtherSettingsMakeAnotherStatement) {
  StatementRegistry registry;
  const StatementRef one = registry.intern("select '1/2/2020'::date", "DateStyle: MDY");
  EXPECT_NE(registry.intern("select '1/2/2020'::date", "DateStyle: DMY"), one);
  EXPECT_EQ(registry.intern("select '1/2/2020'::date", "DateStyle: MDY"), one);
}

TEST(StatementRegistry, APrivateStatementIsNobodyElses) {
  StatementRegistry registry;
  const StatementRef mine = registry.add_private({.body = "a"});
  const StatementRef shared = registry.intern("a");
  EXPECT_NE(mine, shared);
  EXPECT_NE(registry.add_private({.body = "a"}), mine);
  EXPECT_EQ(registry.restore({.id = mine->id, .body = "a", .shared = false}), mine);
  EXPECT_EQ(registry.restore({.id = mine->id, .body = "a"}), nullptr);
  EXPECT_EQ(registry.intern("a"), shared);
}

TEST(RecentStatements, AreTheRegistrysOwn) {
  StatementRegistry registry;
  RecentStatements recent;
  const StatementRef one = recent.intern(registry, "a", "s");
  EXPECT_EQ(recent.intern(registry, "a", "s"), one);
  EXPECT_EQ(registry.intern("a", "s"), one);
  EXPECT_NE(recent.intern(registry, "a", "t"), one);
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

TEST(ClientStatements, NamesAreAsLongAsPostgreSqlsAre) {
  StatementRegistry registry;
  ClientStatements names;
  const std::string stem(63, 'n');
  names.add(named(1, stem + "1", registry.intern("a")));
  EXPECT_NE(names.find(stem + "2"), nullptr);
  EXPECT_EQ(names.bytes(), 64U);
  names.remove(stem);
  EXPECT_EQ(names.size(), 0U);
  EXPECT_EQ(names.bytes(), 0U);
}

TEST(ClientStatements, APoolCountsATextOnceAndEachName) {
  StatementRegistry registry;
  pool::HeldTexts texts;
  const StatementRef a = registry.intern("aaaa");
  const StatementRef b = registry.intern("bb");
  ClientStatements one(&texts);
  one.add(named(1, "s", a));
  one.add(named(2, "tt", a));
  EXPECT_EQ(texts.bytes(), 7U);
  {
    ClientStatements other(&texts);
    other.add(named(3, "s", a));
    other.add(named(4, "u", b));
    EXPECT_EQ(texts.bytes(), 11U);
    EXPECT_EQ(texts.count(), 2U);
    EXPECT_TRUE(other.pool_has_room("v", *registry.intern("cc"), 14));
    EXPECT_FALSE(other.pool_has_room("v", *registry.intern("cc"), 13));
    EXPECT_TRUE(other.pool_has_room("v", *a, 12)) << "its text is there";
    EXPECT_FALSE(other.pool_has_room("v", *a, 11));
    EXPECT_TRUE(other.pool_has_room("v", *registry.intern("cc"), 0)) << "without limit";
    other.replace(*other.find("u"), a);
    EXPECT_EQ(texts.bytes(), 9U);
  }
  EXPECT_EQ(texts.bytes(), 7U) << "a client that leaves takes its own along";
  one.remove("s");
  EXPECT_EQ(texts.bytes(), 6U);
  one.clear();
  EXPECT_EQ(texts.bytes(), 0U);
  EXPECT_EQ(texts.count(), 0U);
}

TEST(ServerStatements, OwnNamesOfSqlPinTheServer) {
  ServerStatements there;
  there.set_own("a", {});
  EXPECT_FALSE(there.pins());
  there.set_own("a", {.sql = true});
  EXPECT_TRUE(there.pins());
  EXPECT_EQ(there.own_count(), 1U);
  there.remove_own("a");
  there.remove_own("a");
  EXPECT_FALSE(there.pins());
  EXPECT_EQ(there.own("a"), nullptr);
}

TEST(ServerStatements, WhatIsDoubtfulIsNotUsedAndStillEvicted) {
  StatementRegistry registry;
  const StatementRef a = registry.intern("a");
  ServerStatements there;
  there.add(a, {.doubtful = true});
  EXPECT_FALSE(there.use(*a));
  EXPECT_FALSE(there.has(*a));
  EXPECT_TRUE(there.given(*a).has_value());
  EXPECT_EQ(there.by_server_name(a->server_name), a);
  EXPECT_EQ(there.by_server_name(a->server_name + "x"), nullptr);
  const ServerStatements::Evicted gone = there.evict(0);
  EXPECT_EQ(gone.statement, a);
  EXPECT_TRUE(gone.doubtful) << "to close it says nothing of whether it was there";
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
  EXPECT_EQ(there.evict(3).statement, nullptr);
  EXPECT_EQ(there.evict(1).statement, c);
  EXPECT_EQ(there.evict(1).statement, a);
  EXPECT_EQ(there.evict(1).statement, nullptr);
  EXPECT_TRUE(there.has(*b));
  EXPECT_FALSE(there.use(*a));
  EXPECT_FALSE(there.evict(1).doubtful);
  const ServerStatements::Evicted last = there.evict(0);
  EXPECT_EQ(last.statement, b);
  EXPECT_FALSE(last.doubtful);
  EXPECT_EQ(there.evict(0).statement, nullptr);
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
