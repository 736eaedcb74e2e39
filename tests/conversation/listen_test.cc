// LISTEN in transaction mode: when the client learns of it, and which connection's notifications it
// gets.
#include <gtest/gtest.h>

#include "session/records.h"
#include "world.h"

namespace doorman::conversation {
namespace {

std::string notification(std::string_view channel, std::string_view payload = "",
                         std::uint32_t pid = 77) {
  return wire::MessageWriter().begin('A').u32(pid).text(channel).text(payload).end().take();
}

// The text of the next Query.
std::string sees_query(Peer& server) {
  auto [type, body] = server.sees_message();
  EXPECT_EQ(type, 'Q');
  return body.substr(0, body.find('\0'));
}

constexpr std::string_view kQuestion = "SELECT pg_catalog.pg_listening_channels(); LISTEN \"";

// The client says LISTEN and gets no further than its tag; the server is asked what it listens to.
// Gives the channel of the marks.
std::string listens(Peer& client, Peer& server, std::string_view channel) {
  const std::string sql = "listen " + std::string(channel);
  client.sends(query(sql));
  server.sees(query(sql));
  server.sends(command_complete("LISTEN") + ready());
  client.sees(command_complete("LISTEN"));
  const std::string question = sees_query(server);
  EXPECT_TRUE(question.starts_with(kQuestion)) << question;
  return question.substr(kQuestion.size(), question.size() - kQuestion.size() - 1);
}

std::string answer(std::string_view channel) {
  return result(channel) + command_complete("LISTEN") + ready();
}

// The first client listens to a: the server that it used is the ear.
std::string begins(Peer& client, Peer& server) {
  const std::string mark = listens(client, server, "a");
  client.sees_nothing();
  server.sends(answer("a"));
  client.sees(ready());
  return mark;
}

// The number of the mark that the ear is told to set, after `before`.
std::string sees_mark(Peer& ear, const std::string& before, const std::string& mark) {
  const std::string sql = sees_query(ear);
  const std::string start = before + "NOTIFY \"" + mark + "\",'";
  EXPECT_TRUE(sql.starts_with(start)) << sql;
  if (!sql.starts_with(start)) return "0";
  return sql.substr(start.size(), sql.find('\'', start.size()) - start.size());
}

TEST(Listen, TheFirstServerIsTheEar) {
  World world;
  auto [client, ear] = world.session();
  begins(client, ear);
  ear.sends(notification("a", "1") + notification("b") + notification("a", "2"));
  client.sees(notification("a", "1") + notification("a", "2"));
  client.sends(query("select 1"));  // needs another server
  Peer server = world.server();
  server.sees(query("select 1"));
}

TEST(Listen, ReadyWaitsForTheMarkOnBothConnections) {
  for (const bool ear_first : {true, false}) {
    World world;
    auto [client, ear] = world.session();
    const std::string mark = begins(client, ear);
    Peer second = world.one_more_client();
    second.sends(query("listen b"));
    Peer server = world.server();
    server.sees(query("listen b"));
    server.sends(command_complete("LISTEN") + ready());
    second.sees(command_complete("LISTEN"));
    EXPECT_EQ(sees_query(server), std::string(kQuestion) + mark + "\"");
    server.sends(notification("b", "1") + answer("b"));
    second.sees(notification("b", "1"));
    const std::string number = sees_mark(ear, "LISTEN \"b\";", mark);
    server.sends(notification("b", "2"));
    second.sees(notification("b", "2"));
    const auto ear_says = [&, &e = ear] {
      e.sends(notification("b", "2") + command_complete("LISTEN") + command_complete("NOTIFY") +
              notification(mark, number) + notification("b", "3") + ready());
    };
    const auto server_says = [&] {
      server.sends(notification(mark, "4711") + notification(mark, number) +
                   notification("b", "3"));
    };
    ear_first ? ear_says() : server_says();
    second.sees_nothing();
    ear_first ? server_says() : ear_says();
    second.sees(notification("b", "3") + ready());
    server.sees(query("UNLISTEN *"));
    client.sees_nothing();
    ear.sends(notification("b", "4") + notification("a", "5"));
    second.sees(notification("b", "4"));
    client.sees(notification("a", "5"));
  }
}

TEST(Listen, WhatIsSaidMeanwhileWaits) {
  World world;
  auto [client, ear] = world.session();
  listens(client, ear, "a");
  client.sends(query("select 1"));
  ear.sees_nothing();
  ear.sends(answer("a"));
  client.sees(ready());
  Peer server = world.server();
  server.sees(query("select 1"));
}

TEST(Listen, ARolledBackListenIsNone) {
  World world;
  auto [client, server] = world.session();
  listens(client, server, "a");
  server.sends(columns() + command_complete("SELECT 0") + command_complete("LISTEN") + ready());
  client.sees(ready());
  server.sees(query("UNLISTEN *"));
}

TEST(Listen, AQuestionThatWasCancelledIsAskedAgain) {
  World world;
  auto [client, server] = world.session();
  listens(client, server, "a");
  server.sends(error("57014", "canceled") + ready());
  EXPECT_TRUE(sees_query(server).starts_with(kQuestion));
  server.sends(answer("a"));
  client.sees(ready());
}

TEST(Listen, WithoutAnEarTheNextServerIsIt) {
  World world;
  auto [client, ear] = world.session();
  const std::string mark = begins(client, ear);
  Peer second = world.one_more_client();
  second.sends(query("listen b"));
  Peer server = world.server();
  server.sees(query("listen b"));
  server.sends(command_complete("LISTEN") + ready());
  second.sees(command_complete("LISTEN"));
  sees_query(server);
  server.sends(answer("b"));
  sees_mark(ear, "LISTEN \"b\";", mark);
  ear.closes();
  server.sees(query("LISTEN \"a\";"));
  second.sees(ready());
  client.sees_nothing();
  server.sends(command_complete("LISTEN") + ready());
  EXPECT_EQ(client.sees_message().first, 'N');
  server.sends(notification("a") + notification("b"));
  client.sees(notification("a"));
  second.sees(notification("b"));
  second.sees_nothing();
}

TEST(Listen, ALostEarIsReplacedFromThePool) {
  World world("listen_gap_notify=1\n");
  auto [client, ear] = world.session();
  const std::string mark = begins(client, ear);
  ear.closes();
  Peer server = world.server();
  server.sees(query("SET client_encoding = \"UTF8\";LISTEN \"" + mark + "\";LISTEN \"a\";"));
  client.sees_nothing();
  server.sends(command_complete("SET") + command_complete("LISTEN") + command_complete("LISTEN") +
               ready());
  EXPECT_EQ(client.sees_message().first, 'N');
  const auto [type, body] = client.sees_message();
  EXPECT_EQ(type, 'A');
  EXPECT_EQ(body.substr(4), std::string("a\0\0", 3));
}

TEST(Listen, WhoLeavesInTheMiddleLeavesNothing) {
  World world;
  auto [client, server] = world.session();
  const std::string mark = begins(client, server);
  Peer& ear = server;
  Peer second = world.one_more_client();
  second.sends(query("listen b"));
  Peer other = world.server();
  other.sees(query("listen b"));
  other.sends(command_complete("LISTEN") + ready());
  second.sees(command_complete("LISTEN"));
  sees_query(other);
  other.sends(answer("b"));
  sees_mark(ear, "LISTEN \"b\";", mark);
  second.closes();
  other.sees(query("UNLISTEN *"));
  ear.sees(query("UNLISTEN \"b\";"));
  for (int i = 0; i < 2; ++i) ear.sends(command_complete("UNLISTEN") + ready());
  client.closes();
  ear.sees(query("UNLISTEN *"));
}

TEST(Listen, NotificationsComeAfterTheTransaction) {
  World world;
  auto [client, ear] = world.session();
  begins(client, ear);
  client.sends(query("begin"));
  Peer server = world.server();
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  client.sees(command_complete("BEGIN") + ready('T'));
  ear.sends(notification("a", "1"));
  client.sees_nothing();
  client.sends(query("commit"));
  server.sees(query("commit"));
  server.sends(command_complete("COMMIT") + ready());
  client.sees(command_complete("COMMIT") + notification("a", "1") + ready());
}

TEST(Listen, OnesOwnNotificationComesBeforeReady) {
  World world;
  auto [client, ear] = world.session();
  const std::string mark = begins(client, ear);
  client.sends(query("notify a"));
  Peer server = world.server();
  server.sees(query("notify a"));
  server.sends(command_complete("NOTIFY") + ready());
  client.sees(command_complete("NOTIFY"));
  const std::string number = sees_mark(ear, "", mark);
  client.sees_nothing();
  ear.sends(notification("a", "own") + command_complete("NOTIFY") + notification(mark, number) +
            ready());
  client.sees(notification("a", "own") + ready());
}

TEST(Listen, UnlistenEndsItAtTheCommit) {
  World world;
  auto [client, ear] = world.session();
  begins(client, ear);
  client.sends(query("begin; unlisten A"));
  Peer server = world.server();
  server.sees(query("begin; unlisten A"));
  server.sends(command_complete("BEGIN") + command_complete("UNLISTEN") + ready('T'));
  client.sees(command_complete("BEGIN") + command_complete("UNLISTEN") + ready('T'));
  ear.sees_nothing();
  ear.sends(notification("a"));
  client.sends(query("commit"));
  server.sees(query("commit"));
  server.sends(command_complete("COMMIT") + ready());
  client.sees(command_complete("COMMIT") + ready());
  ear.sees(query("UNLISTEN *"));
}

// As in another process: there is only the record.
TEST(Listen, SurvivesARecordWithAGap) {
  World world;
  auto [client, ear] = world.session();
  const std::string mark = begins(client, ear);
  session::ClientSession* moved = nullptr;
  world.worker().each_client([&](session::ClientSession& each) { moved = &each; });
  ASSERT_NE(moved, nullptr);
  auto image = session::SessionRecords::take_out(*moved);
  ASSERT_TRUE(image);
  image->listening.reset();
  ear.sees(query("UNLISTEN *"));
  ear.sends(command_complete("UNLISTEN") + ready());
  ASSERT_TRUE(session::SessionRecords::put_in(world.worker(), image.take()));
  ear.sees(query("SET client_encoding = \"UTF8\";LISTEN \"" + mark + "\";LISTEN \"a\";"));
  client.sees_nothing();
  ear.sends(command_complete("SET") + command_complete("LISTEN") + command_complete("LISTEN") +
            ready());
  EXPECT_EQ(client.sees_message().first, 'N');
  ear.sends(notification("a", "1"));
  client.sees(notification("a", "1"));
}

// LISTEN takes effect while the process is replaced: the new one begins again.
TEST(Listen, AHandoverSurvivesARecord) {
  for (const bool answered : {false, true}) {
    World world;
    auto [client, server] = world.session();
    const std::string first = listens(client, server, "a");
    session::ClientSession* moved = nullptr;
    world.worker().each_client([&](session::ClientSession& each) { moved = &each; });
    ASSERT_NE(moved, nullptr);
    ASSERT_FALSE(session::SessionRecords::take_out(*moved));  // not within this one
    const std::string client_record = session::SessionRecords::save(*moved);
    const std::string server_record = session::SessionRecords::save(*moved->server());
    session::Image image = session::SessionRecords::let_go(*moved);
    image.client = client_record;
    image.server = server_record;
    image.listening.reset();
    world.turn();
    if (answered) server.sends(answer(first));
    ASSERT_TRUE(session::SessionRecords::put_in(world.worker(), std::move(image)));
    if (!answered) server.sends(answer(first));
    EXPECT_TRUE(sees_query(server).starts_with(kQuestion));
    server.sends(columns() + row(first) + row("a") + command_complete("SELECT 2") +
                 command_complete("LISTEN") + ready());
    client.sees(ready());
    server.sends(notification("a"));
    client.sees(notification("a"));
  }
}

TEST(Listen, AFunctionThatListensIsUndone) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("select f()"));
  server.sees(query("select f()"));
  server.sends(result("1") + ready());
  client.sees(result("1") + ready());
  server.sends(notification("a"));
  client.sees_nothing();
  client.sends(query("select 2"));
  server.sees(query("select 2"));
  server.sends(result("2") + ready());
  client.sees(result("2") + ready());
  server.sees(query("UNLISTEN *"));
}

}  // namespace
}  // namespace doorman::conversation
