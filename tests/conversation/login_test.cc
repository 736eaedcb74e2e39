// Logging in: what a client is told, whose word that is, and what is refused.
#include <gtest/gtest.h>

#include <algorithm>

#include "world.h"

namespace doorman::conversation {
namespace {

using Parameters = std::vector<wire::Parameter>;

// The change that the pooler puts in to give a server `values`, name by name.
std::string sets(const std::vector<std::optional<std::string>>& names_and_values) {
  std::string sql = "SELECT ";
  for (std::size_t i = 1; i < names_and_values.size(); i += 2) {
    if (i > 1) sql += ", ";
    sql +=
        "pg_catalog.set_config($" + std::to_string(i) + ", $" + std::to_string(i + 1) + ", false)";
  }
  return parse("", sql) + wire::bind(names_and_values) + execute() + sync();
}

TEST(Login, FirstClientWaitsForAServerAndIsWelcomedAsItSpeaks) {
  World world;
  Peer client = world.client();
  client.sees_nothing();
  Peer server = world.server();
  EXPECT_EQ(world.sees_welcome(client), world.reports);
  EXPECT_EQ(client.key().size(), 8U);
  EXPECT_NE(client.key(), server.key());
  server.sees_nothing();
}

TEST(Login, LaterClientsAreWelcomedWithoutAServer) {
  World world;
  auto [client, server] = world.session();
  Peer later = world.client();
  EXPECT_EQ(world.sees_welcome(later), world.reports);
  world.sees_no_connection();
}

TEST(Login, StartupParametersAreTakenOverByAServerFirst) {
  World world;
  Peer client = world.client({{"application_name", "till"}});
  Peer server = world.server();
  server.sees(sets({"application_name", "till"}));
  client.sees_nothing();
  server.sends(parameter_status("application_name", "till") + parameters_changed());
  Parameters expected = world.reports;
  expected[2].value = "till";
  EXPECT_EQ(world.sees_welcome(client), expected);
}

// TimeZone=utc is reported as UTC: the client hears it from the server, and so does the next one,
// who need not wait for a server any more.
TEST(Login, ParametersAreSpelledAsTheServerSpellsThem) {
  World world;
  world.reports.push_back({"TimeZone", "GMT"});
  Peer client = world.client({{"timezone", "utc"}});
  Peer server = world.server();
  server.sees(sets({"TimeZone", "utc"}));
  server.sends(parameter_status("TimeZone", "UTC") + parameters_changed());
  EXPECT_EQ(world.sees_welcome(client).back().value, "UTC");
  Peer next = world.client({{"timezone", "utc"}});
  EXPECT_EQ(world.sees_welcome(next).back().value, "UTC");
  server.sees_nothing();
}

// The greeting of the last login is kept for the next one: as long as both ask for the same and
// the servers say the same.
TEST(Login, EachIsToldWhatItAskedForWhoeverCameBefore) {
  World world("default_pool_size=2\n");
  Peer till = world.client({{"application_name", "till"}});
  Peer server = world.server();
  server.sees(sets({"application_name", "till"}));
  server.sends(parameter_status("application_name", "till") + parameters_changed());
  world.sees_welcome(till);
  Parameters as_till = world.reports;
  as_till[2].value = "till";
  std::vector<std::string> keys;
  for (const bool is_till : {true, true, false, false, true}) {
    Peer next = is_till ? world.client({{"application_name", "till"}}) : world.client();
    EXPECT_EQ(world.sees_welcome(next), is_till ? as_till : world.reports);
    EXPECT_EQ(next.key().size(), 8U);
    EXPECT_EQ(std::count(keys.begin(), keys.end(), next.key()), 0);
    keys.push_back(next.key());
  }

  till.sends(query("begin"));
  server.sees(query("begin"));
  Peer other = world.one_more_client();
  other.sends(query("select 1"));
  world.reports[0].value = "15.1";
  Peer newer = world.server();
  newer.sees(query("select 1"));
  Peer next = world.client();
  EXPECT_EQ(world.sees_welcome(next), world.reports);
}

TEST(Login, AReloadThatTracksMoreIsSeenByTheNext) {
  World world;
  world.reports.push_back({"work_mem", "4MB"});
  auto [client, server] = world.session();
  const auto one_has = [&world](std::size_t parameters) {
    bool found = false;
    world.worker().each_client([&](session::ClientSession& each) {
      found = found || (each.parameters() && each.parameters()->all().size() == parameters);
    });
    return found;
  };
  Peer second = world.one_more_client();
  EXPECT_TRUE(world.until([&] { return one_has(3); }));
  world.worker().apply(world.rules("track_extra_parameters=work_mem\n", ""));
  EXPECT_FALSE(one_has(4));
  Peer third = world.one_more_client();
  EXPECT_TRUE(world.until([&] { return one_has(4); }));
}

// The pool's only server is in a transaction of a client of another worker.
TEST(Login, WhatAServerSaidIsKnownOnAllWorkers) {
  World world("default_pool_size=1", "", 2);
  Peer till = world.client({{"application_name", "till"}}, 0);
  Peer server = world.server();
  server.sees(sets({"application_name", "till"}));
  server.sends(parameter_status("application_name", "till") + parameters_changed());
  const Parameters expected = world.sees_welcome(till);
  till.sends(query("begin"));
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  till.sees(command_complete("BEGIN") + ready('T'));

  Peer plain = world.client({}, 1);
  EXPECT_EQ(world.sees_welcome(plain), world.reports);
  Peer second = world.client({{"application_name", "till"}}, 1);
  EXPECT_EQ(world.sees_welcome(second), expected) << "its parameters have been accepted";
  Peer third = world.client({{"application_name", "desk"}}, 1);
  third.sees_nothing();  // no server has said whether it accepts that
  world.sees_no_connection();
  server.sees_nothing();
}

TEST(Login, TheServerThatLoggedInLastIsBelievedOnAllWorkers) {
  World world("", "", 2);
  auto [first, server] = world.session();
  Peer second = world.client({}, 1);
  EXPECT_EQ(world.sees_welcome(second), world.reports);
  server.closes();
  world.reports[0].value = "16.1";
  first.sends(query("select 1"));
  Peer newer = world.server();
  newer.sees(query("select 1"));
  Peer third = world.client({}, 1);
  EXPECT_EQ(world.sees_welcome(third), world.reports);
}

TEST(Login, AfterAReloadThatMovesThePoolValuesMustBeAcceptedAnewOnAllWorkers) {
  World world("", "", 2);
  Peer first = world.client({{"application_name", "till"}}, 0);
  Peer server = world.server();
  server.sees(sets({"application_name", "till"}));
  server.sends(parameter_status("application_name", "till") + parameters_changed());
  world.sees_welcome(first);
  Peer second = world.client({{"application_name", "till"}}, 1);
  world.sees_welcome(second);
  for (const int each : {0, 1}) world.worker(each).apply(world.rules("", "dbname=other"));
  Peer third = world.client({{"application_name", "till"}}, 1);
  Peer moved = world.server();
  moved.sees(sets({"application_name", "till"}));
  third.sees_nothing();
  moved.sends(parameter_status("application_name", "till") + parameters_changed());
  world.sees_welcome(third);
}

TEST(Login, RefusedParametersEndTheClientAndSpareTheServer) {
  World world;
  Peer client = world.client({{"DateStyle", "nonsense"}});
  Peer server = world.server();
  server.sees(sets({"DateStyle", std::nullopt, "DateStyle", "nonsense"}));
  server.sends(parse_complete() + bind_complete() +
               error("22023", "invalid value for parameter \"DateStyle\": \"nonsense\"") + ready());
  const auto [type, body] = client.sees_message();
  EXPECT_EQ(type, 'E');
  EXPECT_EQ(wire::error_field(bytes_of(body), 'V'), "FATAL");
  EXPECT_EQ(wire::error_field(bytes_of(body), 'C'), "22023");
  client.sees_close();

  Peer next = world.one_more_client();
  next.sends(query("select 1"));
  server.sees(query("select 1"));
}

TEST(Login, ParametersAreReplayedInLineAndTheirRepliesSwallowed) {
  World world;
  Peer till = world.client({{"application_name", "till"}});
  Peer server = world.server();
  server.sees(sets({"application_name", "till"}));
  server.sends(parameter_status("application_name", "till") + parameters_changed());
  world.sees_welcome(till);

  // The server is as the first client wanted it; this one wants the default, which the server
  // knows.
  Peer plain = world.one_more_client();
  plain.sends(query("select 1"));
  server.sees(sets({"application_name", ""}));
  server.sends(parameter_status("application_name", "") + parameters_changed());
  server.sees(query("select 1"));
  server.sends(result("1") + ready());
  plain.sees(result("1") + ready());

  // Both values have been accepted before: now the query follows without waiting.
  till.sends(query("select 2"));
  server.sees(sets({"application_name", "till"}) + query("select 2"));
  server.sends(parameter_status("application_name", "till") + parameters_changed() + result("2") +
               ready());
  till.sees(result("2") + ready());
}

TEST(Login, AChangeByTheClientFollowsItToAnotherServer) {
  World world("default_pool_size=2\n");
  auto [client, server] = world.session();
  client.sends(query("set application_name = 'x'"));
  server.sees(query("set application_name = 'x'"));
  const std::string changed =
      parameter_status("application_name", "x") + command_complete("SET") + ready();
  server.sends(changed);
  client.sees(changed);

  Peer other = world.one_more_client();
  other.sends(query("begin"));
  server.sees(sets({"application_name", ""}));
  server.sends(parameter_status("application_name", "") + parameters_changed());
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  other.sees(command_complete("BEGIN") + ready('T'));

  client.sends(query("select 1"));
  Peer second = world.server();
  second.sees(sets({"application_name", "x"}) + query("select 1"));
}

TEST(Login, EncryptionIsDeclinedAndThenTheStartupGoesOn) {
  World world;
  Peer client = world.dials();
  client.sends(std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8));
  client.sees("N");
  client.sends(std::string("\0\0\0\x08\x04\xd2\x16\x30", 8));
  client.sees("N");
  client.sends(wire::startup_message({{"user", "app"}, {"database", "shop"}}));
  Peer server = world.server();
  world.sees_welcome(client);
}

TEST(Login, AStartupPacketMayComeByteByByte) {
  World world;
  Peer client = world.dials();
  for (const char c : wire::startup_message({{"user", "app"}, {"database", "shop"}})) {
    client.sends(std::string(1, c));
  }
  Peer server = world.server();
  world.sees_welcome(client);
}

TEST(Login, TheFirstQueryMayComeWithTheStartupPacket) {
  World world;
  Peer client = world.dials();
  client.sends(wire::startup_message({{"user", "app"}, {"database", "shop"}}) + query("select 1"));
  Peer server = world.server();
  world.sees_welcome(client);
  server.sees(query("select 1"));
  server.sends(result("1") + ready());
  client.sees(result("1") + ready());
}

TEST(Login, UnknownDatabaseAndMissingUserAreFatal) {
  World world;
  Peer lost = world.dials();
  lost.sends(wire::startup_message({{"user", "app"}, {"database", "nowhere"}}));
  lost.sees_error("3D000");
  lost.sees_close();
  Peer nobody = world.dials();
  nobody.sends(wire::startup_message({{"database", "shop"}}));
  nobody.sees_error("28000");
  nobody.sees_close();
}

TEST(Login, GarbageInsteadOfAStartupPacketEndsWithoutAWord) {
  World world;
  Peer web = world.dials();
  web.sends("GET / HTTP/1.1\r\n\r\n");
  web.sees_close();
  Peer unfinished = world.dials();
  unfinished.sends(std::string("\0\0\0\x10\0\3\0\0user\0app", 16));
  unfinished.sees_error("08P01");
  unfinished.sees_close();
  Peer old = world.dials();
  old.sends(std::string("\0\0\0\x08\0\2\0\0", 8));
  const std::string said = old.takes(1);
  EXPECT_EQ(said, "E");
}

TEST(Login, TheServersRefusalReachesTheClient) {
  World world;
  Peer client = world.client();
  Peer server = world.accepts();
  server.sees_first_packet();
  server.sends(fatal("28000", "role \"app\" is not permitted to log in"));
  EXPECT_EQ(client.sees_error("28000"), "role \"app\" is not permitted to log in");
  client.sees_close();
  server.sees_close();
}

TEST(Login, AServerThatDiesOrTalksNonsenseAtLoginIsAnErrorForTheClient) {
  for (const std::string& nonsense :
       {std::string(), std::string("HTTP/1.0 400 Bad Request\r\n"), message('R', ""),
        message('D', "row"), std::string("R\0\0\0\x03", 5), message('S', "a"), ready(),
        wire::authentication(0, {}) + message('Z', ""), wire::authentication(11, "data")}) {
    SCOPED_TRACE(readable(nonsense));
    World world;
    Peer client = world.client();
    Peer server = world.accepts();
    server.sees_first_packet();
    server.sends(nonsense);
    server.closes();
    const auto [type, body] = client.sees_message();
    EXPECT_EQ(type, 'E');
    EXPECT_EQ(wire::error_field(bytes_of(body), 'V'), "FATAL") << readable(body);
    client.sees_close();
  }
}

}  // namespace
}  // namespace doorman::conversation
