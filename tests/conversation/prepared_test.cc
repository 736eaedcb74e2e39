// Prepared statements: one name of ours on every server, whatever the clients call them.
#include <gtest/gtest.h>

#include "world.h"

namespace doorman::conversation {
namespace {

constexpr std::string_view kFirst = "PGDOORMAN_1";
constexpr std::string_view kSecond = "PGDOORMAN_2";

// The whole life of one Bind and Execute, on a server that has the statement as `known`.
void runs(Peer& client, Peer& server, std::string_view name, std::string_view known) {
  client.sends(bind(name) + execute() + sync());
  server.sees(bind(known) + execute() + sync());
  server.sends(bind_complete() + executed("1") + ready());
  client.sees(bind_complete() + executed("1") + ready());
}

void prepares(Peer& client, Peer& server, std::string_view name, std::string_view sql,
              std::string_view known, std::string_view evicts = {}) {
  client.sends(parse(name, sql) + sync());
  server.sees(parse(known, sql) + std::string(evicts) + sync());
  server.sends(parse_complete() + (evicts.empty() ? "" : close_complete()) + ready());
  client.sees(parse_complete() + ready());
}

TEST(Prepared, NamesAreOursOnTheServer) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  runs(client, server, "mine", kFirst);
  client.sends(describe("mine") + sync());
  server.sees(describe(kFirst) + sync());
  server.sends(parameter_description() + columns() + ready());
  client.sees(parameter_description() + columns() + ready());
}

TEST(Prepared, TheUnnamedStatementPassesAsItIs) {
  World world;
  auto [client, server] = world.session();
  const std::string request = parse("", "select 1") + describe("") + bind("") + execute() + sync();
  client.sends(request);
  server.sees(request);
}

TEST(Prepared, WhatTheServerHasIsAnsweredHereInOrder) {
  World world("default_pool_size=1\n");
  auto [first, server] = world.session();
  prepares(first, server, "mine", "select 1", kFirst);
  Peer second = world.one_more_client();
  second.sends(parse("theirs", "select 1") + bind("theirs") + execute() + sync());
  server.sees(bind(kFirst) + execute() + sync());
  server.sends(bind_complete() + executed("1") + ready());
  second.sees(parse_complete() + bind_complete() + executed("1") + ready());
}

TEST(Prepared, LocalAnswersWaitForTheirTurn) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "a", "select 1", kFirst);
  client.sends(parse("", "select 2") + parse("b", "select 1") + wire::close_statement("a") +
               bind("") + execute() + sync());
  server.sees(parse("", "select 2") + bind("") + execute() + sync());
  client.sees_nothing();
  server.sends(parse_complete());
  client.sees(parse_complete() + parse_complete() + close_complete());
  server.sends(bind_complete() + executed("2") + ready());
  client.sees(bind_complete() + executed("2") + ready());
  runs(client, server, "b", kFirst);
}

// What a suspended portal has done is seen after the next Parse: so one must reach the server.
TEST(Prepared, BehindARowLimitAParseIsNotAnsweredHere) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "a", "select 1", kFirst);
  client.sends(bind("a") + execute_some(1));
  server.sees(bind(kFirst) + execute_some(1));
  client.sends(parse("b", "select 1"));
  server.sees(parse("", "select 1"));
  server.sends(bind_complete() + suspended() + parse_complete());
  client.sees(bind_complete() + suspended() + parse_complete());
  client.sends(sync());
  server.sees(sync());
  server.sends(ready());
  client.sees(ready());
  client.sends(parse("c", "select 1") + bind("c") + execute() + sync());
  server.sees(bind(kFirst) + execute() + sync());
}

TEST(Prepared, AServerThatLacksAStatementGetsItsParseInLine) {
  World world("default_pool_size=2\n");
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  Peer other = world.one_more_client();
  other.sends(query("begin"));
  server.sees(query("begin"));
  client.sends(bind("mine") + execute() + sync());
  Peer second = world.server();
  second.sees(parse(kFirst, "select 1") + bind(kFirst) + execute() + sync());
  second.sends(parse_complete() + bind_complete() + executed("1") + ready());
  client.sees(bind_complete() + executed("1") + ready());
}

TEST(Prepared, AnErrorOfAParsePutInLineIsTheClientsError) {
  World world("default_pool_size=2\n");
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select * from t", kFirst);
  server.closes();
  client.sends(bind("mine") + execute() + sync());
  Peer second = world.server();
  second.sees(parse(kFirst, "select * from t") + bind(kFirst) + execute() + sync());
  second.sends(error("42P01", "relation \"t\" does not exist") + ready());
  client.sees(error("42P01", "relation \"t\" does not exist") + ready());
  // The statement was not created there, so it is sent again.
  client.sends(bind("mine") + execute() + sync());
  second.sees(parse(kFirst, "select * from t") + bind(kFirst) + execute() + sync());
}

