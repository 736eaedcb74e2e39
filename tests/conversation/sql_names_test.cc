// SQL about prepared statements: it finds the client's names, and only those.
#include <gtest/gtest.h>

#include "world.h"

namespace doorman::conversation {
namespace {

constexpr std::string_view kFirst = "PGDOORMAN_1";

void prepares(Peer& client, Peer& server, std::string_view name, std::string_view sql,
              std::string_view known) {
  client.sends(parse(name, sql) + sync());
  server.sees(parse(known, sql) + sync());
  server.sends(parse_complete() + ready());
  client.sees(parse_complete() + ready());
}

// A query that ends with this tag, and what the server sees of ours before it.
void says(Peer& client, Peer& server, std::string_view sql, std::string_view tag,
          const std::string& before = {}, const std::string& before_reply = {}) {
  client.sends(query(sql));
  server.sees(before + query(sql));
  server.sends(before_reply + command_complete(tag) + ready());
  client.sees(command_complete(tag) + ready());
}

TEST(SqlNames, ADeallocatedNameIsThereJustBefore) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  says(client, server, "deallocate MINE", "DEALLOCATE", parse("mine", ""), parse_complete());
  client.sends(bind("mine") + sync());
  server.sees(bind("mine") + sync());  // gone
}

TEST(SqlNames, ADeallocateThatFailsChangesNothing) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  client.sends(query("deallocate mine"));
  server.sees(parse("mine", "") + query("deallocate mine"));
  server.sends(parse_complete() + error("25P02", "aborted") + ready());
  client.sees(error("25P02", "aborted") + ready());
  client.sends(bind("mine") + sync());
  server.sees(bind(kFirst) + sync());
}

TEST(SqlNames, AnExecutedNameIsThereAndStays) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  for (const std::string& before : {parse("mine", "select 1"), std::string()}) {
    client.sends(query("execute mine"));
    server.sees(before + query("execute mine"));
    server.sends((before.empty() ? "" : parse_complete()) + result("1") + ready());
    client.sees(result("1") + ready());
  }
  // For another client the name means something else.
  Peer other = world.one_more_client();
  prepares(other, server, "mine", "select 2", "PGDOORMAN_2");
  other.sends(query("execute mine"));
  server.sees(close_statement("mine") + parse("mine", "select 2") + query("execute mine"));
  server.sends(close_complete() + parse_complete() + result("2") + ready());
  other.sees(result("2") + ready());
  Peer third = world.one_more_client();
  third.sends(query("execute mine"));
  server.sees(close_statement("mine") + query("execute mine"));
}

TEST(SqlNames, AnErrorOfTheNamePutBeforeEndsTheQuery) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select * from t", kFirst);
  client.sends(query("execute mine") + query("select 2"));
  server.sees(parse("mine", "select * from t") + query("execute mine"));
  server.sends(error("42P01", "relation \"t\" does not exist"));
  server.sees(sync());
  server.sends(ready());
  client.sees(error("42P01", "relation \"t\" does not exist") + ready());
  server.sees(query("select 2"));
}

TEST(SqlNames, WhoPreparesInSqlKeepsTheServer) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  says(client, server, "prepare s as select 1", "PREPARE");
  Peer other = world.one_more_client();
  other.sends(query("select 2"));
  server.sees_nothing();
  client.sends(bind("s") + execute() + sync());
  server.sees(bind("s") + execute() + sync());  // protocol and SQL have the same names
  server.sends(bind_complete() + executed("1") + ready());
  client.sees(bind_complete() + executed("1") + ready());
  client.sends(parse("s", "select 3") + sync());
  server.sees(parse("s", "select 3") + sync());
  server.sends(error("42P05", "already exists") + ready());
  client.sees(error("42P05", "already exists") + ready());
  says(client, server, "deallocate s", "DEALLOCATE");
  server.sees(query("select 2"));
}

TEST(SqlNames, WhatAClientPreparedInSqlGoesWithIt) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  says(client, server, "prepare s as select 1", "PREPARE");
  client.sends(terminate());
  server.sees(close_statement("s") + sync());
  server.sends(close_complete() + ready());
  Peer other = world.one_more_client();
  other.sends(query("execute s"));
  server.sees(query("execute s"));
}

TEST(SqlNames, SeveralInOneQueryAreFollowedByTheirTags) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "a", "select 1", kFirst);
  const std::string_view sql =
      "deallocate a; prepare a as select 2; prepare b as select 3; nonsense";
  client.sends(query(sql));
  server.sees(parse("a", "") + query(sql));
  server.sends(parse_complete() + command_complete("DEALLOCATE") + command_complete("PREPARE") +
               error("42P01", "nonsense") + ready());
  client.sees(command_complete("DEALLOCATE") + command_complete("PREPARE") +
              error("42P01", "nonsense") + ready());
  client.sends(bind("a") + bind("b") + sync());
  server.sees(bind("a") + bind("b") + sync());
}

