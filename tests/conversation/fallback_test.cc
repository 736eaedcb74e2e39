// Databases of "*": clients make up their names, so nothing may stay of one that is not used.
#include <gtest/gtest.h>

#include "world.h"

namespace doorman::conversation {
namespace {

constexpr int kWorkers = 2;
constexpr std::string_view kSettings = "autodb_idle_timeout=0.2\n";

void add_fallback(World& world) {
  for (int i = 0; i < kWorkers; ++i) {
    const std::string fallback = "\n* = host=" + world.folder();
    world.worker(i).apply(world.rules(std::string(kSettings), fallback));
  }
}

Peer client_of(World& world, const std::string& database, int worker) {
  Peer peer = world.dials(worker);
  peer.sends(wire::startup_message({{"user", "visitor of " + database}, {"database", database}}));
  return peer;
}

bool nothing_left(World& world) {
  pool::Registry& registry = world.shared().registry;
  return registry.pools() == 0 && registry.databases().empty() && registry.users().empty() &&
         world.shared().listens.size() == 0 && registry.clients.used() == 0;
}

TEST(Fallback, NothingStaysOfADatabaseThatIsNotUsed) {
  World world(std::string(kSettings), "", kWorkers);
  add_fallback(world);
  std::vector<Peer> clients;
  std::vector<Peer> servers;
  for (int i = 0; i < 10; ++i) {
    const std::string name = "tenant" + std::to_string(i);
    Peer first = client_of(world, name, i % kWorkers);
    servers.push_back(world.server());
    world.sees_welcome(first);
    clients.push_back(std::move(first));
    clients.push_back(client_of(world, name, (i + 1) % kWorkers));  // a part on each worker
    world.sees_welcome(clients.back());
  }
  EXPECT_EQ(world.shared().registry.pools(), 10U);
  EXPECT_EQ(world.shared().registry.databases().size(), 10U);
  for (Peer& each : clients) each.sends(terminate());
  EXPECT_TRUE(world.until([&] { return nothing_left(world); }));
  for (Peer& each : servers) {
    each.sees(terminate());
    each.sees_close();
  }
}

TEST(Fallback, NothingStaysOfADatabaseThatTheServerDoesNotHave) {
  World world(std::string(kSettings), "", kWorkers);
  add_fallback(world);
  for (int i = 0; i < 4; ++i) {
    Peer client = client_of(world, "made up " + std::to_string(i), i % kWorkers);
    Peer server = world.accepts();
    server.sees_first_packet();
    server.sends(fatal("3D000", "there is no such database"));
    client.sees_error("3D000");
    client.sees_close();
  }
  EXPECT_TRUE(world.until([&] { return nothing_left(world); }));
}

TEST(Fallback, NothingStaysOfWhoListenedThere) {
  World world(std::string(kSettings), "", kWorkers);
  add_fallback(world);
  for (int i = 0; i < 4; ++i) {
    Peer client = client_of(world, "tenant" + std::to_string(i), i % kWorkers);
    Peer server = world.server();
    world.sees_welcome(client);
    client.sends(query("listen a"));
    server.sees(query("listen a"));
    server.sends(command_complete("LISTEN") + ready());
    client.sees(command_complete("LISTEN"));
    EXPECT_EQ(server.sees_message().first, 'Q');  // what it listens to
    server.sends(result("a") + command_complete("LISTEN") + ready());
    client.sees(ready());
    EXPECT_GE(world.shared().listens.size(), 1U);
    client.closes();
    server.sees(query("UNLISTEN *"));  // nobody listens: it is an ordinary server again
    server.closes();
  }
  EXPECT_TRUE(world.until([&] { return nothing_left(world); }));
}

TEST(Fallback, ADatabaseThatIsUsedStays) {
  World world(std::string(kSettings), "", kWorkers);
  add_fallback(world);
  Peer client = client_of(world, "tenant", 1);
  Peer server = world.server();
  world.sees_welcome(client);
  Peer gone = client_of(world, "another", 0);
  const Peer of_gone = world.server();
  world.sees_welcome(gone);
  gone.sends(terminate());
  EXPECT_TRUE(world.until([&] { return world.shared().registry.pools() == 1; }));
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  server.sends(result("1") + ready());
  client.sees(result("1") + ready());
}

}  // namespace
}  // namespace doorman::conversation