TEST(Prepared, AFailedParseGivesNoName) {
  World world;
  auto [client, server] = world.session();
  client.sends(parse("mine", "nonsense") + bind("mine") + execute() + sync());
  server.sees(parse(kFirst, "nonsense") + bind(kFirst) + execute() + sync());
  server.sends(error("42601", "syntax error") + ready());
  client.sees(error("42601", "syntax error") + ready());
  client.sends(bind("mine") + sync());
  server.sees(bind("mine") + sync());  // unknown: the server says so, in the client's words
  server.sends(error("26000", "prepared statement \"mine\" does not exist") + ready());
  client.sees(error("26000", "prepared statement \"mine\" does not exist") + ready());
  // The text was not kept either: it is parsed again, under a name of its own.
  client.sends(parse("mine", "select 1") + sync());
  server.sees(parse(kSecond, "select 1") + sync());
}

TEST(Prepared, ALaterBatchWaitsForANameThatMayNotComeToBe) {
  World world;
  auto [client, server] = world.session();
  client.sends(parse("mine", "nonsense") + sync() + bind("mine") + execute() + sync());
  server.sees(parse(kFirst, "nonsense") + sync());
  server.sees_nothing();
  server.sends(error("42601", "syntax error") + ready());
  client.sees(error("42601", "syntax error") + ready());
  server.sees(bind("mine") + execute() + sync());
  server.sends(error("26000", "prepared statement \"mine\" does not exist") + ready());
  client.sees(error("26000", "prepared statement \"mine\" does not exist") + ready());
}

TEST(Prepared, OneStatementAServerEvictsTheOtherInLine) {
  World world("max_prepared_statements=1\ndefault_pool_size=1\n");
  auto [client, server] = world.session();
  prepares(client, server, "a", "select 1", kFirst);
  client.sends(parse("b", "select 2") + bind("b") + execute() + sync());
  server.sees(parse(kSecond, "select 2") + close_statement(kFirst) + bind(kSecond) + execute() +
              sync());
  server.sends(parse_complete() + close_complete() + bind_complete() + executed("2") + ready());
  client.sees(parse_complete() + bind_complete() + executed("2") + ready());
  client.sends(bind("a") + execute() + sync());
  server.sees(parse(kFirst, "select 1") + close_statement(kSecond) + bind(kFirst) + execute() +
              sync());
  server.sends(parse_complete() + close_complete() + bind_complete() + executed("1") + ready());
  client.sees(bind_complete() + executed("1") + ready());
}

TEST(Prepared, OfTwoStatementsTheLongestUnusedIsEvicted) {
  World world("max_prepared_statements=2\ndefault_pool_size=1\n");
  auto [client, server] = world.session();
  prepares(client, server, "a", "select 1", kFirst);
  prepares(client, server, "b", "select 2", kSecond);
  runs(client, server, "a", kFirst);  // so b is the longest unused
  client.sends(parse("c", "select 3") + sync());
  server.sees(parse("PGDOORMAN_3", "select 3") + close_statement(kSecond) + sync());
  server.sends(parse_complete() + close_complete() + ready());
  client.sees(parse_complete() + ready());
  runs(client, server, "a", kFirst);
}

TEST(Prepared, AnEvictionThatAnErrorSkippedDidNotHappen) {
  World world("max_prepared_statements=1\ndefault_pool_size=1\n");
  auto [client, server] = world.session();
  prepares(client, server, "a", "select 1", kFirst);
  client.sends(parse("b", "nonsense") + sync());
  server.sees(parse(kSecond, "nonsense") + close_statement(kFirst) + sync());
  server.sends(error("42601", "syntax error") + ready());
  client.sees(error("42601", "syntax error") + ready());
  runs(client, server, "a", kFirst);  // it is still there, and known to be
}

TEST(Prepared, CloseIsAnsweredHereAndTheNameIsGone) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  client.sends(close_statement("mine") + sync());
  server.sees(sync());
  server.sends(ready());
  client.sees(close_complete() + ready());
  client.sends(bind("mine") + sync());
  server.sees(bind("mine") + sync());
}

