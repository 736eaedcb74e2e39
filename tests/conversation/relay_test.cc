// Queries on their way: transaction pooling, pipelines, errors, COPY.
#include <gtest/gtest.h>

#include "world.h"

namespace doorman::conversation {
namespace {

TEST(Relay, AQueryAndItsResultPassUnchanged) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  server.sends(result("1") + ready());
  client.sees(result("1") + ready());
}

TEST(Relay, MessagesMayBeCutAnywhere) {
  World world;
  auto [client, server] = world.session();
  const std::string request = parse("", "select 1") + bind("") + execute() + sync();
  for (const char c : request) client.sends(std::string(1, c));
  server.sees(request);
  const std::string reply =
      parse_complete() + bind_complete() + notice("psst") + executed("1") + ready();
  for (const char c : reply) server.sends(std::string(1, c));
  client.sees(reply);
}

TEST(Relay, AServerIsReleasedAtTheEndOfTheTransactionOnly) {
  World world("default_pool_size=1\n");
  auto [first, server] = world.session();
  Peer second = world.one_more_client();
  first.sends(query("begin"));
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  first.sees(command_complete("BEGIN") + ready('T'));

  second.sends(query("select 2"));
  server.sees_nothing();
  first.sends(query("broken"));
  server.sees(query("broken"));
  server.sends(error("42601", "syntax error") + ready('E'));
  first.sees(error("42601", "syntax error") + ready('E'));
  server.sees_nothing();

  first.sends(query("rollback"));
  server.sees(query("rollback"));
  server.sends(command_complete("ROLLBACK") + ready());
  first.sees(command_complete("ROLLBACK") + ready());
  server.sees(query("select 2"));
}

TEST(Relay, WithoutASyncTheServerIsKept) {
  World world("default_pool_size=1\n");
  auto [first, server] = world.session();
  Peer second = world.one_more_client();
  first.sends(parse("", "select 1") + flush());
  server.sees(parse("", "select 1") + flush());
  server.sends(parse_complete());
  first.sees(parse_complete());
  second.sends(query("select 2"));
  server.sees_nothing();
  first.sends(sync());
  server.sees(sync());
  server.sends(ready());
  first.sees(ready());
  server.sees(query("select 2"));
}

TEST(Relay, APipelineOverSeveralSyncsKeepsItsServerToTheEnd) {
  World world("default_pool_size=1\n");
  auto [first, server] = world.session();
  Peer second = world.one_more_client();
  const std::string one = parse("", "select 1") + bind("") + execute() + sync();
  first.sends(one + one + query("select 3"));
  server.sees(one + one + query("select 3"));
  second.sends(query("select 2"));
  const std::string reply = parse_complete() + bind_complete() + executed("1") + ready();
  server.sends(reply);
  first.sees(reply);
  server.sees_nothing();
  server.sends(reply);
  first.sees(reply);
  server.sees_nothing();
  server.sends(result("3") + ready());
  first.sees(result("3") + ready());
  server.sees(query("select 2"));
}

TEST(Relay, AnErrorSkipsToTheNextSyncAndTheRestOfThePipelineRuns) {
  World world;
  auto [client, server] = world.session();
  const std::string bad = parse("", "nonsense") + bind("") + execute() + sync();
  const std::string good = parse("", "select 1") + bind("") + execute() + sync();
  client.sends(bad + good);
  server.sees(bad + good);
  const std::string reply = error("42601", "syntax error") + ready() + parse_complete() +
                            bind_complete() + executed("1") + ready();
  server.sends(reply);
  client.sees(reply);
  client.sends(query("select 1"));  // all that was owed has come: the next transaction begins
  server.sees(query("select 1"));
}

TEST(Relay, AfterAnErrorNothingReachesTheServerBeforeSync) {
  World world;
  auto [client, server] = world.session();
  client.sends(parse("", "nonsense") + flush());
  server.sees(parse("", "nonsense") + flush());
  server.sends(error("42601", "syntax error"));
  client.sees(error("42601", "syntax error"));
  client.sends(bind("") + execute());
  server.sees_nothing();
  client.sends(sync());
  server.sees(sync());
  server.sends(ready());
  client.sees(ready());
}

TEST(Relay, ASyncWithoutATransactionIsAnsweredHere) {
  World world;
  auto [client, server] = world.session();
  client.sends(sync() + sync());
  client.sees(ready() + ready());
  server.sees_nothing();
}

TEST(Relay, NoticesAndNotificationsPassInTheMiddleOfAnything) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  const std::string reply = notice("a") + columns() + notice("b") + row("1") +
                            message('A', std::string("\0\0\0\1chan\0payload\0", 17)) +
                            command_complete("SELECT 1") + ready();
  server.sends(reply);
  client.sees(reply);
}

