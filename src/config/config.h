// Config: a configuration file, read and checked whole.
//
// PgBouncer's files load unchanged: its INI dialect, its sections and keys. A value that nobody
// changes once it is made; a reload makes a new one. Whatever is wrong with a file is in one Error,
// a line for each problem, as FILE:LINE: what is wrong and what would be right.
//
// Does not read auth_file, does not resolve names, does not know who uses it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/settings.h"

namespace doorman::config {

// A line of [databases]. What is not set is left to Settings, except where a default stands here.
struct Database {
  std::string name;
  std::string dbname;              // on the server; of a fallback: empty until find_database()
  std::vector<std::string> hosts;  // names, addresses, /directories; empty: our unix_socket_dir
  std::uint16_t port = 5432;
  std::optional<std::string> user, password;  // set: every client uses this login
  std::optional<std::string> client_encoding, datestyle, timezone, application_name, connect_query;
  std::optional<std::string> auth_user, auth_query, auth_dbname;
  std::optional<int> pool_size, min_pool_size, reserve_pool_size;
  std::optional<int> max_db_connections, max_db_client_connections;
  std::optional<Duration> server_lifetime, query_wait_timeout;
  std::optional<PoolMode> pool_mode;
  std::optional<bool> share_unnamed_statements;
  LoadBalance load_balance_hosts = LoadBalance::RoundRobin;

  bool operator==(const Database&) const = default;
};

// A line of [users]. What is not set is left to the database, then to Settings.
struct User {
  std::string name;
  std::optional<PoolMode> pool_mode;
  std::optional<int> pool_size, reserve_pool_size;
  std::optional<int> max_user_connections, max_user_client_connections;
  std::optional<Duration> query_timeout, query_wait_timeout, idle_transaction_timeout;
  std::optional<Duration> transaction_timeout, client_idle_timeout;

  bool operator==(const User&) const = default;
};

struct Config {
  std::string path;
  Settings settings;
  std::map<std::string, Database> databases;  // without "*"
  std::optional<Database> fallback;           // the line "*", for names that are not listed
  std::map<std::string, User> users;
  std::vector<std::string> notices;  // FILE:LINE: a key that is accepted but not acted upon
};

Result<Config> load(const std::string& path);

// The same from memory; `name` stands for the file in messages.
Result<Config> parse(std::string_view text, std::string_view name);

// The line that serves the database of that name: its own, else the fallback, else nullptr.
const Database* line_for(const Config& config, const std::string& name);

// The database of that name, else the fallback with the name filled in, else nothing.
std::optional<Database> find_database(const Config& config, const std::string& name);

}  // namespace doorman::config