TEST(Prepared, TheSameNameTwiceIsTheServersError) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  client.sends(parse("mine", "select 2") + sync());
  server.sees(parse("mine", "") + parse("mine", "select 2") + sync());
  server.sends(parse_complete() + error("42P05", "already exists") + ready());
  client.sees(error("42P05", "already exists") + ready());
  runs(client, server, "mine", kFirst);  // an error costs no reset
  // The server keeps the name for the next time, but nobody gets to see it.
  Peer other = world.one_more_client();
  other.sends(bind("mine") + sync());
  server.sees(close_statement("mine") + bind("mine") + sync());
}

TEST(Prepared, ErrorsHaveTheClientsName) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  client.sends(bind("mine") + sync());
  server.sees(bind(kFirst) + sync());
  server.sends(error("08P01", "statement \"PGDOORMAN_1\" requires 1") + ready());
  client.sees(error("08P01", "statement \"mine\" requires 1") + ready());
}

// Found by random sequences: the second batch took for prepared what the first had not done.
TEST(Prepared, WhatAnEarlierBatchMayNotHaveDoneIsDoneAgain) {
  World world("default_pool_size=2\n");
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  server.closes();
  const std::string batch = bind("mine") + execute() + sync();
  client.sends(bind("none") + batch + batch);
  Peer second = world.server();
  const std::string once = parse(kFirst, "select 1") + bind(kFirst) + execute() + sync();
  second.sees(bind("none") + once + close_statement(kFirst) + once);
  second.sends(error("26000", "none") + ready() + close_complete() + parse_complete() +
               bind_complete() + executed("1") + ready());
  client.sees(error("26000", "none") + ready() + bind_complete() + executed("1") + ready());
  runs(client, second, "mine", kFirst);
}

TEST(Prepared, ANameOfOursIsNoNameOfTheClients) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  client.sends(bind(kFirst) + sync());
  server.sees(close_statement(kFirst) + bind(kFirst) + sync());
}

// Where one batch has given and closed a statement several times, an error undoes all of that.
TEST(Prepared, AnErrorUndoesEvictionsThatWentBothWays) {
  World world("max_prepared_statements=1\n");
  auto [client, server] = world.session();
  const std::string one = parse("PGDOORMAN_1", "select 1") + close_statement("PGDOORMAN_2");
  const std::string two = parse("PGDOORMAN_2", "select 2") + close_statement("PGDOORMAN_1");
  client.sends(parse("a", "select 1") + parse("b", "select 2") + bind("a") + bind("b") + bind("a") +
               sync());
  server.sees(parse("PGDOORMAN_1", "select 1") + two + one + bind("PGDOORMAN_1") + two +
              bind("PGDOORMAN_2") + one + bind("PGDOORMAN_1") + sync());
  server.sends(parse_complete() + parse_complete() + wire::empty_message('3') + parse_complete() +
               wire::empty_message('3') + error("42P03", "exists") + ready());
  client.sees(parse_complete() + parse_complete() + error("42P03", "exists") + ready());
  client.sends(bind("b") + sync());
  server.sees(two + bind("PGDOORMAN_2") + sync());
}

TEST(Prepared, TooManyAreRefusedAsAnError) {
  World world("max_client_prepared_statements=1\n");
  auto [client, server] = world.session();
  prepares(client, server, "a", "select 1", kFirst);
  client.sends(parse("b", "select 2") + bind("b") + execute() + sync());
  server.sees(describe("PGDOORMAN_refused") + bind("b") + execute() + sync());
  server.sends(error("26000", "does not exist") + ready('E'));
  client.sees_error("53400");
  client.sees(ready('E'));
}

TEST(Prepared, TooMuchMemoryIsRefusedAsAnError) {
  World world("max_client_statement_memory=1024\n");
  auto [client, server] = world.session();
  const std::string long_text = "select '" + std::string(2000, 'x') + "'";
  client.sends(parse("a", long_text) + sync());
  server.sees(describe("PGDOORMAN_refused") + sync());
  server.sends(error("26000", "does not exist") + ready());
  client.sees_error("53200");
  client.sees(ready());
  prepares(client, server, "a", "select 1", kFirst);
}

TEST(Prepared, APoolsTextsAreLimitedAndThoseThatAreThereGoOn) {
  World world("max_pool_statement_memory=1024\n");
  auto [client, server] = world.session();
  Peer second = world.one_more_client();
  prepares(client, server, "a", "select 1", kFirst);
  const std::string large = "select '" + std::string(600, 'x') + "'";
  const std::string other = "select '" + std::string(600, 'y') + "'";
  prepares(client, server, "b", large, "PGDOORMAN_2");
  second.sends(parse("c", other) + sync());
  server.sees(describe("PGDOORMAN_refused") + sync());
  server.sends(error("26000", "does not exist") + ready());
  second.sees_error("53200");
  second.sees(ready());
  second.sends(parse("c", large) + sync());  // no more memory is needed for that
  server.sees(sync());
  server.sends(ready());
  second.sees(parse_complete() + ready());
  for (Peer* each : {&client, &second}) {
    each->sends(message('X', ""));
    each->sees_close();
  }
  Peer third = world.one_more_client();
  prepares(third, server, "c", other, "PGDOORMAN_3");
}