TEST(Relay, CopyInEatsASyncThatComesTooEarly) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  Peer second = world.one_more_client();
  // As a driver does that does not know the statement is a COPY: the Sync is sent with it.
  const std::string request = parse("", "copy t from stdin") + bind("") + execute() + sync();
  client.sends(request);
  server.sees(request);
  server.sends(parse_complete() + bind_complete() + copy_in());
  client.sees(parse_complete() + bind_complete() + copy_in());
  second.sends(query("select 2"));
  client.sends(copy_data("1\n") + copy_done() + sync());
  server.sees(copy_data("1\n") + copy_done() + sync());
  server.sends(command_complete("COPY 1") + ready());
  client.sees(command_complete("COPY 1") + ready());
  server.sees(query("select 2"));
}

TEST(Relay, CopyInThatFailsHadEatenASyncToo) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  Peer second = world.one_more_client();
  const std::string request = parse("", "copy t from stdin") + bind("") + execute() + sync();
  client.sends(request);
  server.sees(request);
  server.sends(parse_complete() + bind_complete() + copy_in());
  client.sees(parse_complete() + bind_complete() + copy_in());
  second.sends(query("select 2"));
  client.sends(copy_data("bad\n") + copy_done() + sync());
  server.sees(copy_data("bad\n") + copy_done() + sync());
  server.sends(error("22P02", "invalid input") + ready());
  client.sees(error("22P02", "invalid input") + ready());
  server.sees(query("select 2"));
}

TEST(Relay, CopyInEatsASyncBetweenItsData) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  Peer second = world.one_more_client();
  client.sends(query("copy t from stdin"));
  server.sees(query("copy t from stdin"));
  server.sends(copy_in());
  client.sees(copy_in());
  client.sends(copy_data("1\n") + sync());
  server.sees(copy_data("1\n"));
  client.sends(copy_data("1\n") + sync() + copy_done());
  server.sees(copy_data("1\n") + copy_done());
  second.sends(query("select 2"));
  server.sends(error("23505", "duplicate key") + ready());
  client.sees(error("23505", "duplicate key") + ready());
  server.sees(query("select 2"));
}

TEST(Relay, ASyncAfterBadCopyDataIsAnswered) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  Peer second = world.one_more_client();
  const std::string request = parse("", "copy t from stdin") + bind("") + execute() + flush();
  client.sends(request);
  server.sees(request);
  server.sends(parse_complete() + bind_complete() + copy_in());
  client.sees(parse_complete() + bind_complete() + copy_in());
  client.sends(copy_data("bad\n") + sync());
  server.sees(copy_data("bad\n"));
  second.sends(query("select 2"));
  server.sends(error("22P02", "invalid input"));
  client.sees(error("22P02", "invalid input"));
  server.sees(sync());
  server.sends(ready());
  client.sees(ready());
  server.sees(query("select 2"));
}

TEST(Relay, AQueryAfterBadCopyDataAndSyncsIsAnswered) {
  World world;
  auto [client, server] = world.session();
  const std::string request = parse("", "copy t from stdin") + bind("") + execute() + flush();
  client.sends(request);
  server.sees(request);
  server.sends(parse_complete() + bind_complete() + copy_in());
  client.sees(parse_complete() + bind_complete() + copy_in());
  client.sends(copy_data("bad\n") + sync() + sync() + query("select 2"));
  server.sees(copy_data("bad\n") + sync() + sync() + query("select 2"));
  server.sends(error("22P02", "invalid input") + ready() + ready() + result("2") + ready());
  client.sees(error("22P02", "invalid input") + ready() + ready() + result("2") + ready());
}

TEST(Relay, AFlushThatIsWrongGetsItsError) {
  World world;
  auto [client, server] = world.session();
  client.sends(message('H', "x"));
  server.sees(message('H', "x"));
  server.sends(error("08P01", "invalid message format"));
  client.sees(error("08P01", "invalid message format"));
  client.sends(parse("", "select 1") + sync());
  server.sees(sync());
  server.sends(ready());
  client.sees(ready());
}

