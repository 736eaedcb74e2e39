#include "config/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "config/connection_string.h"

namespace doorman::config {
namespace {

using namespace std::chrono_literals;
using List = std::vector<std::string>;

Config parsed(std::string_view text) {
  auto config = parse(text, "f");
  EXPECT_TRUE(config) << config.error().message;
  return config ? config.take() : Config();
}

// What is wrong with `text`, all of it.
std::string errors(std::string_view text) {
  auto config = parse(text, "f");
  return config ? "no error" : config.error().message;
}

TEST(Config, HasDefaultsForAllThatIsNotSaid) {
  const Config config = parsed("[pgbouncer]\n");
  EXPECT_EQ(config.settings, Settings());
  EXPECT_EQ(config.path, "f");
  EXPECT_TRUE(config.databases.empty());
  EXPECT_FALSE(config.fallback);
  EXPECT_TRUE(config.notices.empty());
}

TEST(Config, ReadsAFileOfPgbouncer) {
  const Config config = parsed(R"(
;; a file as one finds them
[databases]
wiki = host=10.1.0.4 port=5433 user=wiki_rw password=s3cret connect_query='SET jit TO off'
orders = pool_size=12 reserve_pool=4
 stock =
crm = host = db.example.com dbname=crm_2019
p = port=08
* = host=db2.example.com

[users]
nightly = pool_mode=transaction max_user_connections=10

[pgbouncer]
logfile = /var/log/pgbouncer/pgbouncer.log
   pidfile = /var/run/pgbouncer/pgbouncer.pid
listen_addr = 127.0.0.1, ::1
listen_port=6543
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/userlist.txt
admin_users = postgres,admin
pool_mode = transaction
server_reset_query = DISCARD ALL ; SELECT 'x'
ignore_startup_parameters = extra_float_digits, options
server_check_query =
# another comment
server_idle_timeout = 0.5
max_client_conn = 0x100
)");
  const Settings& settings = config.settings;
  EXPECT_EQ(settings.pidfile, "/var/run/pgbouncer/pgbouncer.pid");
  EXPECT_EQ(settings.listen_addr, (List{"127.0.0.1", "::1"}));
  EXPECT_EQ(settings.listen_port, 6543);
  EXPECT_EQ(settings.auth_type, AuthType::Scram);
  EXPECT_EQ(settings.admin_users, (List{"postgres", "admin"}));
  EXPECT_EQ(settings.pool_mode, PoolMode::Transaction);
  EXPECT_EQ(settings.server_reset_query, "DISCARD ALL ; SELECT 'x'");
  EXPECT_EQ(settings.server_check_query, "");
  EXPECT_EQ(settings.server_idle_timeout, 500ms);
  EXPECT_EQ(settings.max_client_conn, 256);

  ASSERT_EQ(config.databases.size(), 5u);
  const Database& wiki = config.databases.at("wiki");
  EXPECT_EQ(wiki.hosts, List{"10.1.0.4"});
  EXPECT_EQ(wiki.port, 5433);
  EXPECT_EQ(wiki.dbname, "wiki");
  EXPECT_EQ(wiki.user, "wiki_rw");
  EXPECT_EQ(wiki.password, "s3cret");
  EXPECT_EQ(wiki.connect_query, "SET jit TO off");
  EXPECT_EQ(wiki.timezone, std::nullopt);
  EXPECT_EQ(config.databases.at("orders").pool_size, 12);
  EXPECT_EQ(config.databases.at("orders").reserve_pool_size, 4);
  EXPECT_EQ(config.databases.at("crm").dbname, "crm_2019");
  EXPECT_EQ(config.databases.at("p").port, 8);
  EXPECT_TRUE(config.databases.at("stock").hosts.empty());
  EXPECT_EQ(config.users.at("nightly").pool_mode, PoolMode::Transaction);
  EXPECT_EQ(config.users.at("nightly").max_user_connections, 10);
  EXPECT_EQ(config.users.at("nightly").pool_size, std::nullopt);
}

TEST(Config, ReadsEveryKeyOfADatabase) {
  const Config config = parsed(
      "[pg_doorman]\n[databases]\n'a''b c' = dbname=d host=h,/run/x port=1 user=u password='p "
      "q''r' "
      "client_encoding=c datestyle=s timezone=z application_name=n connect_query='a ;b' "
      "auth_user=au auth_query=aq auth_dbname=ad pool_size=1 min_pool_size=2 reserve_pool_size=3 "
      "max_db_connections=4 max_db_client_connections=5 server_lifetime=6 query_wait_timeout=7ms "
      "pool_mode=statement load_balance_hosts=disable\n");
  Database expected;
  expected.name = "a'b c";
  expected.dbname = "d";
  expected.hosts = {"h", "/run/x"};
  expected.port = 1;
  expected.user = "u";
  expected.password = "p q'r";
  expected.client_encoding = "c";
  expected.datestyle = "s";
  expected.timezone = "z";
  expected.application_name = "n";
  expected.connect_query = "a ;b";
  expected.auth_user = "au";
  expected.auth_query = "aq";
  expected.auth_dbname = "ad";
  expected.pool_size = 1;
  expected.min_pool_size = 2;
  expected.reserve_pool_size = 3;
  expected.max_db_connections = 4;
  expected.max_db_client_connections = 5;
  expected.server_lifetime = 6s;
  expected.query_wait_timeout = 7ms;
  expected.pool_mode = PoolMode::Statement;
  expected.load_balance_hosts = LoadBalance::Disable;
  ASSERT_EQ(config.databases.count("a'b c"), 1u);
  EXPECT_EQ(config.databases.at("a'b c"), expected);
  EXPECT_EQ(config.notices.size(), 3u);
}

TEST(Config, ReadsEveryKeyOfAUser) {
  const Config config = parsed(
      "[pg_doorman]\n[users]\nu = pool_mode=session pool_size=1 reserve_pool_size=2 "
      "max_user_connections=3 max_user_client_connections=4 query_timeout=5 query_wait_timeout=6 "
      "idle_transaction_timeout=7 transaction_timeout=8 client_idle_timeout=9\n");
  User expected;
  expected.name = "u";
  expected.pool_mode = PoolMode::Session;
  expected.pool_size = 1;
  expected.reserve_pool_size = 2;
  expected.max_user_connections = 3;
  expected.max_user_client_connections = 4;
  expected.query_timeout = 5s;
  expected.query_wait_timeout = 6s;
  expected.idle_transaction_timeout = 7s;
  expected.transaction_timeout = 8s;
  expected.client_idle_timeout = 9s;
  EXPECT_EQ(config.users.at("u"), expected);
}

TEST(Config, FindsADatabaseOrTheFallback) {
  const Config config = parsed("[pg_doorman]\n[databases]\na = dbname=b\n* = port=7\n");
  EXPECT_EQ(config.fallback->name, "*");
  EXPECT_EQ(config.databases.count("*"), 0u);
  EXPECT_EQ(find_database(config, "a")->dbname, "b");
  EXPECT_EQ(find_database(config, "z")->name, "z");
  EXPECT_EQ(line_for(config, "a")->dbname, "b");
  EXPECT_EQ(line_for(config, "z"), &*config.fallback);
  EXPECT_EQ(find_database(config, "z")->dbname, "z");
  EXPECT_EQ(find_database(config, "z")->port, 7);
  EXPECT_EQ(find_database(parsed("[pg_doorman]\n[databases]\n* = dbname=x\n"), "z")->dbname, "x");
  EXPECT_EQ(find_database(parsed("[pg_doorman]\n[databases]\na =\n"), "z"), std::nullopt);
  EXPECT_EQ(line_for(parsed("[pg_doorman]\n[databases]\na =\n"), "z"), nullptr);
}

TEST(Config, TakesTheLastOfTwoLines) {
  const Config config = parsed(
      "[pg_doorman]\nworkers=1\nworkers=2\n[databases]\na = port=1 user=x\n[users]\n[pg_doorman]\n"
      "max_client_conn=3\n[databases]\na = port=2\n");
  EXPECT_EQ(config.settings.workers, 2);
  EXPECT_EQ(config.settings.max_client_conn, 3);
  EXPECT_EQ(config.databases.at("a").port, 2);
  EXPECT_EQ(config.databases.at("a").user, std::nullopt);
}

// PgBouncer 1.18 was seen to do this at the first load already, but for the keys without a default.
TEST(Config, GoesBackToDefaultsAtASecondPgbouncerHeader) {
  const Config config = parsed(
      "[pg_doorman]\nworkers=2\n[pgbouncer]\nmax_client_conn=77\nverbose=1\nauth_user=x\n"
      "[databases]\n[pgbouncer]\nlisten_port=7777\n");
  EXPECT_EQ(config.settings.max_client_conn, 100);
  EXPECT_EQ(config.settings.listen_port, 7777);
  EXPECT_EQ(config.settings.verbose, 1);
  EXPECT_EQ(config.settings.auth_user, "x");
  EXPECT_EQ(config.settings.workers, 2);
  ASSERT_EQ(config.notices.size(), 2u);
  EXPECT_EQ(config.notices[0],
            "f:8: a second [pgbouncer] puts 1 settings of the one before back to their defaults, "
            "as in PgBouncer");
}

TEST(Config, NoticesWhatItDoesNotActUpon) {
  const Config config = parsed(
      "[pgbouncer]\npkt_buf = 8192\nsbuf_loopcnt = 5\nclient_tls_sslmode = prefer\n"
      "server_tls_sslmode = prefer\n[peers]\n1 = host=h\n");
  EXPECT_EQ(config.notices,
            (List{"f:7: [peers] 1: accepted, but without effect in this version",
                  "f:4: client_tls_sslmode: TLS is not supported yet: clients that ask for it are "
                  "told to go on without",
                  "f:2: pkt_buf: accepted, but without effect in this version"}));
}

TEST(Config, RefusesPlainTextWhereTlsIsDemanded) {
  for (const std::string mode : {"require", "verify-ca", "verify-full"}) {
    EXPECT_EQ(errors("[pgbouncer]\nserver_tls_sslmode=" + mode),
              "f:2: server_tls_sslmode: \"" + mode +
                  "\" demands TLS, which is not supported yet: disable, allow, prefer");
    EXPECT_NE(errors("[pgbouncer]\nclient_tls_sslmode=" + mode), "no error");
  }
}

TEST(Config, RefusesWaysToLogInThatItDoesNotKnowYet) {
  for (const std::string type : {"cert", "hba", "ldap", "pam"}) {
    EXPECT_EQ(errors("[pgbouncer]\nauth_type=" + type),
              "f:2: auth_type: \"" + type +
                  "\" is not supported yet: any, trust, plain, md5, scram-sha-256, reject");
  }
}

TEST(Config, ReportsAllThatIsWrongWithItsLine) {
  EXPECT_EQ(errors("[pgbouncer]\n"
                   "listen_port = 70000\n"
                   "defualt_pool_size = 3\n"
                   "pool_mode = 1\n"
                   "pool_mode = session\n"
                   "server_lifetime = soon\n"
                   "[databases]\n"
                   "a = prot=1 pool_size=x\n"
                   "pgbouncer = port=1\n"
                   "b = auth_dbname=pgbouncer\n"
                   "[users]\n"
                   "u = password=x\n"
                   "[peers]\n"
                   "0 = port=1\n"),
            "f:2: listen_port: 70000 is out of range: 1 to 65535\n"
            "f:3: unknown setting \"defualt_pool_size\"; did you mean \"default_pool_size\"?\n"
            "f:4: pool_mode: \"1\" is not one of session, transaction, statement\n"
            "f:6: server_lifetime: \"soon\" is not a number\n"
            "f:8: [databases] a: unknown key \"prot\"; did you mean \"port\"?\n"
            "f:8: [databases] a: pool_size: \"x\" is not a whole number (0 to 2147483647)\n"
            "f:9: [databases] pgbouncer: the name is reserved for the console\n"
            "f:10: [databases] b: auth_dbname: the console cannot look up users\n"
            "f:12: [users] u: unknown key \"password\": known are pool_mode, pool_size, "
            "reserve_pool_size, max_user_connections, max_user_client_connections, query_timeout, "
            "query_wait_timeout, idle_transaction_timeout, transaction_timeout, "
            "client_idle_timeout\n"
            "f:14: [peers] 0: the number of a peer: 0 is out of range: 1 to 16383\n"
            "f:14: [peers] 0: host is missing");
}

TEST(Config, RefusesConnectionStringsThatAreNone) {
  const auto error = [](const std::string& text) {
    return errors("[pgbouncer]\n[databases]\na = " + text);
  };
  const std::string where = "f:3: [databases] a: ";
  EXPECT_EQ(error("host=''"), where + "host has no value");
  EXPECT_EQ(error("port=1 host="), where + "host has no value");
  EXPECT_EQ(error("host='x"), where + "host: no closing quote");
  EXPECT_EQ(error("host='x'port=1"), where + "host: no blank after the closing quote");
  EXPECT_EQ(error("=x"), where + "a = without a key");
  // Never the word itself: a password may have a blank that nobody quoted.
  EXPECT_EQ(error("password=my secret"),
            where +
                "expected key=value pairs with blanks between them; the one after password "
                "has no =");
}

TEST(Config, WhereverTheFileEndsItIsRightOrSaysInWhichLine) {
  const std::string whole =
      "; ours\n[databases]\nshop = host=10.0.0.1,db port=5433 password='a''b' pool_size=3\n"
      "* = host=/run/x connect_query='select 1'\n[users]\napp = pool_mode=session\n"
      "[pgbouncer]\nlisten_addr = 127.0.0.1,::1\npool_mode = transaction\n"
      "query_timeout = 12.5min\nunix_socket_mode = 0700\nmax_client_conn = 500\n"
      "ignore_startup_parameters = a, b\nverbose = 2\n";
  const Config all = parse(whole, "f").take();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    auto config = parse(cut, "f");
    if (config) {
      for (const auto& [name, database] : config->databases) {
        EXPECT_TRUE(all.databases.contains(name)) << size;
      }
      continue;
    }
    const std::string& message = config.error().message;
    const auto lines = std::to_string(std::count(cut.begin(), cut.end(), '\n') + 1);
    EXPECT_TRUE(message.starts_with("f:" + lines + ": ") ||
                cut.find("[pgbouncer]") == std::string::npos)
        << size << ": " << message;
  }
}

TEST(Config, ConnectionStringsCutAnywhereGiveTheSamePairs) {
  const std::string whole = "host = a,b  port=1 password='it''s = x' user=me";
  const auto all = split_connection_string(whole).take();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto part = split_connection_string(whole.substr(0, size));
    if (!part) continue;
    ASSERT_LE(part->size(), all.size());
    for (std::size_t i = 0; i < part->size(); ++i) {
      EXPECT_EQ((*part)[i].key, all[i].key) << size;
      EXPECT_TRUE(all[i].value.starts_with((*part)[i].value)) << size;
    }
  }
}

TEST(Config, LimitsNames) {
  const std::string longest(63, 'd');
  EXPECT_EQ(errors("[pgbouncer]\n[databases]\n" + longest + " ="), "no error");
  EXPECT_EQ(errors("[pgbouncer]\n[databases]\n" + longest + "d ="),
            "f:3: [databases] " + longest + "d: the name is longer than 63 bytes");
}

TEST(Config, EndsALongListOfProblems) {
  std::string text = "[pgbouncer]\n";
  for (int i = 0; i < 150; ++i) text += "listen_port=0\n";
  const std::string message = errors(text);
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 100);
  EXPECT_TRUE(message.ends_with("\nf: and 50 more"));
}

}  // namespace
}  // namespace doorman::config
