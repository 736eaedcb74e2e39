#include "config/settings.h"

#include <gtest/gtest.h>

#include <set>

#include "config/config.h"
#include "config/table.h"

namespace doorman::config {
namespace {

using namespace std::chrono_literals;
using testing::Test;

ShownSetting shown(const Settings& settings, const std::string& key) {
  for (const ShownSetting& one : show(settings)) {
    if (one.key == key) return one;
  }
  ADD_FAILURE() << "no setting " << key;
  return {};
}

std::string error_of(Settings& settings, std::string_view key, std::string_view value) {
  auto done = set(settings, key, value);
  return done ? "no error" : done.error().message;
}

// The keys of PgBouncer 1.25's main section: none of its files may stop a start.
constexpr std::string_view kPgbouncersKeys =
    "admin_users application_name_add_host auth_dbname auth_file auth_hba_file auth_ident_file "
    "auth_ldap_options auth_query auth_type auth_user autodb_idle_timeout cancel_wait_timeout "
    "client_idle_timeout client_login_timeout client_tls_sslmode client_tls_key_file "
    "client_tls_cert_file client_tls_ca_file client_tls_protocols client_tls_ciphers "
    "client_tls13_ciphers client_tls_dheparams client_tls_ecdhcurve conffile default_pool_size "
    "disable_pqexec dns_max_ttl dns_nxdomain_ttl dns_zone_check_period idle_transaction_timeout "
    "ignore_startup_parameters job_name service_name listen_addr listen_backlog listen_port "
    "log_connections log_disconnections log_pooler_errors log_stats logfile login_notify_message "
    "max_client_conn max_db_client_connections max_db_connections max_packet_size "
    "max_prepared_statements max_user_client_connections max_user_connections min_pool_size "
    "peer_id pidfile pkt_buf pool_idle_timeout pool_mode query_timeout query_wait_notify "
    "query_wait_timeout reserve_pool_size reserve_pool_timeout resolv_conf sbuf_loopcnt "
    "scram_iterations server_check_delay server_check_query server_connect_timeout "
    "server_fast_close server_idle_timeout server_lifetime server_login_retry "
    "server_reset_query server_reset_query_always server_round_robin server_tls_sslmode "
    "server_tls_key_file server_tls_cert_file server_tls_ca_file server_tls_protocols "
    "server_tls_ciphers server_tls13_ciphers so_reuseport stats_period stats_users "
    "suspend_timeout syslog syslog_facility syslog_ident tcp_defer_accept tcp_keepalive "
    "tcp_keepcnt tcp_keepidle tcp_keepintvl tcp_socket_buffer tcp_user_timeout "
    "track_extra_parameters transaction_timeout unix_socket_dir unix_socket_group "
    "unix_socket_mode user verbose";

TEST(ConfigSettings, KnowEveryKeyOfPgbouncer) {
  std::string_view rest = kPgbouncersKeys;
  while (!rest.empty()) {
    const std::string_view key = rest.substr(0, rest.find(' '));
    EXPECT_NE(find_setting(key), nullptr) << key;
    rest.remove_prefix(std::min(key.size() + 1, rest.size()));
  }
}

TEST(ConfigSettings, NameEachKeyOnce) {
  const std::set<std::string_view> unique(keys().begin(), keys().end());
  EXPECT_EQ(unique.size(), keys().size());
}

// The shown form of every default is one that a file could have, and means the same.
TEST(ConfigSettings, ReadWhatTheyShow) {
  std::string text = "[pg_doorman]\n";
  for (const ShownSetting& one : show(Settings())) text += one.key + " = " + one.value + "\n";
  auto config = parse(text, "shown");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->settings, Settings());
  EXPECT_EQ(config->notices, std::vector<std::string>());
}

// A row that wrote to another row's member would show here.
TEST(ConfigSettings, EachKeyChangesItsOwnValueOnly) {
  for (const Group& group : groups()) {
    for (const Setting& setting : group.settings) {
      Settings changed;
      const std::string before = setting.value_in(changed);
      bool done = false;
      for (const char* value :
           {"7", "0", "1", "2000", "0700", "statement", "plain", "allow", "legacy", "mail"}) {
        if (!setting.field.read(changed, value, setting.field.rules)) continue;
        if (setting.value_in(changed) != before) {
          done = true;
          break;
        }
      }
      ASSERT_TRUE(done) << setting.key();
      for (const ShownSetting& one : show(changed)) {
        EXPECT_EQ(one.value != one.default_value, one.key == setting.key()) << one.key;
      }
    }
  }
}

TEST(ConfigSettings, ShowPgbouncersUnits) {
  Settings settings;
  settings.server_lifetime = 1500ms;
  settings.tcp_user_timeout = 2s;
  settings.admin_users = {"a", "b"};
  EXPECT_EQ(shown(settings, "server_lifetime").value, "1.5");
  EXPECT_EQ(shown(settings, "server_lifetime").default_value, "3600");
  EXPECT_EQ(shown(settings, "tcp_user_timeout").value, "2000");
  EXPECT_EQ(shown(settings, "unix_socket_mode").value, "0777");
  EXPECT_EQ(shown(settings, "max_packet_size").value, "2147483647");
  EXPECT_EQ(shown(settings, "admin_users").value, "a, b");
  EXPECT_EQ(shown(settings, "auth_type").value, "md5");
  EXPECT_EQ(shown(settings, "log_stats").value, "1");
  EXPECT_TRUE(shown(settings, "pool_mode").reloadable);
  EXPECT_FALSE(shown(settings, "listen_port").reloadable);
}

TEST(ConfigSettings, NameWhatNeedsARestart) {
  Settings changed;
  EXPECT_EQ(needs_restart(Settings(), changed), std::vector<std::string>());
  changed.default_pool_size = 5;
  changed.listen_port = 5433;
  changed.workers = 3;
  EXPECT_EQ(needs_restart(Settings(), changed),
            (std::vector<std::string>{"listen_port", "workers"}));
}

TEST(ConfigSettings, CanBeSetOneByOne) {
  Settings settings;
  EXPECT_EQ(error_of(settings, "default_pool_size", " 30 "), "no error");
  EXPECT_EQ(settings.default_pool_size, 30);
  EXPECT_EQ(error_of(settings, "query_timeout", "2min"), "no error");
  EXPECT_EQ(settings.query_timeout, 2min);
}

TEST(ConfigSettings, StayAsTheyWereWhenASetFails) {
  Settings settings;
  EXPECT_EQ(error_of(settings, "defualt_pool_size", "3"),
            "unknown setting \"defualt_pool_size\"; did you mean \"default_pool_size\"?");
  EXPECT_EQ(error_of(settings, "qqqqqqqqqqqq", "3"), "unknown setting \"qqqqqqqqqqqq\"");
  EXPECT_EQ(error_of(settings, "default_pool_size", "many"),
            "default_pool_size: \"many\" is not a whole number (0 to 2147483647)");
  EXPECT_EQ(error_of(settings, "listen_port", "1"),
            "listen_port cannot be changed without a restart");
  EXPECT_EQ(error_of(settings, "client_tls_sslmode", "require"),
            "client_tls_sslmode: \"require\" demands TLS, which is not supported yet: disable, "
            "allow, prefer");
  EXPECT_EQ(settings, Settings());
}

}  // namespace
}  // namespace doorman::config
