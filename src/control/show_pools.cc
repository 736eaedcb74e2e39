// SHOW DATABASES, USERS and POOLS.
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "control/commands.h"
#include "control/show.h"

namespace doorman::control {
namespace {

using session::ClientState;
using session::ServerState;
using Seconds = std::chrono::seconds;

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ',';
    out += word;
  }
  return out;
}

Row database_row(const config::Database& database, const config::Settings& global,
                 const pool::DatabaseShare& share) {
  const Cell host = database.hosts.empty() ? Cell() : joined(database.hosts);
  const Cell mode = database.pool_mode ? cell(config::name(*database.pool_mode)) : Cell();
  const auto lifetime = std::chrono::duration_cast<Seconds>(
      database.server_lifetime.value_or(global.server_lifetime));
  return row(database.name, host, database.port, database.dbname,
             database.user ? Cell(*database.user) : Cell(),
             database.pool_size.value_or(global.default_pool_size),
             database.min_pool_size.value_or(global.min_pool_size),
             database.reserve_pool_size.value_or(global.reserve_pool_size), lifetime.count(), mode,
             config::name(database.load_balance_hosts),
             database.max_db_connections.value_or(global.max_db_connections), share.servers.used(),
             database.max_db_client_connections.value_or(global.max_db_client_connections),
             share.clients.used(), share.paused.load(), share.disabled.load());
}

std::size_t console_clients(daemon::Daemon& daemon) {
  std::size_t found = 0;
  daemon.visit_workers([&found](daemon::Worker& worker) {
    worker.each_client([&found](session::ClientSession& client) {
      if (client.state() == ClientState::Console) ++found;
    });
  });
  return found;
}

// What SHOW POOLS says of one pool, over all workers.
struct PoolLine {
  std::size_t clients_active = 0;
  std::size_t clients_waiting = 0;
  std::size_t servers_active = 0;
  std::size_t servers_cancelled = 0;
  std::size_t servers_idle = 0;
  std::size_t servers_used = 0;
  std::size_t servers_tested = 0;
  std::size_t servers_login = 0;
  Duration longest_wait{};
  config::PoolMode mode = config::PoolMode::Session;
  config::LoadBalance balance = config::LoadBalance::RoundRobin;

  void count(const session::ServerSession& server);
  void add(session::PoolPart& part);
};

void PoolLine::count(const session::ServerSession& server) {
  switch (server.state()) {
    case ServerState::Resolving:
    case ServerState::Connecting:
    case ServerState::LoggingIn: ++servers_login; break;
    case ServerState::Idle: ++servers_idle; break;
    case ServerState::Active: ++servers_active; break;
    case ServerState::Cleaning: ++servers_tested; break;
    case ServerState::Cancelling: ++servers_cancelled; break;
    case ServerState::Listening: ++servers_used; break;
    case ServerState::Closing: break;
  }
}

// As in PgBouncer, a client without a query counts as active: it could go on at any moment.
void PoolLine::add(session::PoolPart& part) {
  const std::size_t waiting = part.pool.waiting().size();
  clients_waiting += waiting;
  clients_active += part.clients.size() - std::min(waiting, part.clients.size());
  part.servers.each([this](session::ServerSession& server) { count(server); });
  if (const pool::Waiter* first = part.pool.waiting().first()) {
    longest_wait = std::max(longest_wait, part.host.now() - first->waiting_since);
  }
  mode = part.settings.pool_mode;
  balance = part.settings.database.load_balance_hosts;
}

Row pool_row(std::string_view database, std::string_view user, const PoolLine& line) {
  const auto seconds = std::chrono::duration_cast<Seconds>(line.longest_wait);
  return row(database, user, line.clients_active, line.clients_waiting, 0, 0, line.servers_active,
             0, line.servers_cancelled, line.servers_idle, line.servers_used, line.servers_tested,
             line.servers_login, seconds.count(), (line.longest_wait - seconds).count(),
             config::name(line.mode), config::name(line.balance));
}

}  // namespace

