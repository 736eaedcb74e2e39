// Settings: what the main section of the configuration file says, checked and typed.
//
// A plain value: it copies, compares and never changes under its readers. Each member is named as
// its key; what a key means, its limits and whether a reload can change it stand in one table
// (table.h), from which the functions here work.
//
// Does not read files (config.h does) and does not know who uses a setting.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace doorman::config {

// Every time setting. 0 means off or without limit, as the key's help says.
using Duration = std::chrono::microseconds;

enum class PoolMode { Session, Transaction, Statement };
enum class AuthType { Any, Trust, Plain, Md5, Scram, Cert, Hba, Ldap, Pam, Reject };
enum class LoadBalance { RoundRobin, Disable };
enum class SslMode { Disable, Allow, Prefer, Require, VerifyCa, VerifyFull };

// The word that the configuration file has for it.
std::string_view name(PoolMode mode);
std::string_view name(AuthType type);
std::string_view name(LoadBalance balance);
std::string_view name(SslMode mode);

// In the order in which people read them, not in that which packs best.
struct Settings {  // NOLINT(clang-analyzer-optin.performance.Padding)
  using Seconds = std::chrono::seconds;
  using Text = std::string;
  using List = std::vector<std::string>;
  using Size = std::uint64_t;  // bytes

  // Where clients connect.
  List listen_addr;  // empty: no TCP; "*": every address
  std::uint16_t listen_port = 6432;
  int listen_backlog = 128;
  Text unix_socket_dir = "/tmp";  // empty: no unix socket
  std::uint32_t unix_socket_mode = 0777;
  Text unix_socket_group;
  bool so_reuseport = false;

  // The process.
  int workers = 0;  // 0: one per CPU
  Text user;
  Text pidfile;
  Text conffile;
  Text job_name = "pgbouncer";
  bool crash_safe = true;
  Duration shutdown_timeout = Seconds(60);
  Duration suspend_timeout = Seconds(10);
  Text control_socket;  // empty: in the runtime folder, or beside the unix socket
  Duration upgrade_probation = Seconds(3);
  int peer_id = 0;

  // Who may come in.
  AuthType auth_type = AuthType::Md5;
  Text auth_file;
  Text auth_hba_file;
  Text auth_ident_file;
  Text auth_ldap_options;
  Text auth_user;
  Text auth_query =
      "SELECT r.rolname, CASE WHEN r.rolvaliduntil <= now() THEN NULL ELSE r.rolpassword END "
      "FROM pg_catalog.pg_authid AS r WHERE r.rolname = $1 AND r.rolcanlogin";
  Text auth_dbname;
  int scram_iterations = 4096;
  List admin_users;
  List stats_users;

  // Pools and limits.
  PoolMode pool_mode = PoolMode::Session;
  int max_client_conn = 100;
  int default_pool_size = 20;
  int min_pool_size = 0;
  int reserve_pool_size = 0;
  Duration reserve_pool_timeout = Seconds(5);
  int max_db_connections = 0;
  int max_db_client_connections = 0;
  int max_user_connections = 0;
  int max_user_client_connections = 0;
  int server_connect_parallel = 4;
  bool server_round_robin = false;
  Duration pool_idle_timeout = Seconds(0);
  Duration autodb_idle_timeout = Seconds(3600);

  // Servers.
  Text server_reset_query = "DISCARD ALL";
  bool server_reset_query_always = false;
  Text server_check_query = "<empty>";  // "<empty>": the empty query; empty: no check
  Duration server_check_delay = Seconds(30);
  bool server_fast_close = false;
  Duration server_lifetime = Seconds(3600);
  Duration server_idle_timeout = Seconds(600);
  Duration server_connect_timeout = Seconds(15);
  Duration server_login_retry = Seconds(15);

  // Clients.
  Duration client_login_timeout = Seconds(60);
  Duration client_idle_timeout = Seconds(0);
  Duration query_timeout = Seconds(0);
  Duration query_wait_timeout = Seconds(120);
  Duration query_wait_notify = Seconds(5);
  Duration idle_transaction_timeout = Seconds(0);
  Duration transaction_timeout = Seconds(0);
  Duration cancel_wait_timeout = Seconds(10);
  Text login_notify_message;
  bool application_name_add_host = false;
  List ignore_startup_parameters;
  List track_extra_parameters = {"IntervalStyle"};
  bool disable_pqexec = false;
  Size listen_queue_size = Size{256} << 10;
  bool listen_gap_notify = false;

  // Prepared statements.
  int max_prepared_statements = 200;
  Size max_prepared_statement_size = Size{16} << 20;
  bool share_unnamed_statements = false;
  int max_client_prepared_statements = 10000;
  Size max_client_statement_memory = Size{64} << 20;
  Size max_pool_statement_memory = Size{1} << 30;

  // TLS.
  SslMode client_tls_sslmode = SslMode::Disable;
  Text client_tls_key_file;
  Text client_tls_cert_file;
  Text client_tls_ca_file;
  Text client_tls_protocols = "secure";
  Text client_tls_ciphers = "default";
  Text client_tls13_ciphers;
  Text client_tls_dheparams = "auto";
  Text client_tls_ecdhcurve = "auto";
  SslMode server_tls_sslmode = SslMode::Prefer;
  Text server_tls_key_file;
  Text server_tls_cert_file;
  Text server_tls_ca_file;
  Text server_tls_protocols = "secure";
  Text server_tls_ciphers = "default";
  Text server_tls13_ciphers;

  // Network.
  Size max_packet_size = 2147483647;
  Size pkt_buf = 4096;
  int sbuf_loopcnt = 5;
  int tcp_defer_accept = 1;
  Size tcp_socket_buffer = 0;  // 0: the kernel's choice
  bool tcp_keepalive = true;
  int tcp_keepcnt = 0;
  Duration tcp_keepidle = Seconds(0);
  Duration tcp_keepintvl = Seconds(0);
  Duration tcp_user_timeout = Seconds(0);
  Duration dns_max_ttl = Seconds(15);
  Duration dns_nxdomain_ttl = Seconds(15);
  Duration dns_zone_check_period = Seconds(0);
  Text resolv_conf;

  // Log and statistics.
  Text logfile;
  bool syslog = false;
  Text syslog_ident = "pgbouncer";
  Text syslog_facility = "daemon";
  int verbose = 0;
  bool log_connections = true;
  bool log_disconnections = true;
  bool log_pooler_errors = true;
  bool log_stats = true;
  Duration stats_period = Seconds(60);

  bool operator==(const Settings&) const = default;
};

struct ShownSetting {
  std::string key;
  std::string value;
  std::string default_value;
  bool reloadable;
};

// All settings in the order of the table. Times are in the key's own unit and sizes in bytes, both
// without a unit, so that programs that read PgBouncer's SHOW CONFIG can read it.
std::vector<ShownSetting> show(const Settings& settings);

// Keys whose change takes effect only in a new process.
std::vector<std::string> needs_restart(const Settings& old_one, const Settings& new_one);

// One change while running, with the checks of a file. After an Error `settings` is as it was.
Result<> set(Settings& settings, std::string_view key, std::string_view value);

}  // namespace doorman::config
