// SHOW of what concerns the process as a whole.
#include <chrono>
#include <ctime>

#include "control/commands.h"
#include "control/show.h"

namespace doorman::control {

using session::ClientState;

namespace {

// As logs have it: local time.
std::string text_of_time(std::int64_t at) {
  const std::time_t seconds = at;
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts)};
}

}  // namespace

Outcome show_help(Commands& /*commands*/, const Arguments& /*arguments*/) {
  Answer answer = done("SHOW");
  answer.notice = usage();
  return answer;
}

Outcome show_version(Commands& /*commands*/, const Arguments& /*arguments*/) {
  return shown({.columns = columns({{Type::Text, "version"}}),
                .rows = {row("pg_doorman " PG_DOORMAN_VERSION)}});
}

Outcome show_state(Commands& commands, const Arguments& /*arguments*/) {
  const bool paused = commands.daemon().registry().all_paused();
  return shown({.columns = columns({{Type::Text, "key value"}}),
                .rows = {row("active", yes_or_no(!paused)), row("paused", yes_or_no(paused)),
                         row("suspended", yes_or_no(false))}});
}

Outcome show_config(Commands& commands, const Arguments& /*arguments*/) {
  Table table = {.columns = columns({{Type::Text, "key value default changeable"}})};
  for (const config::ShownSetting& each : config::show(commands.config().settings)) {
    table.rows.push_back(row(each.key, each.value, each.default_value, yes_or_no(each.reloadable)));
  }
  return shown(std::move(table));
}

namespace {

struct Sizes {
  std::size_t clients = 0;
  std::size_t logins = 0;
  std::size_t servers = 0;
  std::size_t buffers = 0;
};

Sizes count(daemon::Daemon& daemon) {
  Sizes sizes;
  daemon.visit_workers([&sizes](daemon::Worker& worker) {
    worker.each_client([&sizes](session::ClientSession& client) {
      const bool login = client.state() == ClientState::Startup ||
                         client.state() == ClientState::Authenticating || client.logging_in();
      ++(login ? sizes.logins : sizes.clients);
    });
    sizes.servers += worker.server_count();
    sizes.buffers += worker.buffers.lent();
  });
  return sizes;
}

}  // namespace

// Sessions are objects of their own, kept nowhere for later: there are no free ones.
Outcome show_lists(Commands& commands, const Arguments& /*arguments*/) {
  daemon::Daemon& daemon = commands.daemon();
  const Sizes sizes = count(daemon);
  const net::Resolver::Counters names = daemon.shared().resolver.counters();
  const std::size_t databases = commands.config().databases.size() + 1;  // the console's is one
  return shown({.columns = columns({{Type::Text, "list"}, {Type::Int4, "items"}}),
                .rows = {row("databases", databases), row("users", known_users(commands).size()),
                         row("peers", 0), row("pools", daemon.registry().pools()),
                         row("peer_pools", 0), row("free_clients", 0),
                         row("used_clients", sizes.clients), row("login_clients", sizes.logins),
                         row("free_servers", 0), row("used_servers", sizes.servers),
                         row("dns_names", names.names), row("dns_zones", 0),
                         row("dns_queries", names.queries), row("dns_pending", names.pending)}});
}

Outcome show_mem(Commands& commands, const Arguments& /*arguments*/) {
  const Sizes sizes = count(commands.daemon());
  const auto line = [](std::string_view name, std::size_t size, std::size_t used) {
    return row(name, size, used, /*free*/ 0, size * used);
  };
  return shown(
      {.columns = columns(
           {{Type::Text, "name"}, {Type::Int4, "size used free"}, {Type::Int8, "memtotal"}}),
       .rows = {line("client", sizeof(session::ClientSession), sizes.clients + sizes.logins),
                line("server", sizeof(session::ServerSession), sizes.servers),
                line("buffer", BufferPool::kSize, sizes.buffers)}});
}

Outcome show_upgrades(Commands& commands, const Arguments& /*arguments*/) {
  Table table = {.columns = columns({{Type::Text, "at result from to"},
                                     {Type::Int8, "clients servers left_behind pause_us"},
                                     {Type::Text, "verdict"}})};
  for (const daemon::Verdict& each : commands.daemon().verdicts()) {
    table.rows.push_back(row(text_of_time(each.at), each.done ? "done" : "failed", each.from,
                             each.to, each.clients, each.servers, each.left_behind,
                             each.pause.count(), each.text));
  }
  return shown(std::move(table));
}

Outcome show_stash(Commands& commands, const Arguments& /*arguments*/) {
  Table table = {.columns = columns({{Type::Text, "key"}, {Type::Int8, "value"}})};
  for (const auto& each : commands.daemon().crash_safety().figures()) {
    table.rows.push_back(row(each.key, each.value));
  }
  return shown(std::move(table));
}

Outcome show_dns_hosts(Commands& commands, const Arguments& /*arguments*/) {
  Table table = {
      .columns = columns({{Type::Text, "hostname"}, {Type::Int8, "ttl"}, {Type::Text, "addrs"}})};
  for (const net::Resolver::Entry& entry : commands.daemon().shared().resolver.entries()) {
    std::string addresses;
    for (const net::Address& address : entry.answer->addresses) {
      if (!addresses.empty()) addresses += ',';
      addresses += address.host();
    }
    const auto ttl = std::chrono::duration_cast<std::chrono::seconds>(entry.ttl_left);
    table.rows.push_back(row(entry.host, ttl.count(), addresses));
  }
  return shown(std::move(table));
}

Outcome show_dns_zones(Commands& /*commands*/, const Arguments& /*arguments*/) {
  return shown({.columns = columns(
                    {{Type::Text, "zonename"}, {Type::Int8, "serial"}, {Type::Int4, "count"}})});
}

Outcome show_peers(Commands& /*commands*/, const Arguments& /*arguments*/) {
  return shown(
      {.columns = columns(
           {{Type::Int4, "peer_id"}, {Type::Text, "host"}, {Type::Int4, "port pool_size"}})});
}

Outcome show_peer_pools(Commands& /*commands*/, const Arguments& /*arguments*/) {
  return shown({.columns = columns({{Type::Int4,
                                     "peer_id cl_active_cancel_req cl_waiting_cancel_req "
                                     "sv_active_cancel sv_login"}})});
}

}  // namespace doorman::control
