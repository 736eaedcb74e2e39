// The unnamed statement is the client's own, whichever server it meets and whoever was there.
#include <gtest/gtest.h>

#include "world.h"

namespace doorman::conversation {
namespace {

void parses(Peer& client, Peer& server, std::string_view sql) {
  client.sends(parse("", sql) + sync());
  server.sees(parse("", sql) + sync());
  server.sends(parse_complete() + ready());
  client.sees(parse_complete() + ready());
}

const std::string kRun = bind("") + execute() + sync();

TEST(Unnamed, StaysWhereItIs) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  parses(client, server, "select 1");
  client.sends(kRun);
  server.sees(kRun);
}

TEST(Unnamed, IsGivenAgainAfterAnotherClientsOwn) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  parses(client, server, "select 1");
  Peer other = world.one_more_client();
  parses(other, server, "select 2");
  client.sends(kRun);
  server.sees(parse("", "select 1") + kRun);
  server.sends(parse_complete() + bind_complete() + executed("1") + ready());
  client.sees(bind_complete() + executed("1") + ready());
  client.sends(describe("") + sync());
  server.sees(describe("") + sync());
}

TEST(Unnamed, OfTwoClientsIsOneIfItIsTheSame) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  parses(client, server, "select 1");
  Peer other = world.one_more_client();
  parses(other, server, "select 1");
  client.sends(kRun);
  server.sees(kRun);
}

TEST(Unnamed, OfAnotherClientIsNotSeen) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  parses(client, server, "select 1");
  Peer other = world.one_more_client();
  other.sends(kRun);
  server.sees(close_statement("") + kRun);
  server.sends(close_complete() + error("26000", "unnamed prepared statement does not exist") +
               ready());
  other.sees(error("26000", "unnamed prepared statement does not exist") + ready());
  client.sends(kRun);
  server.sees(parse("", "select 1") + kRun);
}

TEST(Unnamed, EndsWithASimpleQuery) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  parses(client, server, "select 1");
  client.sends(query("select 2"));
  server.sees(query("select 2"));
  server.sends(result("2") + ready());
  client.sees(result("2") + ready());
  client.sends(kRun);
  server.sees(kRun);  // the server has none either, and says so
}

TEST(Unnamed, EndsWithAParseThatFails) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  parses(client, server, "select 1");
  client.sends(parse("", "nonsense") + sync());
  server.sees(parse("", "nonsense") + sync());
  server.sends(error("42601", "syntax error") + ready());
  client.sees(error("42601", "syntax error") + ready());
  client.sends(kRun);
  server.sees(close_statement("") + kRun);
}

TEST(Unnamed, OutlivesAParseThatWasSkipped) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  parses(client, server, "select 1");
  client.sends(bind("none") + parse("", "select 2") + wire::close_statement("") +
               query("select 3") + sync());
  server.sees(bind("none") + parse("", "select 2") + wire::close_statement("") + query("select 3") +
              sync());
  server.sends(error("26000", "none") + ready());
  client.sees(error("26000", "none") + ready());
  client.sends(kRun);
  server.sees(parse("", "select 1") + kRun);
}

TEST(Unnamed, SaidAgainEndsWhereThatFails) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  parses(client, server, "select 1");
  client.sends(parse("", "select 1") + sync());
  server.sees(parse("", "select 1") + sync());
  server.sends(error("42P01", "the table is gone") + ready());
  client.sees(error("42P01", "the table is gone") + ready());
  client.sends(kRun);
  server.sees(close_statement("") + kRun);
}

TEST(Unnamed, SaidAgainOutlivesBeingSkipped) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  parses(client, server, "select 1");
  const std::string batch = bind("none") + parse("", "select 1") + parse("", "select 1") + sync();
  client.sends(batch);
  server.sees(batch);
  server.sends(error("26000", "none") + ready());
  client.sees(error("26000", "none") + ready());
  client.sends(kRun);
  server.sees(parse("", "select 1") + kRun);
}

