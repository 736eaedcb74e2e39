// Records as each version wrote them: tests/data/records-N.bin is never changed, and can be read
// for ever. Sessions that are built from one go on with their conversation.
//
// A new version gets its file by WRITE_GOLDEN=N, with N the version to write.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include "daemon/carry.h"
#include "daemon/upgrade.h"
#include "daemon/versions.h"
#include "handoff/journal.h"
#include "session/client.h"
#include "session/client_listening.h"
#include "session/record_fields.h"
#include "session/records.h"
#include "session/server.h"
#include "world.h"

namespace doorman::conversation {
namespace {

using handoff::Kind;
using session::ClientSession;
using session::ClientState;
using session::SessionRecords;

// Times in a record are of another machine's clock: nothing here may depend on them.
const std::string kSettings =
    "query_wait_timeout=0\nserver_idle_timeout=0\nserver_lifetime=1000000000\n"
    "server_check_delay=1000000000\nlisten_gap_notify=0\n";
const std::string kQueue = kSettings + "default_pool_size=1\n";

std::string file_of(std::uint8_t version) {
  return PROJECT_DIR "/tests/data/records-" + std::to_string(version) + ".bin";
}

// ---- The file: names and records, each behind its length ----------------------------------------

using Records = std::map<std::string, std::string>;

void put(std::ofstream& file, std::string_view text) {
  const auto size = static_cast<std::uint32_t>(text.size());
  file.write(reinterpret_cast<const char*>(&size), sizeof size);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
}

std::optional<std::string> get(std::ifstream& file) {
  std::uint32_t size = 0;
  if (!file.read(reinterpret_cast<char*>(&size), sizeof size)) return std::nullopt;
  std::string text(size, '\0');
  file.read(text.data(), size);
  return text;
}

Records read_file(std::uint8_t version) {
  std::ifstream file(file_of(version), std::ios::binary);
  Records all;
  while (auto name = get(file)) all[*name] = get(file).value_or("");
  return all;
}

// ---- What is in it ------------------------------------------------------------------------------

ClientSession& client_of(World& world, const Peer& peer) {
  ClientSession* found = nullptr;
  const std::uint32_t number = read_u32(bytes_of(peer.key()).data());
  world.worker().each_client([&](ClientSession& each) {
    const std::string key = world.shared().cancel_keys.key_of(number);
    if (SessionRecords::save(each).find(key) != std::string::npos) found = &each;
  });
  CHECK(found != nullptr);
  return *found;
}

void prepares(Peer& client, Peer& server, std::string_view known, std::string_view sql) {
  client.sends(parse("mine", sql) + sync());
  server.sees(parse(known, sql) + sync());
  server.sends(parse_complete() + ready());
  client.sees(parse_complete() + ready());
}

// An idle client, and how it was before its changes.
void write_idle(Records& all) {
  World world(kSettings);
  auto [client, server] = world.session();
  prepares(client, server, "PGDOORMAN_1", "select 1");
  ClientSession& session = client_of(world, client);
  all["idle"] = *SessionRecords::idle(SessionRecords::save(session), {});
  session::StatementRegistry& registry = world.shared().statements;
  session.each_statement([&](const session::ClientStatement& each) {
    all["statement"] = session::save_statement(*each.statement);
    all["statement removed"] = session::save_name(each);
  });
  const session::ClientStatement other{
      .serial = 50,
      .name = "other",
      .statement = registry.intern(std::string("select 2\0\0\0", 11), "")};
  all["other statement"] = session::save_statement(*other.statement);
  all["statement added"] = session::save_name(other);
  all["parameters changed"] =
      session::save_parameters({{"application_name", "changed"}, {"client_encoding", "UTF8"}});
  if (record_format.version >= 2) {
    all["channels added"] = SessionRecords::save_channels("UTF8", {"a", "b"});
    all["channels removed"] = SessionRecords::save_channels("UTF8", {"b"});
  }
  world.worker().each_server([&](session::ServerSession& each) {
    all["server to cancel"] = SessionRecords::save_for_cancel(each);
  });
}

// One client after the other does something and keeps its server; an idle server is left over.
void write_lane(Records& all) {
  World world(kSettings);
  auto [idle, server] = world.session();
  prepares(idle, server, "PGDOORMAN_1", "select 1");
  Peer begun = world.client({{"application_name", "begun"}});
  server.sees_up_to('S');
  server.sends(parse_complete() + bind_complete() + parameter_status("application_name", "begun") +
               row("x") + command_complete("SELECT 1") + ready());
  world.sees_welcome(begun);
  // In a transaction, with a pipeline under way and a half message behind it.
  begun.sends(query("begin"));
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  begun.sees(command_complete("BEGIN") + ready('T'));
  begun.sends(parse("named", "select 3") + bind("named", "p") + execute() + sync());
  EXPECT_EQ(server.sees_up_to('S'), "PBES");
  begun.sends(query("select 'half'").substr(0, 9));
  world.turn();
  Peer copies = world.one_more_client();
  copies.sends(query("copy t from stdin"));
  Peer of_copy = world.server();
  of_copy.sees(query("copy t from stdin"));
  of_copy.sends(copy_in());
  copies.sees(copy_in());
  copies.sends(copy_data("1\n") + copy_data("22\n").substr(0, 6));
  of_copy.sees(copy_data("1\n") + copy_data("22\n").substr(0, 6));
  Peer listens = world.one_more_client();
  listens.sends(query("listen a"));
  Peer ear = world.server();
  ear.sees(query("listen a"));
  ear.sends(command_complete("LISTEN") + ready());
  EXPECT_EQ(ear.sees_message().first, 'Q');
  ear.sends(result("a") + command_complete("LISTEN") + ready());
  listens.sees(command_complete("LISTEN") + ready());
  Peer silent = world.dials();
  silent.sends(wire::startup_message({{"user", "app"}, {"database", "shop"}}).substr(0, 6));
  // The server that is left over.
  Peer brief = world.one_more_client();
  brief.sends(query("select 5"));
  Peer left = world.server();
  left.sees(query("select 5"));
  left.sends(result("5") + ready());
  brief.sees(result("5") + ready());
  brief.sends(terminate());
  brief.sees_close();
  world.turn();
  all["lane"] = daemon::save_sessions(world.worker()).records;
}

void write_queue(Records& all) {
  World world(kQueue);
  auto [holds, server] = world.session();
  holds.sends(query("begin"));
  server.sees(query("begin"));
  server.sends(command_complete("BEGIN") + ready('T'));
  holds.sees(command_complete("BEGIN") + ready('T'));
  Peer waits = world.one_more_client();
  waits.sends(query("select 1"));
  waits.sees_nothing();
  // Another one has proven who it is, and waits for a server to accept its parameters.
  Peer logs_in = world.client({{"application_name", "late"}});
  logs_in.sees_nothing();
  all["queue"] = daemon::save_sessions(world.worker()).records;
}

daemon::ProcessRecord process() {
  return {.next_id = 1000,
          .next_statement = 500,
          .all_paused = true,
          .databases = {{.name = "shop", .paused = true, .disabled = false},
                        {.name = "other", .paused = false, .disabled = true}},
          .counters = {{.database = "shop", .user = "app", .counters = {.queries = 7}}},
          .set = {{"query_wait_notify", "77"}},
          .unix_paths = {"/run/x"},
          .console = "opaque",
          .listeners = 2,
          .own_listeners = true,
          .verdicts = {daemon::save(daemon::Verdict{.done = true,
                                                    .text = "done",
                                                    .at = 5,
                                                    .from = "1",
                                                    .to = "2",
                                                    .clients = 3,
                                                    .servers = 4,
                                                    .left_behind = 6,
                                                    .pause = std::chrono::milliseconds(8)})},
          .control_socket = true,
          .lanes = 2,
          .fds = 9,
          .vault = {},
          .next_stash = 0};
}

void write_process(Records& all) {
  all["process"] = save(process());
  all["versions"] = save(daemon::our_versions());
  all["loss"] = save(daemon::Loss{.count = 2, .reason = "why"});
  all["taken"] = save(daemon::Taken{
      .clients = 1, .servers = 2, .refused = {7, 8}, .reason = "because", .trial = "names"});
  all["names"] = daemon::save_names({"one", "two"});
}

// ---- How it is read -----------------------------------------------------------------------------

using Peers = std::map<std::uint64_t, Peer>;  // by the number of the client or server

void build(World& world, const std::string& lane, Peers& peers) {
  world.shared().next_id = 1000;
  std::size_t none = 0;
  auto pieces = daemon::read_lane(lane, nullptr, none);
  ASSERT_TRUE(pieces);
  const auto pair = [&](std::uint64_t id, UniqueFd& ours) {
    int both[2] = {-1, -1};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both), 0);
    ours = UniqueFd(both[0]);
    peers.emplace(id, Peer(world, UniqueFd(both[1])));
  };
  for (daemon::Piece& piece : *pieces) {
    if (piece.entry.client != 0) pair(piece.entry.client, piece.image.client_fd);
    if (piece.entry.server != 0) pair(piece.entry.server, piece.image.server_fd);
    auto done = SessionRecords::put_in(world.worker(), piece.take_image());
    ASSERT_TRUE(done) << done.error().message;
  }
}

