#include "config/entries.h"

#include <fmt/format.h>

#include "config/connection_string.h"
#include "config/nearest.h"
#include "config/table.h"

namespace doorman::config {
namespace {

constexpr std::size_t kMaxDatabaseName = 63;
constexpr std::size_t kMaxUserName = 127;

struct Peer {
  std::vector<std::string> hosts;
  std::uint16_t port = 6432;
  int pool_size = 0;
};

// PgBouncer reads the numbers of these sections as decimal ones, leading zeros or not.
constexpr Rules kDecimal = {.base = 10};
constexpr Rules kPort = {.min = 1, .max = 65535, .base = 10};

template <auto Member>
constexpr Field<Database> of_database(std::string_view key, Rules rules = kDecimal) {
  return {key, read_member<Member, Database>, nullptr, rules};
}
template <auto Member>
constexpr Field<User> of_user(std::string_view key) {
  return {key, read_member<Member, User>, nullptr, kDecimal};
}
template <auto Member>
constexpr Field<Peer> of_peer(std::string_view key, Rules rules = kDecimal) {
  return {key, read_member<Member, Peer>, nullptr, rules};
}

constexpr Field<Database> kDatabase[] = {
    of_database<&Database::dbname>("dbname"),
    of_database<&Database::hosts>("host"),
    of_database<&Database::port>("port", kPort),
    of_database<&Database::user>("user"),
    of_database<&Database::password>("password"),
    of_database<&Database::auth_user>("auth_user"),
    of_database<&Database::auth_query>("auth_query"),
    of_database<&Database::auth_dbname>("auth_dbname"),
    of_database<&Database::pool_size>("pool_size"),
    of_database<&Database::min_pool_size>("min_pool_size"),
    of_database<&Database::reserve_pool_size>("reserve_pool_size"),
    of_database<&Database::reserve_pool_size>("reserve_pool"),  // its older name
    of_database<&Database::max_db_connections>("max_db_connections"),
    of_database<&Database::max_db_client_connections>("max_db_client_connections"),
    of_database<&Database::server_lifetime>("server_lifetime"),
    of_database<&Database::query_wait_timeout>("query_wait_timeout"),
    of_database<&Database::pool_mode>("pool_mode"),
    of_database<&Database::share_unnamed_statements>("share_unnamed_statements"),
    of_database<&Database::load_balance_hosts>("load_balance_hosts"),
    of_database<&Database::connect_query>("connect_query"),
    of_database<&Database::client_encoding>("client_encoding"),
    of_database<&Database::datestyle>("datestyle"),
    of_database<&Database::timezone>("timezone"),
    of_database<&Database::application_name>("application_name"),
};

constexpr Field<User> kUser[] = {
    of_user<&User::pool_mode>("pool_mode"),
    of_user<&User::pool_size>("pool_size"),
    of_user<&User::reserve_pool_size>("reserve_pool_size"),
    of_user<&User::max_user_connections>("max_user_connections"),
    of_user<&User::max_user_client_connections>("max_user_client_connections"),
    of_user<&User::query_timeout>("query_timeout"),
    of_user<&User::query_wait_timeout>("query_wait_timeout"),
    of_user<&User::idle_transaction_timeout>("idle_transaction_timeout"),
    of_user<&User::transaction_timeout>("transaction_timeout"),
    of_user<&User::client_idle_timeout>("client_idle_timeout"),
};

constexpr Field<Peer> kPeer[] = {
    of_peer<&Peer::hosts>("host"),
    of_peer<&Peer::port>("port", kPort),
    of_peer<&Peer::pool_size>("pool_size"),
};

template <class Owner>
std::vector<std::string_view> keys_of(std::span<const Field<Owner>> fields) {
  std::vector<std::string_view> keys;
  for (const Field<Owner>& field : fields) keys.push_back(field.key);
  return keys;
}

template <class Owner>
void read_pairs(Owner& owner, std::string_view text, std::span<const Field<Owner>> fields,
                Remarks& remarks) {
  auto pairs = split_connection_string(text);
  if (!pairs) {
    remarks.problems.push_back(pairs.error().message);
    return;
  }
  for (const Pair& pair : *pairs) {
    const Field<Owner>* found = nullptr;
    for (const Field<Owner>& field : fields) {
      if (field.key == pair.key) found = &field;
    }
    if (found == nullptr) {
      const std::vector<std::string_view> known = keys_of(fields);
      std::string hint = suggestion(pair.key, known);
      if (hint.empty()) hint = ": known are " + listed(known);
      remarks.problems.push_back(fmt::format("unknown key \"{}\"{}", pair.key, hint));
    } else if (auto done = found->read(owner, pair.value, found->rules); !done) {
      remarks.problems.push_back(pair.key + ": " + done.error().message);
    }
  }
}

void check_name(const std::string& name, std::size_t longest, Remarks& remarks) {
  if (name.size() <= longest) return;
  remarks.problems.push_back(fmt::format("the name is longer than {} bytes", longest));
}

bool is_console(std::string_view name) { return name == "pgbouncer" || name == "pg_doorman"; }

}  // namespace

Database read_database(const std::string& name, std::string_view text, Remarks& remarks) {
  Database database;
  database.name = name;
  check_name(name, kMaxDatabaseName, remarks);
  if (is_console(name)) remarks.problems.emplace_back("the name is reserved for the console");
  read_pairs<Database>(database, text, kDatabase, remarks);
  if (database.auth_dbname && is_console(*database.auth_dbname)) {
    remarks.problems.emplace_back("auth_dbname: the console cannot look up users");
  }
  for (const auto& [key, value] :
       {std::pair("auth_user", &database.auth_user), std::pair("auth_query", &database.auth_query),
        std::pair("auth_dbname", &database.auth_dbname)}) {
    if (!value->has_value()) continue;
    remarks.notices.push_back(std::string(key) + ": accepted, but without effect in this version");
  }
  if (database.dbname.empty() && name != "*") database.dbname = name;
  return database;
}

User read_user(const std::string& name, std::string_view text, Remarks& remarks) {
  User user;
  user.name = name;
  check_name(name, kMaxUserName, remarks);
  read_pairs<User>(user, text, kUser, remarks);
  return user;
}

void check_peer(const std::string& name, std::string_view text, Remarks& remarks) {
  int id = 0;
  if (auto done = read(name, {.min = 1, .max = 16383, .base = 10}, id); !done) {
    remarks.problems.push_back("the number of a peer: " + done.error().message);
  }
  Peer peer;
  read_pairs<Peer>(peer, text, kPeer, remarks);
  if (peer.hosts.empty()) remarks.problems.emplace_back("host is missing");
  remarks.notices.emplace_back("accepted, but without effect in this version");
}

std::span<const std::string_view> database_keys() {
  static const std::vector<std::string_view> all = keys_of<Database>(kDatabase);
  return all;
}

std::span<const std::string_view> user_keys() {
  static const std::vector<std::string_view> all = keys_of<User>(kUser);
  return all;
}

std::span<const std::string_view> peer_keys() {
  static const std::vector<std::string_view> all = keys_of<Peer>(kPeer);
  return all;
}

}  // namespace doorman::config