// What is said again in a later batch stands, whatever becomes of the earlier ones; and falls with
// its own.
TEST(Unnamed, SaidAgainInALaterBatchStandsOrFallsWithThat) {
  for (const bool fails : {false, true}) {
    World world("default_pool_size=1\n");
    auto [client, server] = world.session();
    parses(client, server, "select 1");
    const std::string again = parse("", "select 1") + sync();
    const std::string batches = again + bind("none") + again + again;
    client.sends(batches);
    server.sees(batches);
    std::string answers = error("42P01", "gone") + ready() + error("26000", "none") + ready();
    answers += (fails ? error("42P01", "gone") : parse_complete()) + ready();
    server.sends(answers);
    client.sees(answers);
    client.sends(kRun);
    server.sees(fails ? close_statement("") + kRun : kRun);
  }
}

// The earlier batch is undone while the later one waits: that one, skipped, gives back nothing.
TEST(Unnamed, SaidAgainBehindOneThatFailedGivesBackNothing) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  parses(client, server, "select 1");
  const std::string again = parse("", "select 1") + sync();
  client.sends(again + bind("none") + again);
  server.sees(again + bind("none") + again);
  server.sends(error("42P01", "gone") + ready());
  client.sees(error("42P01", "gone") + ready());
  server.sends(error("26000", "none") + ready());
  client.sees(error("26000", "none") + ready());
  client.sends(kRun);
  server.sees(close_statement("") + kRun);
}

// The first query is skipped, so it ends nothing; the second one does.
TEST(Unnamed, AQueryBehindAnErrorEndsWhatTheErrorGivesBack) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  const std::string before = parse("", "select 1") + bind("none") + query("select 2") + sync();
  client.sends(before + query("select 3"));
  server.sees(before + query("select 3"));
  server.sends(parse_complete() + error("26000", "none") + ready() + result("3") + ready());
  client.sees(parse_complete() + error("26000", "none") + ready() + result("3") + ready());
  client.sends(kRun);
  server.sees(close_statement("") + kRun);  // the server has none, and says so
}

TEST(Unnamed, ALaterBatchWaitsForAParseThatMayFail) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  client.sends(parse("", "nonsense") + sync() + kRun);
  server.sees(parse("", "nonsense") + sync());
  server.sees_nothing();
  server.sends(error("42601", "syntax error") + ready());
  client.sees(error("42601", "syntax error") + ready());
  server.sees(close_statement("") + kRun);
}

TEST(Unnamed, BatchesWithTheirOwnAreSentWithoutWaiting) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  std::string all;
  for (const std::string_view sql : {"select 1", "select 2", "select 3"}) {
    all += parse("", sql) + kRun;
  }
  client.sends(all);
  server.sees(all);
}

TEST(Unnamed, OfAnotherDateStyleIsAnotherOne) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  parses(client, server, "select '1/2/2020'::date");
  Peer other = world.client({{"datestyle", "German"}});
  server.sees_message();  // our replay of its parameters: Parse, Bind, Execute, Sync
  server.sees_up_to('S');
  server.sends(parse_complete() + bind_complete() + row("German, DMY") +
               command_complete("SELECT 1") + parameter_status("DateStyle", "German, DMY") +
               ready());
  world.sees_welcome(other);
  client.sends(query("select 1"));
  server.sees_up_to('S');
  server.sends(parse_complete() + bind_complete() + row("ISO, MDY") + command_complete("SELECT 1") +
               parameter_status("DateStyle", "ISO, MDY") + ready());
  server.sees(query("select 1"));
}

