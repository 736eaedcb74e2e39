// Who leaves, and when: clients and servers that go away in each phase, cancels, and time limits.
#include <gtest/gtest.h>

#include "world.h"

namespace doorman::conversation {
namespace {

// No server and no client of the worker is left over, but for what is expected.
void expect_sessions(World& world, std::size_t clients, std::size_t servers) {
  EXPECT_TRUE(world.until([&] {
    return world.worker().client_count() == clients && world.worker().server_count() == servers;
  })) << world.worker().client_count()
      << " clients, " << world.worker().server_count() << " servers";
  EXPECT_EQ(world.pool().pool.shared().servers.used(), static_cast<int>(servers));
}

// ---- A client that leaves ---------------------------------------------------------------------

TEST(ClientLeaves, BeforeAndDuringItsStartupPacket) {
  World world;
  Peer silent = world.dials();
  Peer begun = world.dials();
  begun.sends(std::string("\0\0\0\x20\0\3", 6));
  silent.closes();
  begun.closes();
  expect_sessions(world, 0, 0);
}

TEST(ClientLeaves, WhileItsLoginWaitsForAServer) {
  World world;
  Peer client = world.client();
  Peer server = world.accepts();
  client.closes();
  expect_sessions(world, 0, 1);
  world.logs_in(server);
  Peer next = world.one_more_client();
  next.sends(query("select 1"));
  server.sees(query("select 1"));
}

TEST(ClientLeaves, WhileTheServerTakesOverItsParameters) {
  World world;
  Peer client = world.client({{"application_name", "till"}});
  Peer server = world.server();
  server.sees_up_to('S');
  client.closes();
  world.sees_cancel_of(server);
  server.sends(error("57014", "canceled") + ready());
  expect_sessions(world, 0, 1);
}

TEST(ClientLeaves, WhileItIsIdle) {
  World world;
  auto [client, server] = world.session();
  client.closes();
  server.sees_nothing();
  expect_sessions(world, 0, 1);
}

TEST(ClientLeaves, WhileItWaitsForAServer) {
  World world("default_pool_size=1\n");
  auto [first, server] = world.session();
  Peer second = world.one_more_client();
  first.sends(query("begin"));
  server.sees(query("begin"));
  second.sends(query("select 2"));
  server.sees_nothing();
  second.closes();
  server.sends(command_complete("COMMIT") + ready());
  first.sees(command_complete("COMMIT") + ready());
  server.sees_nothing();
  expect_sessions(world, 1, 1);
}

TEST(ClientLeaves, IdleInATransactionItIsRolledBack) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  client.sends(query("begin"));
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  client.sees(command_complete("BEGIN") + ready('T'));
  Peer next = world.one_more_client();
  next.sends(query("select 2"));
  client.closes();
  server.sees(query("ROLLBACK"));
  server.sees_nothing();
  server.sends(command_complete("ROLLBACK") + ready());
  server.sees(query("select 2"));
}

TEST(ClientLeaves, IdleInAFailedTransactionItIsRolledBack) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("begin; x"));
  server.sees(query("begin; x"));
  server.sends(error("42601", "x") + ready('E'));
  client.sees(error("42601", "x") + ready('E'));
  client.sends(terminate());
  server.sees(query("ROLLBACK"));
}

TEST(ClientLeaves, DuringAQueryItIsCancelledAndTheServerKept) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("select pg_sleep(100)"));
  server.sees(query("select pg_sleep(100)"));
  client.closes();
  world.sees_cancel_of(server);
  server.sends(error("57014", "canceled") + ready());
  expect_sessions(world, 0, 1);
}
TEST(ClientLeaves, DuringAQueryOfATransactionItIsRolledBack) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("begin") + query("select pg_sleep(100)"));
  server.sees(query("begin") + query("select pg_sleep(100)"));
  client.closes();
  world.sees_cancel_of(server);
  server.sends(command_complete("BEGIN") + ready('T') + error("57014", "canceled") + ready('E'));
  server.sees(query("ROLLBACK"));
  server.sends(command_complete("ROLLBACK") + ready());
  expect_sessions(world, 0, 1);
}
TEST(ClientLeaves, InABatchWithoutSyncTheServerIsClosedWhenItHasAnswered) {
  World world;
  auto [client, server] = world.session();
  const std::string batch = wire::parse("", "insert") + bind("") + wire::execute();
  client.sends(batch);
  server.sees(batch);
  client.closes();
  server.sees(flush());
  world.sees_cancel_of(server);
  server.sends(parse_complete() + bind_complete() + command_complete("INSERT 0 1"));
  server.sees_close();
}