TEST(Relay, CopyInEatsAWrongFlushAndTheSyncsAroundIt) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  Peer second = world.one_more_client();
  const std::string request =
      parse("", "copy t from stdin") + bind("") + execute() + sync() + message('H', "x") + sync();
  client.sends(request);
  server.sees(request);
  server.sends(parse_complete() + bind_complete() + copy_in());
  client.sees(parse_complete() + bind_complete() + copy_in());
  client.sends(message('H', "x") + sync() + copy_fail("no more") + sync());
  server.sees(message('H', "x") + sync() + copy_fail("no more") + sync());
  second.sends(query("select 2"));
  server.sends(error("57014", "no more") + ready());
  client.sees(error("57014", "no more") + ready());
  server.sees(query("select 2"));
}

TEST(Relay, AWrongFlushBetweenCopyDataIsNotWaitedFor) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  Peer second = world.one_more_client();
  client.sends(query("copy t from stdin") + copy_data("1\n") + message('H', "x") +
               copy_data("2\n") + message('H', "xyz") + copy_done());
  server.sees(query("copy t from stdin") + flush() + copy_data("1\n"));
  server.sends(copy_in());
  client.sees(copy_in());
  server.sees(copy_data("2\n") + copy_done());
  second.sends(query("select 2"));
  server.sends(command_complete("COPY 2") + ready());
  client.sees(command_complete("COPY 2") + ready());
  server.sees(query("select 2"));
}

TEST(Relay, AWrongFlushAfterBadCopyDataGetsItsError) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("copy t from stdin"));
  server.sees(query("copy t from stdin"));
  server.sends(copy_in());
  client.sees(copy_in());
  client.sends(copy_data("bad\n") + message('H', "x") + sync());
  server.sees(copy_data("bad\n"));
  server.sends(error("22P02", "invalid input") + ready());
  client.sees(error("22P02", "invalid input") + ready());
  server.sees(message('H', std::string_view("\0", 1)) + sync());
  server.sends(error("08P01", "invalid message format") + ready());
  client.sees(error("08P01", "invalid message format") + ready());
}

TEST(Relay, AWrongFlushAfterBadCopyDataOfABatchIsSkipped) {
  World world;
  auto [client, server] = world.session();
  const std::string request = parse("", "copy t from stdin") + bind("") + execute() + flush();
  client.sends(request);
  server.sees(request);
  server.sends(parse_complete() + bind_complete() + copy_in());
  client.sees(parse_complete() + bind_complete() + copy_in());
  client.sends(copy_data("bad\n") + message('H', "x") + sync() + query("select 2"));
  server.sees(copy_data("bad\n") + message('H', std::string_view("\0", 1)) + sync() +
              query("select 2"));
  server.sends(error("22P02", "invalid input") + ready() + result("2") + ready());
  client.sees(error("22P02", "invalid input") + ready() + result("2") + ready());
}

TEST(Relay, ASyncBehindCopyDataWaitsUntilItIsKnownWhetherThereIsACopy) {
  World world;
  auto [client, server] = world.session();
  client.sends(parse("", "select 1") + bind("") + execute() + copy_data("stray") + sync());
  server.sees(parse("", "select 1") + bind("") + execute() + flush() + copy_data("stray"));
  const std::string reply =
      parse_complete() + bind_complete() + row("1") + command_complete("SELECT 1");
  server.sends(reply);
  client.sees(reply);
  server.sees(sync());
  server.sends(ready());
  client.sees(ready());
  client.sends(query("copy t from stdin") + copy_data("1\n") + sync() + copy_done());
  server.sees(query("copy t from stdin") + flush() + copy_data("1\n"));
  server.sends(copy_in());
  client.sees(copy_in());
  server.sees(copy_done());
  server.sends(command_complete("COPY 1") + ready());
  client.sees(command_complete("COPY 1") + ready());
}

TEST(Relay, CopyInBySimpleQueryAndItsFailure) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("copy t from stdin"));
  server.sees(query("copy t from stdin"));
  server.sends(copy_in());
  client.sees(copy_in());
  client.sends(copy_data("x") + copy_fail("no more"));
  server.sees(copy_data("x") + copy_fail("no more"));
  server.sends(error("57014", "COPY from stdin failed: no more") + ready());
  client.sees(error("57014", "COPY from stdin failed: no more") + ready());
  client.sends(query("select 1"));
  server.sees(query("select 1"));
}

