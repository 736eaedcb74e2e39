#include "world.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/log.h"
#include "session/records.h"
#include "wire/framer.h"

namespace doorman::conversation {

namespace {

constexpr int kQuickTurns = 60;  // without waiting: enough for all that needs no clock
constexpr Duration kBound = std::chrono::seconds(10);

std::string make_folder() {
  std::string name = std::filesystem::temp_directory_path() / "doorman-conversation-XXXXXX";
  CHECK(::mkdtemp(name.data()) != nullptr);
  return name;
}

UniqueFd listen_at(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  CHECK(path.size() < sizeof address.sun_path);
  std::memcpy(static_cast<void*>(address.sun_path), path.data(), path.size());
  CHECK(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  CHECK(::listen(fd.get(), 64) == 0);
  return fd;
}

// Takes every client with the server that it holds out of the worker, as records, and builds both
// again: with PG_DOORMAN_MOVING set, each conversation goes on over that after every third turn
// (one to arrive in, one to read in).
void move_all(daemon::Worker& worker) {
  static int turns = 0;
  if (++turns % 3 != 0) return;
  std::vector<session::ClientSession*> all;
  worker.each_client([&](session::ClientSession& client) { all.push_back(&client); });
  for (session::ClientSession* client : all) {
    auto image = session::SessionRecords::take_out(*client);
    if (!image) continue;  // it logs in, or ends
    worker.post([&worker, taken = image.take()]() mutable {
      auto done = session::SessionRecords::put_in(worker, std::move(taken));
      EXPECT_TRUE(done) << done.error().message;
    });
  }
}

}  // namespace

std::string readable(std::string_view stream) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  std::size_t end = 0;
  for (std::size_t i = 0; i < stream.size(); ++i) {
    if (i >= end) {
      wire::Header header{};
      const bool whole = wire::peek(bytes_of(stream.substr(i)), header) == wire::Cut::Ready;
      end = whole ? i + header.total() : stream.size();
      if (i > 0) out.push_back('\n');
    }
    const auto c = static_cast<unsigned char>(stream[i]);
    if (c >= ' ' && c < 0x7f && c != '\\') {
      out.push_back(static_cast<char>(c));
    } else {
      out.append("\\x").append(1, kHex[c >> 4U]).append(1, kHex[c & 15U]);
    }
  }
  return out;
}

// ---- Peer -------------------------------------------------------------------------------------

std::size_t Peer::sends_until_stuck(std::string_view bytes) {
  std::size_t done = 0;
  for (int idle = 0; done < bytes.size() && idle < kQuickTurns;) {
    const ssize_t sent =
        ::send(fd_.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      done += static_cast<std::size_t>(sent);
      idle = 0;
    } else if (errno != EAGAIN) {
      break;
    } else {
      ++idle;
    }
    world_->turn();
  }
  return done;
}

void Peer::sends(std::string_view bytes) {
  const std::size_t sent = sends_until_stuck(bytes);
  EXPECT_EQ(sent, bytes.size()) << "the worker does not read";
}

bool Peer::receive(std::size_t wanted) {
  return world_->until([&] {
    while (seen_.size() < wanted && !closed_) {
      char into[16384];
      const ssize_t got = ::recv(fd_.get(), into, sizeof into, MSG_DONTWAIT);
      if (got < 0 && errno == EAGAIN) return false;
      if (got <= 0) closed_ = true;
      if (got > 0) seen_.append(into, static_cast<std::size_t>(got));
    }
    return true;
  }) && seen_.size() >= wanted;
}

void Peer::sees(std::string_view expected) {
  receive(expected.size());
  const std::size_t size = std::min(expected.size(), seen_.size());
  if (expected.size() < 10'000) {
    EXPECT_EQ(readable(expected), readable(std::string_view(seen_).substr(0, size)))
        << (closed_ ? "and the connection ended" : "");
  } else {
    EXPECT_TRUE(expected == std::string_view(seen_).substr(0, size)) << "long bytes differ";
  }
  seen_.erase(0, size);
}

void Peer::sees_nothing() {
  for (int i = 0; i < kQuickTurns / 4; ++i) world_->turn();
  char byte = 0;
  const ssize_t got = ::recv(fd_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK);
  EXPECT_TRUE(got < 0 && errno == EAGAIN) << (got == 0 ? "the connection ended" : "bytes came");
  EXPECT_EQ(readable(seen_), "");
}

void Peer::sees_close() {
  receive(seen_.size() + 1);
  EXPECT_EQ(readable(seen_), "");
  EXPECT_TRUE(closed_) << "the connection is still there";
}

std::string Peer::takes(std::size_t size) {
  EXPECT_TRUE(receive(size)) << "only this came: " << readable(seen_);
  size = std::min(size, seen_.size());
  std::string bytes = seen_.substr(0, size);
  seen_.erase(0, size);
  return bytes;
}

std::pair<char, std::string> Peer::sees_message() {
  const std::string head = takes(wire::kHeaderSize);
  wire::Header header{};
  if (wire::peek(bytes_of(head), header) != wire::Cut::Ready) return {};
  return {header.type, takes(header.total() - wire::kHeaderSize)};
}

std::string Peer::sees_up_to(char type) {
  std::string types;
  while (!types.ends_with(type)) {
    const char next = sees_message().first;
    if (next == '\0') break;
    types.push_back(next);
  }
  return types;
}

std::string Peer::sees_error(std::string_view sqlstate) {
  const auto [type, body] = sees_message();
  EXPECT_EQ(type, 'E');
  EXPECT_EQ(wire::error_field(bytes_of(body), 'C'), sqlstate) << readable(body);
  return std::string(wire::error_field(bytes_of(body), 'M'));
}

std::string Peer::sees_first_packet() {
  const std::string length = takes(4);
  if (length.size() < 4) return {};
  return takes(read_u32(bytes_of(length).data()) - 4);
}

void Peer::shrinks_socket_buffers() {
  const int size = 4096;
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

// ---- World ------------------------------------------------------------------------------------

World::World(const std::string& settings, const std::string& database, int workers)
    : folder_(make_folder()),
      listener_(listen_at(folder_ + "/.s.PGSQL.5432")),
      registry_(workers, session::CommonPart::maker(shared_)),
      shared_{.registry = registry_,
              .statements = statements_,
              .cancel_keys = cancel_keys_,
              .passwords = passwords_,
              .resolver = resolver_} {
  log_detail::threshold = LogLevel::Error;
  for (int i = 0; i < workers; ++i) {
    workers_.push_back(
        std::make_unique<daemon::Worker>(shared_, i, all_, rules(settings, database)));
  }
  for (auto& each : workers_) {
    all_.push_back(each.get());
    if (std::getenv("PG_DOORMAN_MOVING") != nullptr) each->after_turn = move_all;
  }
}

World::~World() {
  workers_.clear();
  std::filesystem::remove_all(folder_);
}

session::RulesRef World::rules(const std::string& settings, const std::string& database) const {
  const std::string text = "[databases]\nshop = host=" + folder_ + " " + database +
                           "\n[pg_doorman]\nauth_type=trust\npool_mode=transaction\n"
                           "unix_socket_dir=\nlisten_addr=*\nlog_stats=0\n" +
                           settings;
  auto config = config::parse(text, "conversation.ini");
  if (!config) ADD_FAILURE() << config.error().message;
  auto all = std::make_shared<session::Rules>();
  all->config = std::make_shared<const config::Config>(config.take());
  all->users = std::make_shared<const auth::Users>();
  return all;
}

void World::turn() {
  for (auto& worker : workers_) worker->turn(net::Wait::No);
}

bool World::until(const std::function<bool()>& condition) {
  for (int i = 0; i < kQuickTurns; ++i) {
    if (condition()) return true;
    turn();
  }
  // Something waits for a clock: a worker's tick, every 100 ms.
  for (const Instant end = clock_now() + kBound; clock_now() < end;) {
    if (condition()) return true;
    for (auto& worker : workers_) {
      worker->turn(workers_.size() == 1 ? net::Wait::Yes : net::Wait::No);
    }
  }
  return condition();
}

Peer World::dials(int index) {
  int both[2] = {-1, -1};
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) == 0);
  worker(index).add_client(UniqueFd(both[1]), net::Address());
  return {*this, UniqueFd(both[0])};
}