TEST(Prepared, InAFailedTransactionTheServerIsAskedAgain) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "a", "select 1", kFirst);
  client.sends(query("begin; nonsense"));
  server.sees(query("begin; nonsense"));
  server.sends(error("42601", "syntax error") + ready('E'));
  client.sees(error("42601", "syntax error") + ready('E'));
  client.sends(parse("b", "select 1") + sync());
  server.sees(parse("", "select 1") + sync());
  server.sends(error("25P02", "current transaction is aborted") + ready('E'));
  client.sees(error("25P02", "current transaction is aborted") + ready('E'));
}

TEST(Prepared, DeallocateAllForgetsAllNames) {
  World world;
  auto [client, server] = world.session();
  prepares(client, server, "mine", "select 1", kFirst);
  client.sends(query("deallocate all"));
  server.sees(query("deallocate all"));
  server.sends(command_complete("DEALLOCATE ALL") + ready());
  client.sees(command_complete("DEALLOCATE ALL") + ready());
  client.sends(bind("mine") + sync());
  server.sees(bind("mine") + sync());
}

// Of those the pooler puts around a Parse whose text is in another client_encoding than the client
// has now.
std::string change_encoding(std::string_view sql, std::string_view value) {
  constexpr std::string_view kName = "PGDOORMAN_encoding";
  wire::MessageWriter out;
  out.begin('P').text(kName).text(sql).u16(0).end();
  out.begin('B').text(kName).text(kName).u16(0);
  if (value.empty()) {
    out.u16(0);
  } else {
    out.u16(1).u32(static_cast<std::uint32_t>(value.size())).raw(value);
  }
  out.u16(0).end();
  out.begin('E').text(kName).u32(0).end();
  out.begin('C').byte('P').text(kName).end();
  return out.begin('C').byte('S').text(kName).end().take();
}
std::string encoding_as(std::string_view encoding) {
  return change_encoding(
      "SELECT pg_catalog.set_config('pgdoorman.client_encoding', "
      "pg_catalog.current_setting('client_encoding'), true), "
      "pg_catalog.set_config('client_encoding', $1, true)",
      encoding);
}
std::string encoding_back() {
  return change_encoding(
      "SELECT pg_catalog.set_config('client_encoding', "
      "pg_catalog.current_setting('pgdoorman.client_encoding'), true)",
      "");
}
std::string encoding_changed() {
  return parse_complete() + bind_complete() + row("x") + command_complete("SELECT 1") +
         close_complete() + close_complete();
}

constexpr std::string_view kAccented = "select '\xc3\xa9'";
const std::string kToLatin1 = query("set client_encoding = 'LATIN1'");
const std::string kLatin1Is =
    command_complete("SET") + parameter_status("client_encoding", "LATIN1") + ready();

TEST(Prepared, ATextIsReadInTheEncodingOfItsParse) {
  World world("max_prepared_statements=1\ndefault_pool_size=1\n");
  auto [client, server] = world.session();
  prepares(client, server, "a", kAccented, kFirst);
  client.sends(kToLatin1);
  server.sees(kToLatin1);
  server.sends(kLatin1Is);
  client.sees(kLatin1Is);
  runs(client, server, "a", kFirst);  // which the server has
  prepares(client, server, "b", "select 1", kSecond, close_statement(kFirst));
  client.sends(bind("a") + execute() + sync());
  server.sees(encoding_as("UTF8") + parse(kFirst, kAccented) + encoding_back() +
              close_statement(kSecond) + bind(kFirst) + execute() + sync());
  // A server before PostgreSQL 14 tells of each change at once: the client has made none.
  server.sends(parse_complete() + bind_complete() + row("x") +
               parameter_status("client_encoding", "UTF8") + command_complete("SELECT 1") +
               close_complete() + close_complete());
  server.sends(parse_complete() + parse_complete() + bind_complete() + row("x") +
               parameter_status("client_encoding", "LATIN1") + command_complete("SELECT 1") +
               close_complete() + close_complete());
  server.sends(close_complete() + bind_complete() + executed("1") + ready());
  client.sees(bind_complete() + executed("1") + ready());
  // And what has no such letters is given as it is.
  client.sends(bind("b") + execute() + sync());
  server.sees(parse(kSecond, "select 1") + close_statement(kFirst) + bind(kSecond) + execute() +
              sync());
}