ClientSession* in_state(World& world, ClientState state, std::string_view application = "") {
  ClientSession* found = nullptr;
  world.worker().each_client([&](ClientSession& each) {
    const std::string* name =
        each.parameters() ? each.parameters()->find("application_name") : nullptr;
    const bool fits =
        (name != nullptr ? std::string_view(*name) : std::string_view()) == application;
    if (each.state() == state && fits && !each.listening()) found = &each;
  });
  return found;
}

// As it was written, or with what has changed since.
void read_idle(const Records& all, bool changed) {
  World world(kSettings);
  world.shared().next_id = 1000;
  auto [first, server] = world.session();  // what comes has a server to meet
  session::StatementRegistry& registry = world.shared().statements;
  registry.begin_at(100);
  auto statement = session::load_statement(registry, all.at("statement"));
  auto other = session::load_statement(registry, all.at("other statement"));
  ASSERT_TRUE(statement && other);
  using What = session::ClientChange::What;
  std::vector<session::ClientChange> changes;
  const bool channels = changed && all.contains("channels added");
  if (changed) {
    changes = {{What::StatementAdded, all.at("statement added")},
               {What::StatementRemoved, all.at("statement removed")},
               {What::ParametersChanged, all.at("parameters changed")}};
  }
  if (channels) {
    changes.push_back({What::ChannelsAdded, all.at("channels added")});
    changes.push_back({What::ChannelsRemoved, all.at("channels removed")});
  }
  auto record = SessionRecords::idle(all.at("idle"), changes);
  ASSERT_TRUE(record);
  int both[2] = {-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both), 0);
  Peer client(world, UniqueFd(both[1]));
  session::Image image;
  image.client = record.take();
  image.client_fd = UniqueFd(both[0]);
  auto done = SessionRecords::put_in(world.worker(), std::move(image));
  ASSERT_TRUE(done) << done.error().message;
  if (changed) {
    ClientSession* session = nullptr;
    world.worker().each_client([&](ClientSession& each) {
      const std::string* name = each.parameters()->find("application_name");
      if (name != nullptr && *name == "changed") session = &each;
    });
    ASSERT_NE(session, nullptr);
    EXPECT_EQ(session->prepared_statements(), 1U);
    ASSERT_EQ(session->listening() != nullptr, channels);
    if (channels) {
      EXPECT_EQ(session->listening()->channels, session::Channels({"a"}));
    }
  } else {
    client.sends(bind("mine") + execute() + sync());
    EXPECT_EQ(server.sees_up_to('S'), "PBES");
    server.sends(parse_complete() + bind_complete() + executed("1") + ready());
    client.sees(bind_complete() + executed("1") + ready());
  }
  auto cancel = SessionRecords::load_for_cancel(all.at("server to cancel"));
  ASSERT_TRUE(cancel);
  EXPECT_EQ(cancel->key.size(), 8U);
}