TEST(ClientLeaves, InTheMiddleOfAResult) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  const std::string reply = result("1");
  server.sends(reply.substr(0, reply.size() - 3));
  client.closes();
  world.sees_cancel_of(server);
  server.sends(reply.substr(reply.size() - 3));
  expect_sessions(world, 0, 1);
}

TEST(ClientLeaves, InTheMiddleOfItsMessage) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("begin"));
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  client.sees(command_complete("BEGIN") + ready('T'));
  // So large that it is passed on as it comes.
  const std::string half = query(std::string(100'000, ' ')).substr(0, 8);
  client.sends(half);
  server.sees(half);
  client.closes();
  server.sees_close();
}

// An injected Sync would commit what the batch has done so far: nothing may follow it.
TEST(ClientLeaves, WithABatchThatHasNoSync) {
  World world;
  auto [client, server] = world.session();
  const std::string batch = parse("", "insert") + bind("") + execute() + flush();
  client.sends(batch);
  server.sees(batch);
  server.sends(parse_complete() + bind_complete() + command_complete("INSERT 0 1"));
  client.sees(parse_complete() + bind_complete() + command_complete("INSERT 0 1"));
  client.closes();
  server.sees_close();
}

TEST(ClientLeaves, DuringCopyIn) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("copy t from stdin"));
  server.sees(query("copy t from stdin"));
  server.sends(copy_in());
  client.sees(copy_in());
  client.sends(copy_data("1\n"));
  server.sees(copy_data("1\n"));
  client.closes();
  server.sees_close();
}

TEST(ClientLeaves, AfterAnErrorBeforeItsSync) {
  World world;
  auto [client, server] = world.session();
  client.sends(parse("", "x") + flush());
  server.sees(parse("", "x") + flush());
  server.sends(error("42601", "x"));
  client.sees(error("42601", "x"));
  client.closes();
  server.sees_close();
  expect_sessions(world, 0, 0);
}

// ---- A server that dies -----------------------------------------------------------------------

TEST(ServerDies, WhileItIsIdle) {
  World world;
  auto [client, server] = world.session();
  server.closes();
  expect_sessions(world, 1, 0);
  client.sends(query("select 1"));
  Peer next = world.server();
  next.sees(query("select 1"));
}

TEST(ServerDies, DuringAQueryTheClientIsToldWhatItSaid) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  server.sends(fatal("57P01", "terminating connection due to administrator command"));
  server.closes();
  client.sees(fatal("57P01", "terminating connection due to administrator command"));
  client.sees_close();
  expect_sessions(world, 0, 0);
}

TEST(ServerDies, DuringAQueryWithoutAWord) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  server.sends(columns());
  client.sees(columns());
  server.closes();
  client.sees_error("08006");
  client.sees_close();
}

// A made-up error in the middle of a row would be read as a part of that row.
TEST(ServerDies, InTheMiddleOfAMessageTheClientJustSeesTheEnd) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  const std::string half = row("a long value").substr(0, 12);
  server.sends(columns() + half);
  client.sees(columns() + half);
  server.closes();
  client.sees_close();
  expect_sessions(world, 0, 0);
}

TEST(ServerDies, InATransaction) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("begin"));
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  client.sees(command_complete("BEGIN") + ready('T'));
  server.closes();
  client.sees_error("08006");
  client.sees_close();
}

TEST(ServerDies, WhileItIsCleanedNobodyNotices) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("declare c cursor with hold for select 1"));
  server.sees(query("declare c cursor with hold for select 1"));
  server.sends(command_complete("DECLARE CURSOR") + ready());
  client.sees(command_complete("DECLARE CURSOR") + ready());
  server.sees(query("CLOSE ALL"));
  server.closes();
  client.sees_nothing();
  client.sends(query("select 1"));
  Peer next = world.server();
  next.sees(query("select 1"));
}