TEST(Unnamed, IsSharedWhereTheDatabaseSaysSo) {
  World world("default_pool_size=1\n", "share_unnamed_statements=1");
  auto [client, server] = world.session();
  const std::string known = bind("PGDOORMAN_1") + execute() + sync();
  client.sends(parse("", "select 1") + kRun);
  server.sees(parse("PGDOORMAN_1", "select 1") + known);
  server.sends(parse_complete() + bind_complete() + executed("1") + ready());
  client.sees(parse_complete() + bind_complete() + executed("1") + ready());
  Peer other = world.one_more_client();
  other.sends(parse("", "select 1") + kRun);
  server.sees(known);
  server.sends(bind_complete() + executed("1") + ready());
  other.sees(parse_complete() + bind_complete() + executed("1") + ready());
  other.sends(query("select 2"));
  server.sees(query("select 2"));
  server.sends(result("2") + ready());
  other.sees(result("2") + ready());
  other.sends(kRun);
  server.sees(kRun);  // the query has ended it for this client
  server.sends(error("26000", "unnamed prepared statement does not exist") + ready());
  other.sees_error("26000");
  other.sees(ready());
  client.sends(kRun);
  server.sees(known);
}

std::string stale() {
  return wire::MessageWriter()
      .begin('E')
      .byte('S')
      .text("ERROR")
      .byte('V')
      .text("ERROR")
      .byte('C')
      .text("0A000")
      .byte('M')
      .text("cached plan must not change result type")
      .byte('R')
      .text("RevalidateCachedQuery")
      .byte('\0')
      .end()
      .take();
}

TEST(Unnamed, WhatItsTablesHaveOvertakenIsSaidAgain) {
  World world("default_pool_size=1\n", "share_unnamed_statements=1");
  auto [client, server] = world.session();
  const std::string known = bind("PGDOORMAN_1") + execute() + sync();
  const std::string batch = parse("", "select * from t") + kRun;
  client.sends(batch);
  server.sees(parse("PGDOORMAN_1", "select * from t") + known);
  server.sends(parse_complete() + bind_complete() + executed("1") + ready());
  client.sees(parse_complete() + bind_complete() + executed("1") + ready());
  client.sends(batch + query("select 2"));
  server.sees(known + query("select 2"));
  server.sends(stale() + ready() + result("2") + ready());
  client.sees(parse_complete() + stale() + ready() + result("2") + ready());  // too late to heal
  client.sends(batch);
  server.sees(close_statement("PGDOORMAN_1") + parse("PGDOORMAN_1", "select * from t") + known);
  server.sends(close_complete() + parse_complete() + bind_complete() + executed("1") + ready());
  client.sees(parse_complete() + bind_complete() + executed("1") + ready());
  client.sends(batch);
  server.sees(known);
  client.sees(parse_complete());
  server.sends(stale());
  client.sees_nothing();
  server.sends(ready());
  server.sees(close_statement("PGDOORMAN_1") + parse("PGDOORMAN_1", "select * from t") + known);
  client.sends(query("select 2"));
  server.sends(close_complete() + parse_complete() + bind_complete() + executed("3") + ready());
  client.sees(bind_complete() + executed("3") + ready());
  server.sees(query("select 2"));
}

TEST(Unnamed, InATransactionNothingIsSaidAgain) {
  World world("default_pool_size=1\n", "share_unnamed_statements=1");
  auto [client, server] = world.session();
  const std::string batch = parse("", "select * from t") + kRun;
  client.sends(batch);
  server.sees_up_to('S');
  server.sends(parse_complete() + bind_complete() + executed("1") + ready('T'));
  client.sees(parse_complete() + bind_complete() + executed("1") + ready('T'));
  client.sends(batch);
  server.sees_up_to('S');
  server.sends(stale() + ready('E'));
  client.sees(parse_complete() + stale() + ready('E'));
}

// It does not end the server's unnamed statement, which may be another client's.
TEST(Unnamed, AQueryThatIsNoneLeavesTheServersStatement) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  client.sends(parse("", "select 'secret'") + sync());
  server.sees(parse("", "select 'secret'") + sync());
  server.sends(parse_complete() + ready());
  client.sees(parse_complete() + ready());
  Peer second = world.one_more_client();
  second.sends(message('Q', "no zero byte"));
  server.sees(message('Q', "no zero byte"));
  server.sends(error("08P01", "invalid string in message") + ready());
  second.sees(error("08P01", "invalid string in message") + ready());
  second.sends(bind("") + sync());
  server.sees(close_statement("") + bind("") + sync());
}

}  // namespace
}  // namespace doorman::conversation