TEST(Prepared, AnUnnamedTextIsReadInTheEncodingOfItsParse) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  client.sends(kToLatin1);
  server.sees(kToLatin1);
  server.sends(kLatin1Is);
  client.sees(kLatin1Is);
  client.sends(parse("", kAccented) + sync());
  server.sees(parse("", kAccented) + sync());
  server.sends(parse_complete() + ready());
  client.sees(parse_complete() + ready());
  const std::string set = "set client_encoding = 'UTF8'";
  client.sends(parse("b", set) + bind("b") + execute() + sync());
  server.sees(parse(kSecond, set) + bind(kSecond) + execute() + sync());
  const std::string done = parse_complete() + bind_complete() + command_complete("SET") +
                           parameter_status("client_encoding", "UTF8") + ready();
  server.sends(done);
  client.sees(done);
  Peer other = world.one_more_client();
  other.sends(parse("", "select 2") + sync());
  server.sees(parse("", "select 2") + sync());
  server.sends(parse_complete() + ready());
  other.sees(parse_complete() + ready());
  client.sends(bind("") + execute() + sync());
  server.sees(encoding_as("LATIN1") + parse("", kAccented) + encoding_back() + bind("") +
              execute() + sync());
  server.sends(encoding_changed() + parse_complete() + encoding_changed() + bind_complete() +
               executed("1") + ready());
  client.sees(bind_complete() + executed("1") + ready());
}

// Which encoding a text is in that comes behind a ROLLBACK is known when that has ended.
TEST(Prepared, ATextBehindTheEndOfATransactionThatChangedTheEncodingWaits) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("begin"));
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  client.sees(command_complete("BEGIN") + ready('T'));
  const std::string latin1_is =
      command_complete("SET") + parameter_status("client_encoding", "LATIN1") + ready('T');
  client.sends(kToLatin1);
  server.sees(kToLatin1);
  server.sends(latin1_is);
  client.sees(latin1_is);
  client.sends(query("rollback") + parse("a", kAccented) + sync());
  server.sees(query("rollback"));
  server.sees_nothing();
  const std::string back =
      command_complete("ROLLBACK") + parameter_status("client_encoding", "UTF8") + ready();
  server.sends(back);
  client.sees(back);
  server.sees(parse(kFirst, kAccented) + sync());
}

// A batch that changes it itself: what its later texts are in follows from that.
TEST(Prepared, ATextBehindAChangeOfTheEncodingInItsBatch) {
  World world("max_prepared_statements=1\ndefault_pool_size=1\n");
  auto [client, server] = world.session();
  const std::string set = "set client_encoding to 'LATIN1'";
  client.sends(parse("", set) + bind("") + execute() + parse("a", kAccented) + describe("never") +
               sync());
  server.sees(parse("", set) + bind("") + execute() + parse(kSecond, kAccented) +
              describe("never") + sync());
  // An error later in the batch takes the change back, but not the statement.
  server.sends(parse_complete() + bind_complete() + command_complete("SET") + parse_complete() +
               error("26000", "there is none") + ready());
  client.sees(parse_complete() + bind_complete() + command_complete("SET") + parse_complete() +
              error("26000", "there is none") + ready());
  server.sees(query("RESET SESSION AUTHORIZATION; RESET ALL"));  // a SET of which nothing is told
  server.sends(command_complete("RESET") + command_complete("RESET") + ready());
  prepares(client, server, "b", "select 1", "PGDOORMAN_3", close_statement(kSecond));
  client.sends(bind("a") + execute() + sync());
  server.sees(encoding_as("LATIN1") + parse(kSecond, kAccented) + encoding_back() +
              close_statement("PGDOORMAN_3") + bind(kSecond) + execute() + sync());
  server.sends(encoding_changed() + error("22021", "invalid byte sequence") + ready());
  client.sees(error("22021", "invalid byte sequence") + ready());
  runs(client, server, "b", "PGDOORMAN_3");  // the error has undone all of it
}

TEST(Prepared, SwitchedOffEverythingPasses) {
  World world("max_prepared_statements=0\n");
  auto [client, server] = world.session();
  const std::string request = parse("mine", "select 1") + bind("mine") + execute() + sync();
  client.sends(request);
  server.sees(request);
}

}  // namespace
}  // namespace doorman::conversation
