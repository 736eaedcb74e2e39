// Host: what a worker is to its sessions. The loop they live in, the memory that is lent to them
// for one pass, and the few things that they ask of their worker.
//
// Shared: what all workers have in common. Sessions reach other threads only through these two.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "auth/users.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/secret_memory.h"
#include "base/task.h"
#include "config/config.h"
#include "net/address.h"
#include "net/event.h"
#include "net/gather.h"
#include "net/outbox.h"
#include "net/resolver.h"
#include "net/socket_options.h"
#include "pool/shared_pool.h"
#include "session/hot_slot.h"
#include "session/listen.h"
#include "session/parameters.h"
#include "session/statements.h"
#include "wire/message_writer.h"

namespace doorman::session {

struct InLogin {};

class ClientSession;
class ServerSession;
class PoolPart;
class CancelKeys;
class PasswordWork;
class Host;
class Live;

// The configuration in force and the users of its auth_file: never changes, is replaced by reload.
struct Rules {
  std::shared_ptr<const config::Config> config;
  std::shared_ptr<const auth::Users> users;
};
using RulesRef = std::shared_ptr<const Rules>;

// The socket options that the configuration asks for.
net::SocketOptions socket_options(const config::Settings& settings);

// The database that we are ourselves. Implemented by the console, a layer above.
class LocalDatabase {
 public:
  virtual bool serves(std::string_view database) const = 0;
  virtual bool admits(const config::Config& config, std::string_view user) const = 0;
  // The answer, whole messages up to ReadyForQuery, is given to `reply`, at once or later, on the
  // thread of `host`.
  virtual void query(Host& host, std::string_view user, std::string sql,
                     std::function<void(std::string)> reply) = 0;

 protected:
  ~LocalDatabase() = default;
};

struct Shared {
  pool::Registry& registry;
  StatementRegistry& statements;
  CancelKeys& cancel_keys;
  PasswordWork& passwords;
  net::Resolver& resolver;
  // A cancel request with a key of nobody here; from any thread. Empty: nobody else may know it.
  std::function<void(const std::string&)> cancel_elsewhere = {};
  std::atomic<std::uint64_t> next_id = 1;  // of sessions, clients and servers alike
  std::atomic<bool> shutting_down = false;
  std::atomic<bool> handed_over = false;  // to a successor: whoever logs in goes there
  ListenHubs listens = {};
};

// What was read from a peer and is to be taken up in the same turn.
template <typename Session>
struct Arrival {
  Session* session;  // null: it has gone elsewhere
  Bytes input;       // in the worker's memory
};

class Host {
 public:
  static constexpr std::size_t kReadSize = std::size_t{64} * 1024;

  Host(Shared& s, int index) : shared(s), worker(index), scratch(kReadSize) {}
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  Shared& shared;
  const int worker;
  RulesRef rules;
  LocalDatabase* local = nullptr;
  Live* live = nullptr;  // null: sessions end with the process
  net::EventLoop loop;
  BufferPool buffers;
  net::Outbox outbox;
  HotSlots slots;
  IntrusiveList<ClientSession, InLogin> logins;  // clients that are not logged in yet
  ParameterSets parameters;
  RecentStatements recent_statements;

  // What this turn reads: all that is ready is read before any of it is taken up, so that the same
  // code serves one peer after the other while the processor has it (see net/outbox.h).
  std::vector<std::byte, SecretAllocator<std::byte>> scratch;  // also keys are read
  std::vector<Arrival<ServerSession>> from_servers;
  std::vector<Arrival<ClientSession>> from_clients;
  // Room for the next read.
  std::span<std::byte> room() {
    if (scratch.size() - scratch_used_ < kLeastRoom) take_up();
    return std::span(scratch).subspan(scratch_used_);
  }
  void arrived(ServerSession& server, Bytes input) {
    from_servers.push_back({.session = &server, .input = input});
    use(input.size());
  }
  void arrived(ClientSession& client, Bytes input) {
    from_clients.push_back({.session = &client, .input = input});
    use(input.size());
  }

  // Lent for one pass over a peer's input.
  net::Gather to_server;
  net::Gather to_client;
  wire::MessageWriter head;  // of a message with other names: here, since it keeps its memory

  const config::Settings& settings() const { return rules->config->settings; }
  // The time, read once per turn.
  Instant now() {
    if (now_is_old_) {
      now_ = clock_now();
      now_is_old_ = false;
    }
    return now_;
  }

  virtual PoolPart* pool_part(const std::string& database, const std::string& user) = 0;
  virtual void adopt(std::unique_ptr<ServerSession> server) = 0;
  virtual void adopt(std::unique_ptr<ClientSession> client) = 0;
  virtual void reap(ClientSession& client) = 0;
  virtual void reap(ServerSession& server) = 0;
  // Lets the client go on with its inbox at the end of the turn.
  virtual void wake(ClientSession& client) = 0;
  // Runs `task` on this worker's thread; may be called from any thread.
  virtual void post(Task task) = 0;
  // Runs `task` with the client or server of that number, if it still lives on this worker.
  virtual ClientSession* find_client(std::uint64_t id) = 0;
  virtual ServerSession* find_server(std::uint64_t id) = 0;
  // A client, perhaps of another worker, wants its query cancelled.
  virtual void cancel(const std::string& key) = 0;
  // Sends a cancel request to a server; tells it through cancel_done() when that is over.
  virtual void send_cancel(const net::Address& address, std::string key, std::uint64_t server) = 0;

 protected:
  ~Host() = default;
  void turn_ends() { now_is_old_ = true; }
  // Takes up all that has arrived; of servers first, since clients may wait for those.
  void take_up();

 private:
  static constexpr std::size_t kLeastRoom = std::size_t{16} * 1024;
  void use(std::size_t size) { scratch_used_ += (size + 63) & ~std::size_t{63}; }

  std::size_t scratch_used_ = 0;
  Instant now_{};
  bool now_is_old_ = true;
};

}  // namespace doorman::session