TEST(ServerDies, ARefusedCleaningEndsTheServer) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("declare c cursor with hold for select 1"));
  server.sees(query("declare c cursor with hold for select 1"));
  server.sends(command_complete("DECLARE CURSOR") + ready());
  client.sees(command_complete("DECLARE CURSOR") + ready());
  server.sees(query("CLOSE ALL"));
  server.sends(error("XX000", "no") + ready());
  server.sees_close();
  client.sees_nothing();
}

TEST(ServerDies, DuringCopyIn) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("copy t from stdin"));
  server.sees(query("copy t from stdin"));
  server.sends(copy_in());
  client.sees(copy_in());
  server.closes();
  client.sees_error("08006");
  client.sees_close();
}

// ---- Cancel requests --------------------------------------------------------------------------

TEST(Cancel, OfARunningQueryGoesToItsServer) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("select pg_sleep(100)"));
  server.sees(query("select pg_sleep(100)"));
  Peer canceller = world.dials();
  canceller.sends(wire::cancel_request(client.key()));
  world.sees_cancel_of(server);
  canceller.sees_close();
  server.sends(error("57014", "canceling statement due to user request") + ready());
  client.sees(error("57014", "canceling statement due to user request") + ready());
}

// Else the cancel request could hit the query of whoever gets the server next.
TEST(Cancel, TheServerIsHeldBackWhileACancelIsUnderWay) {
  World world("default_pool_size=1\n");
  auto [client, server] = world.session();
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  Peer canceller = world.dials();
  canceller.sends(wire::cancel_request(client.key()));
  Peer request = world.accepts();
  server.sends(result("1") + ready());
  client.sees(result("1") + ready());
  client.sends(query("select 2"));
  server.sees_nothing();
  request.closes();
  server.sees(query("select 2"));
}

TEST(Cancel, OfAWaitingQueryIsAnsweredHere) {
  World world("default_pool_size=1\n");
  auto [first, server] = world.session();
  Peer second = world.one_more_client();
  first.sends(query("begin"));
  server.sees(query("begin"));
  second.sends(query("select 2"));
  server.sees_nothing();
  Peer canceller = world.dials();
  canceller.sends(wire::cancel_request(second.key()));
  second.sees(error("57014", "canceling statement due to user request") + ready());
  world.sees_no_connection();
  second.sends(parse("", "select 3") + bind("") + execute() + sync());
  second.sees_nothing();
  Peer again = world.dials();
  again.sends(wire::cancel_request(second.key()));
  second.sees(error("57014", "canceling statement due to user request") + ready());
}

TEST(Cancel, WithAKeyThatNobodyHasIsIgnored) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  std::string wrong = client.key();
  wrong.back() = static_cast<char>(wrong.back() ^ 1);
  Peer canceller = world.dials();
  canceller.sends(wire::cancel_request(wrong));
  canceller.sees_close();
  world.sees_no_connection();
}

TEST(Cancel, OfAnIdleClientIsIgnored) {
  World world;
  auto [client, server] = world.session();
  Peer canceller = world.dials();
  canceller.sends(wire::cancel_request(client.key()));
  canceller.sees_close();
  world.sees_no_connection();
  client.sees_nothing();
}

TEST(Cancel, ReachesAClientOfAnotherWorker) {
  World world("", "", /*workers=*/2);
  auto [client, server] = world.session();
  client.sends(query("select pg_sleep(100)"));
  server.sees(query("select pg_sleep(100)"));
  Peer canceller = world.dials(/*worker=*/1);
  canceller.sends(wire::cancel_request(client.key()));
  world.sees_cancel_of(server);
}

// As in protocol 3.2: the client is given a long key since it asked for that version, and the
// server may have one of any length.
TEST(Cancel, KeysMayBeLongOnBothSides) {
  World world;
  world.server_secret = std::string(32, 's');
  std::string startup = wire::startup_message({{"user", "app"}, {"database", "shop"}});
  startup[7] = 2;
  Peer client = world.dials();
  client.sends(startup);
  Peer server = world.server();
  world.sees_welcome(client);
  EXPECT_EQ(client.key().size(), 36U);
  client.sends(query("select pg_sleep(100)"));
  server.sees(query("select pg_sleep(100)"));
  Peer short_key = world.dials();
  short_key.sends(wire::cancel_request(client.key().substr(0, 8)));
  short_key.sees_close();
  world.sees_no_connection();
  Peer canceller = world.dials();
  canceller.sends(wire::cancel_request(client.key()));
  world.sees_cancel_of(server);
}