TEST(SqlNames, InTheExtendedProtocolToo) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  client.sends(parse("", "deallocate mine") + bind("") + execute() + parse("mine", "select 2") +
               sync());
  server.sees(parse("mine", "") + parse("", "deallocate mine") + bind("") + execute() + flush());
  server.sends(parse_complete() + parse_complete() + bind_complete() +
               command_complete("DEALLOCATE"));
  client.sees(parse_complete() + bind_complete() + command_complete("DEALLOCATE"));
  server.sees(parse("PGDOORMAN_3", "select 2") + sync());
  server.sends(parse_complete() + ready());
  client.sees(parse_complete() + ready());
}

TEST(SqlNames, DiscardAllEndsTheClientsNamesAndTheServersCache) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  Peer other = world.one_more_client();
  other.sends(parse("theirs", "select 1") + sync());
  server.sees(sync());
  server.sends(ready());
  other.sees(parse_complete() + ready());
  says(client, server, "discard all", "DISCARD ALL");
  other.sends(bind("theirs") + execute() + sync());
  server.sees(parse(kFirst, "select 1") + bind(kFirst) + execute() + sync());
  server.sends(parse_complete() + bind_complete() + executed("1") + ready());
  other.sees(bind_complete() + executed("1") + ready());
  client.sends(bind("mine") + sync());
  server.sees(bind("mine") + sync());
}

TEST(SqlNames, WhatIsParsedUnderOtherSettingsIsNotShared) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  client.sends(query("begin; set local search_path = other") + parse("mine", "select 1") + sync());
  server.sees(query("begin; set local search_path = other") + parse(kFirst, "select 1") + sync());
  server.sends(command_complete("BEGIN") + command_complete("SET") + ready('T') + parse_complete() +
               ready('T'));
  client.sees(command_complete("BEGIN") + command_complete("SET") + ready('T') + parse_complete() +
              ready('T'));
  client.sends(query("commit"));
  server.sees(query("commit"));
  server.sends(command_complete("COMMIT") + ready());
  client.sees(command_complete("COMMIT") + ready());
  server.sees(query("RESET SESSION AUTHORIZATION; RESET ALL"));
  server.sends(command_complete("RESET") + command_complete("RESET") + ready());
  Peer other = world.one_more_client();
  prepares(other, server, "mine", "select 1", "PGDOORMAN_2");
  client.sends(bind("mine") + sync());
  server.sees(bind(kFirst) + sync());
}

// EXECUTE of a COPY: what comes next belongs to the COPY, a Sync that it ignores too.
TEST(SqlNames, ACopyThatIsExecutedGetsItsData) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("prepare copying as select 1"));
  server.sees(query("prepare copying as select 1"));
  server.sends(command_complete("PREPARE") + ready());
  client.sees(command_complete("PREPARE") + ready());
  client.sends(query("execute copying") + sync() + copy_data("1\n") + copy_done());
  server.sees(query("execute copying"));
  server.sends(copy_in());
  client.sees(copy_in());
  server.sees(sync() + copy_data("1\n") + copy_done());
  server.sends(command_complete("COPY 1") + ready());
  client.sees(command_complete("COPY 1") + ready());
}

// Behind its data more SQL about names may be on its way, before the COPY has ended.
TEST(SqlNames, WhatIsPreparedBehindACopyThatIsExecutedIsRemembered) {
  for (const bool fails : {false, true}) {
    World world("default_pool_size=1\n");
    auto [client, server] = world.session();
    says(client, server, "prepare copying as select 1", "PREPARE");
    client.sends(query("execute copying; prepare first as select 1"));
    server.sees(query("execute copying; prepare first as select 1"));
    server.sends(copy_in());
    client.sees(copy_in());
    const std::string rest = copy_data("1\n") + copy_done() + query("prepare second as select 1");
    client.sends(rest);
    server.sees(rest);
    const std::string ends = fails ? error("22P04", "extra data")
                                   : command_complete("COPY 1") + command_complete("PREPARE");
    server.sends(ends + ready() + command_complete("PREPARE") + ready());
    client.sees(ends + ready() + command_complete("PREPARE") + ready());
    client.sends(terminate());
    server.sees(close_statement("copying") + (fails ? "" : close_statement("first")) +
                close_statement("second") + sync());
  }
}

}  // namespace
}  // namespace doorman::conversation