Peer World::client(const std::vector<wire::Parameter>& more, int index) {
  std::vector<wire::Parameter> all = {{"user", "app"}, {"database", "shop"}};
  all.insert(all.end(), more.begin(), more.end());
  Peer peer = dials(index);
  peer.sends(wire::startup_message(all));
  return peer;
}

std::vector<wire::Parameter> World::sees_welcome(Peer& client) {
  std::vector<wire::Parameter> reported;
  client.sees(wire::authentication(0, {}));
  while (true) {
    const auto [type, body] = client.sees_message();
    if (type == 'S') {
      const std::size_t middle = body.find('\0');
      reported.push_back(
          {body.substr(0, middle), body.substr(middle + 1, body.size() - middle - 2)});
    } else if (type == 'K') {
      client.key_ = body;
    } else {
      EXPECT_EQ(readable(body), "I");
      EXPECT_EQ(type, 'Z');
      return reported;
    }
  }
}

Peer World::accepts() {
  int fd = -1;
  EXPECT_TRUE(until([&] {
    fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd >= 0;
  })) << "no connection to the server is made";
  return {*this, UniqueFd(fd)};
}

void World::sees_no_connection() {
  for (int i = 0; i < kQuickTurns / 4; ++i) turn();
  const UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  EXPECT_FALSE(fd) << "a connection to the server is made";
}

void World::logs_in(Peer& server) {
  EXPECT_TRUE(server.sees_first_packet().starts_with(std::string("\0\3\0\0", 4)));
  std::string out = wire::authentication(0, {});
  for (const auto& each : reports) out += parameter_status(each.name, each.value);
  server.key_.clear();
  append_u32(server.key_, next_pid_++);
  server.key_ += server_secret;
  server.sends(out + wire::backend_key_data(server.key_) + ready());
}

Peer World::server() {
  Peer peer = accepts();
  logs_in(peer);
  return peer;
}

void World::sees_cancel_of(const Peer& server) {
  Peer request = accepts();
  EXPECT_EQ(readable(request.sees_first_packet()),
            readable(wire::cancel_request(server.key()).substr(4)));
}

Session World::session() {
  Peer peer = client();
  Peer of_server = server();
  sees_welcome(peer);
  return {std::move(peer), std::move(of_server)};
}

Peer World::one_more_client() {
  Peer peer = client();
  sees_welcome(peer);
  return peer;
}

}  // namespace doorman::conversation