void read_lane(const Records& all) {
  World world(kSettings);
  Peers peers;
  build(world, all.at("lane"), peers);
  ClientSession* begun = in_state(world, ClientState::Active, "begun");
  ClientSession* copies = in_state(world, ClientState::Active);
  ClientSession* idle = in_state(world, ClientState::Idle);
  ClientSession* silent = in_state(world, ClientState::Startup);
  ASSERT_TRUE(begun != nullptr && copies != nullptr && idle != nullptr && silent != nullptr);
  const std::uint64_t idle_id = idle->id();
  Peer& copying = peers.at(copies->id());
  Peer& of_copy = peers.at(copies->server()->id());
  Peer& late = peers.at(silent->id());

  // The pipeline goes on, and the half message gets its rest.
  Peer& client = peers.at(begun->id());
  Peer& server = peers.at(begun->server()->id());
  server.sends(parse_complete() + bind_complete() + executed("3") + ready('T'));
  client.sees(parse_complete() + bind_complete() + executed("3") + ready('T'));
  client.sends(query("select 'half'").substr(9));
  server.sees(query("select 'half'"));
  server.sends(result("half") + ready('T'));
  client.sees(result("half") + ready('T'));
  client.sends(query("commit"));
  server.sees(query("commit"));
  server.sends(command_complete("COMMIT") + ready());
  client.sees(command_complete("COMMIT") + ready());

  copying.sends(copy_data("22\n").substr(6) + copy_done());
  of_copy.sees(copy_data("22\n").substr(6) + copy_done());
  of_copy.sends(command_complete("COPY 2") + ready());
  copying.sees(command_complete("COPY 2") + ready());

  // The name that the client has is known to the server that it meets, or made known.
  peers.at(idle_id).sends(bind("mine") + execute() + sync());
  std::uint64_t server_id = 0;
  ASSERT_TRUE(world.until([&] {
    const ClientSession* now = world.worker().find_client(idle_id);
    if (now != nullptr && now->server() != nullptr) server_id = now->server()->id();
    return server_id != 0;
  }));
  Peer& met = peers.at(server_id);
  const std::string types = met.sees_up_to('S');
  EXPECT_TRUE(types == "BES" || types == "PBES") << types;
  ClientSession* listening = nullptr;
  world.worker().each_client([&](ClientSession& each) {
    if (each.listening() != nullptr) listening = &each;
  });
  ASSERT_NE(listening, nullptr);
  EXPECT_EQ(listening->listening()->channels, session::Channels({"a"}));
  // The one that has not said who it is says the rest of it.
  late.sends(wire::startup_message({{"user", "app"}, {"database", "shop"}}).substr(6));
  world.sees_welcome(late);
}

