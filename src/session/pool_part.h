// PoolPart: one worker's part of a pool (database, user): its servers, its settings as they apply
// here, what it has learnt of the server, its counters.
//
// Who gets which server is pool::Pool's to decide; a PoolPart opens and ends the connections.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/intrusive_list.h"
#include "config/config.h"
#include "pool/pool.h"
#include "session/common_part.h"
#include "session/counters.h"
#include "session/host.h"

namespace doorman::session {

struct InPart {};  // tag of the list of all servers of a part
struct OfPart {};  // tag of the list of all clients of a part

// The settings of a pool: user over database over global.
struct PoolSettings {
  config::Database database;
  std::string server_user;
  config::PoolMode pool_mode = config::PoolMode::Session;
  pool::Limits limits;
  int max_db_client_connections = 0;
  bool share_unnamed_statements = false;
  bool from_fallback = false;  // the database is not listed: "*" made it
  Duration query_timeout{};
  Duration query_wait_timeout{};
  Duration idle_transaction_timeout{};
  Duration transaction_timeout{};
  Duration client_idle_timeout{};
  Duration server_lifetime{};
};
PoolSettings pool_settings(const config::Config& config, const config::Database& database,
                           const std::string& user);

// What those who log in with these start-up parameters are told, since the last of them was.
struct Greeting {
  WelcomeRef welcome;  // that it was made of; null: of none
  std::vector<Parameter> wanted;
  Parameters parameters;  // that such a client has then
  std::string text;       // whole messages, up to the cancel key
};

class PoolPart {
 public:
  PoolPart(Host& host, pool::Hands& hands, std::shared_ptr<pool::SharedPool> shared,
           PoolSettings settings);

  const std::string& database() const { return pool.shared().database.name; }
  const std::string& user() const { return pool.shared().user.name; }

  Host& host;
  const std::shared_ptr<pool::SharedPool> shared;
  CommonPart& common;
  pool::Pool pool;
  PoolSettings settings;
  // Counts reloads that changed where the servers are: older ones are closed when they come back.
  std::uint64_t generation = 1;
  bool removed = false;  // the database is no longer configured
  Greeting greeting;     // of the last login, for the next
  Counters counters;
  IntrusiveList<ServerSession, InPart> servers;
  IntrusiveList<ClientSession, OfPart> clients;
  Instant empty_since{};   // when its last client left; zero: it has clients
  Instant last_retired{};  // when a server was last closed for its age
  std::size_t next_host = 0;

  // Takes over new settings; servers that were opened with others are closed.
  void configure(PoolSettings changed);
  void open_server(pool::ServerCharge charge, pool::Charge connecting);
  // Once per tick of the worker: time limits, ages, the pool's minimum.
  void tick(Instant now);
  // Nobody has used it for pool_idle_timeout or autodb_idle_timeout: it can be forgotten.
  bool unused(Instant now);
  // Closes idle servers now and the others as they come back.
  void recycle_servers();
  // Closes the server that has been idle longest, for another pool that is at its limit.
  bool close_one_idle();

  bool tracked(std::string_view name) const;
  // Values that a server of the pool has accepted need not be waited for again. Gives the value as
  // the server reports it, which may be spelled otherwise than `value`; null: not known. Valid
  // until the next call.
  const std::string* accepted(std::string_view name, std::string_view value);
  void accept(std::string_view name, std::string_view value, std::string_view as_reported);

 private:
  void expire_waiters(Instant now);
  void expire_servers(Instant now);
  void expire_clients(Instant now);

  AcceptedValues accepted_;  // of those of all workers, the ones that were asked for here
};

}  // namespace doorman::session
