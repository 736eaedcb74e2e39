// Peers that do not read, and servers that say what no PostgreSQL says.
#include <gtest/gtest.h>

#include "world.h"

namespace doorman::conversation {
namespace {

// What one session may hold at most: one read of a worker, and what an inbox grows by.
constexpr std::size_t kBound = std::size_t{3} * 64 * 1024;

// Where sessions move, the client may just be on its way.
void all_are_there(World& world) {
  EXPECT_TRUE(world.until([&world] {
    std::size_t clients = 0;
    world.worker().each_client([&clients](session::ClientSession& /*each*/) { ++clients; });
    return clients > 0;
  }));
}

std::size_t unsent_to_servers(World& world) {
  all_are_there(world);
  std::size_t sum = 0;
  world.worker().each_server([&](const session::ServerSession& s) { sum += s.stream().unsent(); });
  return sum;
}

std::size_t unsent_to_clients(World& world) {
  all_are_there(world);
  std::size_t sum = 0;
  world.worker().each_client([&](session::ClientSession& c) { sum += c.stream().unsent(); });
  return sum;
}

TEST(Pressure, AnIdleClientHoldsNoBuffer) {
  World world;
  auto [client, server] = world.session();
  EXPECT_EQ(world.worker().buffers.lent(), 0U);
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  server.sends(result("1") + ready());
  client.sees(result("1") + ready());
  EXPECT_EQ(world.worker().buffers.lent(), 0U);
}

TEST(Pressure, AClientThatDoesNotReadStopsItsServer) {
  World world;
  auto [client, server] = world.session();
  client.shrinks_socket_buffers();
  client.sends(query("select a lot"));
  server.sees(query("select a lot"));
  std::string reply = columns();
  while (reply.size() < (std::size_t{8} << 20U)) reply += row(std::string(30'000, 'x'));
  reply += command_complete("SELECT 1") + ready();
  const std::size_t sent = server.sends_until_stuck(reply);
  EXPECT_LT(sent, reply.size());
  EXPECT_LE(unsent_to_clients(world), kBound);
  EXPECT_GT(unsent_to_clients(world), 0U);
  EXPECT_LE(world.worker().buffers.lent(), 3U);

  // Once it reads, all of it comes.
  std::size_t offset = sent;
  std::size_t taken = 0;
  while (taken < reply.size()) {
    offset += server.sends_until_stuck(std::string_view(reply).substr(offset));
    const std::size_t size = std::min<std::size_t>(100'000, reply.size() - taken);
    client.sees(std::string_view(reply).substr(taken, size));
    taken += size;
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_EQ(world.worker().buffers.lent(), 0U);
}

TEST(Pressure, AServerThatDoesNotReadStopsItsClient) {
  World world;
  auto [client, server] = world.session();
  server.shrinks_socket_buffers();
  client.sends(query("copy t from stdin"));
  server.sees(query("copy t from stdin"));
  server.sends(copy_in());
  client.sees(copy_in());
  std::string data;
  while (data.size() < (std::size_t{8} << 20U)) data += copy_data(std::string(30'000, 'x'));
  const std::size_t sent = client.sends_until_stuck(data);
  EXPECT_LT(sent, data.size());
  EXPECT_LE(unsent_to_servers(world), kBound);
  EXPECT_LE(world.worker().buffers.lent(), 3U);

  std::size_t offset = sent;
  for (std::size_t taken = 0; taken < data.size();) {
    offset += client.sends_until_stuck(std::string_view(data).substr(offset));
    const std::size_t size = std::min<std::size_t>(100'000, data.size() - taken);
    server.sees(std::string_view(data).substr(taken, size));
    taken += size;
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_EQ(world.worker().buffers.lent(), 0U);
}

// A pipeline whose questions and answers are both larger than all socket buffers: the client sends
// all before it reads anything, as some drivers do, up to where the sockets are full.
TEST(Pressure, BothDirectionsFullAtTheSameTimeDoNotDeadlock) {
  World world;
  auto [client, server] = world.session();
  client.shrinks_socket_buffers();
  server.shrinks_socket_buffers();
  const std::string question = query(std::string(20'000, 'q'));
  const std::string answer =
      columns() + row(std::string(20'000, 'a')) + command_complete("S") + ready();
  constexpr int kQuestions = 100;
  std::string asked;
  std::string answered;
  for (int i = 0; i < kQuestions; ++i) asked += question;
  for (int i = 0; i < kQuestions; ++i) answered += answer;
  std::size_t sent = client.sends_until_stuck(asked);
  EXPECT_LT(sent, asked.size());
  std::size_t taken = 0;
  for (int i = 0; i < kQuestions; ++i) {
    sent += client.sends_until_stuck(std::string_view(asked).substr(sent));
    server.sees(question);
    server.sends_until_stuck(answer);  // the worker takes an answer even while the client does not
    const std::size_t size = answer.size();
    client.sees(std::string_view(answered).substr(taken, size));
    taken += size;
    EXPECT_LE(unsent_to_clients(world) + unsent_to_servers(world), 2 * kBound);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(Pressure, AClientThatWaitsIsReadNoFurtherThanItsInbox) {
  World world("default_pool_size=1\n");
  auto [first, server] = world.session();
  Peer second = world.one_more_client();
  second.shrinks_socket_buffers();
  first.sends(query("begin"));
  server.sees(query("begin"));
  std::string pipeline;
  while (pipeline.size() < (std::size_t{4} << 20U)) pipeline += query("select 2");
  EXPECT_LT(second.sends_until_stuck(pipeline), std::size_t{1} << 20U);
  EXPECT_LE(world.worker().buffers.lent(), 2U);
}

TEST(Pressure, ABigMessageStreamsThroughInPieces) {
  World world;
  auto [client, server] = world.session();
  const std::string request = query(std::string(3'000'000, 'q'));
  std::size_t sent = 0;
  for (std::size_t taken = 0; taken < request.size();) {
    sent += client.sends_until_stuck(std::string_view(request).substr(sent));
    const std::size_t size = std::min<std::size_t>(50'000, request.size() - taken);
    server.sees(std::string_view(request).substr(taken, size));
    taken += size;
    if (::testing::Test::HasFailure()) return;
  }
  server.sends(result("1") + ready());
  client.sees(result("1") + ready());
  EXPECT_LE(world.worker().buffers.lent(), 0U);
}

// ---- Servers that misbehave -------------------------------------------------------------------

struct Misbehaviour {
  std::string says;
  std::string asked = query("select 1");
};

TEST(Misbehaviour, AServerThatBreaksTheProtocolIsClosedAndSoIsItsClient) {
  const std::string batch = parse("", "x") + bind("") + execute() + sync();
  const Misbehaviour all[] = {
      {.says = std::string("D\0\0\0\x03", 5)},
      {.says = std::string("D\x7f\xff\xff\xff", 5)},
      {.says = message('y', "what")},
      {.says = message('R', std::string("\0\0\0\0", 4))},
      {.says = message('K', "12345678")},
      {.says = message('Z', "")},
      {.says = message('Z', "II")},
      {.says = parse_complete()},
      {.says = bind_complete(), .asked = batch},
      {.says = ready(), .asked = batch},
      {.says = message('S', "no zero byte")},
      {.says = "C" + std::string("\0\1\0\0", 4) + std::string(70'000, 'x')},
      {.says = result("1") + ready() + ready(), .asked = batch},
      {.says = "HTTP/1.0 400 Bad Request\r\n\r\n"},
  };
  for (const Misbehaviour& each : all) {
    SCOPED_TRACE(readable(std::string_view(each.says).substr(0, 60)));
    World world;
    auto [client, server] = world.session();
    client.sends(each.asked);
    server.sees(each.asked);
    server.sends_until_stuck(each.says);
    // What came in its place has passed already.
    std::pair<char, std::string> last = client.sees_message();
    while (last.first != 'E' && last.first != '\0') last = client.sees_message();
    EXPECT_EQ(wire::error_field(bytes_of(last.second), 'C'), "08P01");
    client.sees_close();
    server.sees_close();
  }
}

TEST(Misbehaviour, AnIdleServerThatTalksIsClosed) {
  for (const std::string& says :
       {parse_complete(), ready(), row("1"), command_complete("SELECT 1"), message('E', ""),
        fatal("57P01", "bye"), std::string("\0\0\0\0\0\0\0\0", 8)}) {
    SCOPED_TRACE(readable(says));
    World world;
    auto [client, server] = world.session();
    server.sends(says);
    client.sees_nothing();
    if (says == row("1")) continue;  // ignored until its next message
    server.sees_close();
    EXPECT_EQ(world.worker().server_count(), 0U);
  }
}

TEST(Misbehaviour, MoreReadyForQueryThanQueriesEndTheServerNotTheNextClient) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  server.sends(result("1") + ready());
  client.sees(result("1") + ready());
  server.sends(ready());
  server.sees_close();
  client.sees_nothing();
  client.sends(query("select 2"));
  Peer next = world.server();
  next.sees(query("select 2"));
}

TEST(Misbehaviour, AnErrorWithoutFieldsPasses) {
  World world;
  auto [client, server] = world.session();
  client.sends(query("select 1"));
  server.sees(query("select 1"));
  server.sends(message('E', "") + message('E', "S") + ready());
  client.sees(message('E', "") + message('E', "S") + ready());
}

}  // namespace
}  // namespace doorman::conversation
