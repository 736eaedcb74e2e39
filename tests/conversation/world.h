// A worker in this process, and the scripted peers that talk to it.
//
//   World world;
//   auto [client, server] = world.session();
//   client.sends(query("select 1"));
//   server.sees(query("select 1"));
//
// Everything runs on the test's thread: whoever waits for bytes lets the worker have its turns
// meanwhile, with a bound. The server's sockets are in a folder that goes with the World.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/helper_threads.h"
#include "base/unique_fd.h"
#include "daemon/worker.h"
#include "messages.h"
#include "net/resolver.h"
#include "session/cancel.h"
#include "session/passwords.h"

namespace doorman::conversation {

class World;

// One end of a connection with the worker: a client, or PostgreSQL.
class Peer {
 public:
  Peer(World& world, UniqueFd fd) : world_(&world), fd_(std::move(fd)) {}

  // All of `bytes`, while the worker has its turns; at most what the sockets and the worker take.
  void sends(std::string_view bytes);
  // As much of `bytes` as can be sent while nobody reads at the other end; how much that was.
  std::size_t sends_until_stuck(std::string_view bytes);

  // Exactly these bytes come next.
  void sees(std::string_view expected);
  // Nothing comes, however many turns the worker has.
  void sees_nothing();
  // The connection ends, and nothing came before that.
  void sees_close();
  // The next whole message: its type and body.
  std::pair<char, std::string> sees_message();
  // Whole messages up to and with the first of that type; their types.
  std::string sees_up_to(char type);
  // An ErrorResponse with this SQLSTATE; its text.
  std::string sees_error(std::string_view sqlstate);
  // Reads `size` bytes, whatever they are.
  std::string takes(std::size_t size);
  // The first packet of a connection, without its length.
  std::string sees_first_packet();

  void closes() { fd_.reset(); }
  void shrinks_socket_buffers();
  int fd() const { return fd_.get(); }
  const std::string& key() const { return key_; }

 private:
  friend class World;
  bool receive(std::size_t wanted);  // until so much is in seen_

  World* world_;
  UniqueFd fd_;
  std::string seen_;  // read, not yet compared
  bool closed_ = false;
  std::string key_;  // of a client: BackendKeyData of its welcome; of a server: as it sent it
};

struct Session {
  Peer client;
  Peer server;
};

class World {
 public:
  // `settings`: more lines of the main section; `database`: more of the line of database "shop".
  explicit World(const std::string& settings = {}, const std::string& database = {},
                 int workers = 1);
  ~World();

  // A client that has said nothing yet.
  Peer dials(int worker = 0);
  // One that has sent its startup packet, with more parameters than user and database.
  Peer client(const std::vector<wire::Parameter>& more = {}, int worker = 0);
  // The welcome: its ParameterStatus messages.
  std::vector<wire::Parameter> sees_welcome(Peer& client);
  // The next connection to the server: it has said nothing yet.
  Peer accepts();
  // The same, logged in.
  Peer server();
  void logs_in(Peer& server);
  // The next connection to the server is a cancel request with the server's key.
  void sees_cancel_of(const Peer& server);
  // No connection to the server is made.
  void sees_no_connection();
  // A client and the server that it met, both logged in and idle.
  Session session();
  // One more client, welcomed at once since a server is known.
  Peer one_more_client();

  void turn();
  // Turns until `condition`; false when it did not come true in good time.
  bool until(const std::function<bool()>& condition);

  daemon::Worker& worker(int index = 0) { return *workers_[static_cast<std::size_t>(index)]; }
  session::PoolPart& pool(int index = 0) { return *worker(index).pool_part("shop", "app"); }
  session::Shared& shared() { return shared_; }
  const std::string& folder() const { return folder_; }  // where the server's socket is
  session::RulesRef rules(const std::string& settings, const std::string& database) const;
  // What the server reports at login; a test may change it first.
  std::vector<wire::Parameter> reports = {{"server_version", "15.0"},
                                          {"client_encoding", "UTF8"},
                                          {"application_name", ""},
                                          {"DateStyle", "ISO, MDY"}};
  // The secret part of the cancel keys of servers.
  std::string server_secret = "abcd";

 private:
  const std::string folder_;
  UniqueFd listener_;
  HelperThreads helpers_{1, "helper"};
  net::Resolver resolver_{{}};
  pool::Registry registry_;
  session::StatementRegistry statements_;
  session::CancelKeys cancel_keys_;
  session::PasswordWork passwords_{helpers_};
  session::Shared shared_;
  std::vector<daemon::Worker*> all_;
  std::vector<std::unique_ptr<daemon::Worker>> workers_;
  std::uint32_t next_pid_ = 1000;
};

}  // namespace doorman::conversation