void read_queue(const Records& all) {
  World world(kQueue);
  Peers peers;
  build(world, all.at("queue"), peers);
  ClientSession* holds = in_state(world, ClientState::Active);
  ClientSession* waits = in_state(world, ClientState::Waiting);
  ClientSession* logs_in = nullptr;
  world.worker().each_client([&](ClientSession& each) {
    if (each.logging_in()) logs_in = &each;
  });
  ASSERT_NE(holds, nullptr);
  ASSERT_NE(waits, nullptr);
  ASSERT_NE(logs_in, nullptr);
  Peer& late = peers.at(logs_in->id());
  Peer& server = peers.at(holds->server()->id());
  Peer& waiting = peers.at(waits->id());
  peers.at(holds->id()).sends(query("commit"));
  server.sees(query("commit"));
  server.sends(command_complete("COMMIT") + ready());
  server.sees(query("select 1"));
  server.sends(result("1") + ready());
  waiting.sees(result("1") + ready());
  server.sees_up_to('S');
  server.sends(parse_complete() + bind_complete() + parameter_status("application_name", "late") +
               row("x") + command_complete("SELECT 1") + ready());
  world.sees_welcome(late);
}

void read_process(const Records& all, std::uint8_t version) {
  auto loaded = daemon::load_process(all.at("process"));
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->next_id, 1000U);
  EXPECT_EQ(loaded->next_statement, 500U);
  EXPECT_TRUE(loaded->all_paused && loaded->own_listeners && loaded->control_socket);
  ASSERT_EQ(loaded->databases.size(), 2U);
  EXPECT_EQ(loaded->databases[0].name, "shop");
  EXPECT_TRUE(loaded->databases[0].paused && loaded->databases[1].disabled);
  ASSERT_EQ(loaded->counters.size(), 1U);
  EXPECT_EQ(loaded->counters[0].user, "app");
  EXPECT_EQ(loaded->counters[0].counters.queries, 7U);
  EXPECT_EQ(loaded->set, process().set);
  EXPECT_EQ(loaded->unix_paths, process().unix_paths);
  EXPECT_EQ(loaded->console, "opaque");
  EXPECT_EQ(loaded->listeners, 2U);
  EXPECT_EQ(loaded->lanes, 2U);
  EXPECT_EQ(loaded->fds, 9U);
  ASSERT_EQ(loaded->verdicts.size(), 1U);
  auto verdict = daemon::load_verdict(loaded->verdicts[0]);
  ASSERT_TRUE(verdict);
  EXPECT_TRUE(verdict->done);
  EXPECT_EQ(verdict->text, "done");
  EXPECT_EQ(verdict->left_behind, 6U);
  EXPECT_EQ(verdict->pause, std::chrono::milliseconds(8));

  auto versions = daemon::load_versions(all.at("versions"));
  ASSERT_TRUE(versions);
  EXPECT_EQ(versions->records, version);
  EXPECT_TRUE(daemon::can_read(daemon::our_versions(), *versions));
  auto loss = daemon::load_loss(all.at("loss"));
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->count, 2U);
  EXPECT_EQ(loss->reason, "why");
  auto taken = daemon::load_taken(all.at("taken"));
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->refused, (std::set<std::uint64_t>{7, 8}));
  EXPECT_EQ(taken->trial, "names");
  auto names = daemon::load_names(all.at("names"));
  ASSERT_TRUE(names);
  EXPECT_EQ(*names, (std::vector<std::string>{"one", "two"}));
}