// ---- Time limits ------------------------------------------------------------------------------

TEST(TimeLimit, OfALogin) {
  World world("client_login_timeout=0.05\n");
  Peer client = world.dials();
  client.sees_error("57P03");
  client.sees_close();
}

TEST(TimeLimit, OfAnIdleClient) {
  World world("client_idle_timeout=0.05\n");
  auto [client, server] = world.session();
  client.sees_error("57P05");
  client.sees_close();
  expect_sessions(world, 0, 1);
}

TEST(TimeLimit, OfAWaitForAServer) {
  World world("default_pool_size=1\nquery_wait_timeout=0.05\n");
  auto [first, server] = world.session();
  Peer second = world.one_more_client();
  first.sends(query("begin"));
  server.sees(query("begin"));
  second.sends(query("select 2"));
  second.sees_error("53300");
  second.sees_close();
}

TEST(TimeLimit, OfAQuery) {
  World world("query_timeout=0.05\n");
  auto [client, server] = world.session();
  client.sends(query("select pg_sleep(100)"));
  server.sees(query("select pg_sleep(100)"));
  client.sees_error("57014");
  client.sees_close();
  world.sees_cancel_of(server);
  server.sends(error("57014", "canceled") + ready());
  expect_sessions(world, 0, 1);
}

TEST(TimeLimit, OfATransactionThatDoesNothing) {
  World world("idle_transaction_timeout=0.05\n");
  auto [client, server] = world.session();
  client.sends(query("begin"));
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  client.sees(command_complete("BEGIN") + ready('T'));
  client.sees_error("25P03");
  client.sees_close();
  server.sees(query("ROLLBACK"));
}

TEST(TimeLimit, OfATransaction) {
  World world("transaction_timeout=0.05\n");
  auto [client, server] = world.session();
  client.sends(query("begin"));
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  client.sees(command_complete("BEGIN") + ready('T'));
  client.sees_error("25P04");
  client.sees_close();
}

TEST(TimeLimit, OfAnIdleServer) {
  World world("server_idle_timeout=0.05\n");
  auto [client, server] = world.session();
  server.sees(terminate());
  server.sees_close();
  client.sees_nothing();
}

// Else all servers of a pool that were opened together would be closed together.
TEST(TimeLimit, OfServersLivesEndsThemOneByOne) {
  World world("server_lifetime=0.05\ndefault_pool_size=2\n");
  auto [client, server] = world.session();
  client.sends(query("begin"));
  server.sees(query("begin"));
  Peer second = world.one_more_client();
  second.sends(query("select 2"));
  Peer other = world.server();
  other.sees(query("select 2"));
  other.sends(result("2") + ready());
  server.sends(command_complete("BEGIN") + ready());
  const auto count = [&world] { return world.worker().server_count(); };
  EXPECT_TRUE(world.until([&] { return count() < 2; }));
  EXPECT_EQ(count(), 1U);
  EXPECT_TRUE(world.until([&] { return count() == 0; }));
}

// Whoever holds a cancel request back holds back the server that it was for, but not for ever.
TEST(TimeLimit, OfACancelRequest) {
  World world("default_pool_size=1\ncancel_wait_timeout=0.05\n");
  auto [client, server] = world.session();
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  Peer canceller = world.dials();
  canceller.sends(wire::cancel_request(client.key()));
  Peer request = world.accepts();
  server.sends(result("1") + ready());
  client.sees(result("1") + ready());
  client.sends(query("select 2"));
  server.sees(query("select 2"));
}

TEST(TimeLimit, OfAServersLogin) {
  World world("server_connect_timeout=0.05\n");
  Peer client = world.client();
  Peer server = world.accepts();
  client.sees_error("08001");
  client.sees_close();
}

}  // namespace
}  // namespace doorman::conversation