// Those of the files, and those that have logged in otherwise.
std::set<std::string> known_users(Commands& commands) {
  std::set<std::string> names;
  for (const auto& [name, user] : commands.config().users) names.insert(name);
  for (const std::string_view name : commands.daemon().rules()->users->names()) names.emplace(name);
  for (const auto& share : commands.daemon().registry().users()) {
    names.insert(share->name);
  }
  return names;
}

Outcome show_databases(Commands& commands, const Arguments& /*arguments*/) {
  Table table = {
      .columns = columns({{Type::Text, "name host"},
                          {Type::Int4, "port"},
                          {Type::Text, "database force_user"},
                          {Type::Int4, "pool_size min_pool_size reserve_pool_size server_lifetime"},
                          {Type::Text, "pool_mode load_balance_hosts"},
                          {Type::Int4,
                           "max_connections current_connections max_client_connections "
                           "current_client_connections paused disabled"}})};
  const config::Config& config = commands.config();
  std::set<std::string> names;
  for (const auto& [name, database] : config.databases) names.insert(name);
  // Those that somebody has used through "*".
  for (const auto& share : commands.daemon().registry().databases()) {
    names.insert(share->name);
  }
  for (const std::string& name : names) {
    const auto database = config::find_database(config, name);
    if (!database) continue;  // no longer configured
    table.rows.push_back(
        database_row(*database, config.settings, *commands.daemon().registry().database(name)));
  }
  table.rows.push_back(row(kConsoleDatabase, std::nullopt, config.settings.listen_port,
                           kConsoleDatabase, kConsoleDatabase, 2, 0, 0, 0,
                           config::name(config::PoolMode::Statement),
                           config::name(config::LoadBalance::RoundRobin), 0, 0, 0,
                           console_clients(commands.daemon()), false, false));
  return shown(std::move(table));
}

Outcome show_users(Commands& commands, const Arguments& /*arguments*/) {
  Table table = {.columns = columns({{Type::Text, "name pool_size reserve_pool_size pool_mode"},
                                     {Type::Int4,
                                      "max_user_connections current_connections "
                                      "max_user_client_connections current_client_connections"}})};
  const config::Config& config = commands.config();
  const auto text = [](const std::optional<int>& number) {
    return number ? cell(*number) : cell("");
  };
  std::map<std::string, std::shared_ptr<const pool::UserShare>> shares;
  for (const auto& share : commands.daemon().registry().users()) {
    shares.emplace(share->name, share);
  }
  for (const std::string& name : known_users(commands)) {
    const auto share = shares.find(name);
    const bool used = share != shares.end();
    const auto found = config.users.find(name);
    const config::User user = found == config.users.end() ? config::User() : found->second;
    table.rows.push_back(
        row(name, text(user.pool_size), text(user.reserve_pool_size),
            user.pool_mode ? cell(config::name(*user.pool_mode)) : Cell(),
            user.max_user_connections.value_or(config.settings.max_user_connections),
            used ? share->second->servers.used() : 0,
            user.max_user_client_connections.value_or(config.settings.max_user_client_connections),
            used ? share->second->clients.used() : 0));
  }
  return shown(std::move(table));
}

Outcome show_pools(Commands& commands, const Arguments& /*arguments*/) {
  Table table = {.columns = columns({{Type::Text, "database user"},
                                     {Type::Int4,
                                      "cl_active cl_waiting cl_active_cancel_req "
                                      "cl_waiting_cancel_req sv_active sv_active_cancel "
                                      "sv_being_canceled sv_idle sv_used sv_tested sv_login "
                                      "maxwait maxwait_us"},
                                     {Type::Text, "pool_mode load_balance_hosts"}})};
  std::map<std::pair<std::string, std::string>, PoolLine> lines;
  PoolLine& own = lines[std::pair(std::string(kConsoleDatabase), std::string(kConsoleDatabase))];
  own.mode = config::PoolMode::Statement;
  own.clients_active = console_clients(commands.daemon());
  commands.daemon().visit_workers([&lines](daemon::Worker& worker) {
    worker.each_pool([&lines](session::PoolPart& part) {
      lines[std::pair(part.database(), part.user())].add(part);
    });
  });
  for (const auto& [name, line] : lines) {
    table.rows.push_back(pool_row(name.first, name.second, line));
  }
  return shown(std::move(table));
}

}  // namespace doorman::control