// Sessions are looked at where they are, so none may be on its way.
class Golden : public testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("PG_DOORMAN_MOVING") != nullptr) GTEST_SKIP() << "they do not stay";
  }
};

TEST_F(Golden, RecordsOfEveryVersionAreReadForEver) {
  const char* wanted = std::getenv("WRITE_GOLDEN");
  if (wanted != nullptr) {
    const std::uint8_t current = record_format.version;
    record_format.version = static_cast<std::uint8_t>(std::strtoul(wanted, nullptr, 10));
    Records all;
    write_idle(all);
    write_lane(all);
    write_queue(all);
    write_process(all);
    std::ofstream file(file_of(record_format.version), std::ios::binary);
    for (const auto& [name, record] : all) {
      put(file, name);
      put(file, record);
    }
    record_format.version = current;
  }
  for (std::uint8_t version = record_format.oldest; version <= record_format.version; ++version) {
    SCOPED_TRACE("version " + std::to_string(version));
    const Records all = read_file(version);
    ASSERT_FALSE(all.empty()) << "there is no " << file_of(version);
    read_idle(all, /*changed=*/false);
    read_idle(all, /*changed=*/true);
    read_lane(all);
    read_queue(all);
    read_process(all, version);
  }
}

// Fields that no release knows are skipped, wherever they are.
TEST_F(Golden, UnknownFieldsAreSkipped) {
  record_format.extra = "of a later release";
  Records all;
  write_idle(all);
  write_lane(all);
  write_queue(all);
  write_process(all);
  record_format.extra = {};
  EXPECT_NE(all.at("idle").find("of a later release"), std::string::npos);
  read_idle(all, /*changed=*/false);
  read_idle(all, /*changed=*/true);
  read_lane(all);
  read_queue(all);
  read_process(all, record_format.version);
}

}  // namespace
}  // namespace doorman::conversation