TEST(Relay, CopyOutPasses) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("copy t to stdout"));
  server.sees(query("copy t to stdout"));
  const std::string reply = copy_out() + copy_data("1\n") + copy_data("2\n") + copy_done() +
                            command_complete("COPY 2") + ready();
  server.sends(reply);
  client.sees(reply);
}

TEST(Relay, SeveralStatementsInOneQueryAreOneTransaction) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  client.sends(query("select 1; select 2;"));
  server.sees(query("select 1; select 2;"));
  server.sends(result("1") + result("2") + wire::empty_message('I') + ready());
  client.sees(result("1") + result("2") + wire::empty_message('I') + ready());
  client.sends(query(""));
  server.sees(query(""));
  server.sends(wire::empty_message('I') + ready());
  client.sees(wire::empty_message('I') + ready());
}

TEST(Relay, WhatTheClientLeftInTheSessionIsCleanedBeforeTheNextOne) {
  World world("default_pool_size=1\n");
  auto [first, server] = world.session();
  Peer second = world.one_more_client();
  first.sends(query("declare c cursor with hold for select 1"));
  server.sees(query("declare c cursor with hold for select 1"));
  second.sends(query("select 2"));
  server.sends(command_complete("DECLARE CURSOR") + ready());
  first.sees(command_complete("DECLARE CURSOR") + ready());
  server.sees(query("CLOSE ALL"));
  server.sees_nothing();
  server.sends(command_complete("CLOSE CURSOR ALL") + ready());
  server.sees(query("select 2"));
  first.sees_nothing();
}

TEST(Relay, UnknownMessageTypesOfTheClientAreFatal) {
  World world;
  auto [client, server] = world.session();
  client.sends(message('y', "x"));
  client.sees_error("08P01");
  client.sees_close();
  Peer another = world.one_more_client();
  another.sends(std::string("Q\0\0\0\1", 5));
  another.sees_close();
  server.sees_nothing();
}

TEST(Relay, ATerminatingClientLeavesAnIdleServerBehind) {
  World world;
  auto [client, server] = world.session();
  client.sends(terminate());
  client.sees_close();
  server.sees_nothing();
  EXPECT_EQ(world.pool().pool.idle().size(), 1U);
  EXPECT_EQ(world.shared().cancel_keys.size(), 0U);
}

TEST(Relay, InSessionModeTheServerStaysUntilTheClientGoes) {
  World world("default_pool_size=1\n", "pool_mode=session");
  auto [first, server] = world.session();
  Peer second = world.one_more_client();
  first.sends(query("select 1"));
  server.sees(query("select 1"));
  server.sends(result("1") + ready());
  first.sees(result("1") + ready());
  second.sends(query("select 2"));
  server.sees_nothing();
  first.sends(terminate());
  server.sees(query("DISCARD ALL"));
  server.sends(command_complete("DISCARD ALL") + ready());
  server.sees(query("select 2"));
}

TEST(Relay, InStatementModeATransactionBlockIsRefused) {
  World world("", "pool_mode=statement");
  auto [client, server] = world.session();
  client.sends(query("begin"));
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  EXPECT_EQ(client.sees_up_to('E').back(), 'E');
  client.sees_close();
}

TEST(Relay, AServerMovesToTheWorkerWhoseClientWaits) {
  World world("default_pool_size=1\n", "", /*workers=*/2);
  Peer first = world.client();
  Peer server = world.server();
  world.sees_welcome(first);
  Peer second = world.client({}, /*worker=*/1);
  world.sees_welcome(second);
  for (int i = 0; i < 3; ++i) {
    for (Peer* client : {&first, &second}) {
      client->sends(query("select 1"));
      server.sees(query("select 1"));
      server.sends(result("1") + ready());
      client->sees(result("1") + ready());
    }
  }
  EXPECT_EQ(world.worker(0).server_count() + world.worker(1).server_count(), 1U);
}

TEST(Relay, AServerThatWasResetIsNotResetAgain) {
  // The tag of our own RESET was once taken for a client's: such a server was reset for ever after.
  World world;
  auto [client, server] = world.session();
  client.sends(query("set work_mem = '1MB'"));
  server.sees(query("set work_mem = '1MB'"));
  server.sends(command_complete("SET") + ready());
  server.sees(query("RESET SESSION AUTHORIZATION; RESET ALL"));
  server.sends(command_complete("RESET") + command_complete("RESET") + ready());
  client.sees(command_complete("SET") + ready());
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  server.sends(result("1"));
  client.sees(result("1"));
  server.sees_nothing();
}

}  // namespace
}  // namespace doorman::conversation
