#include "session/pool_part.h"

#include <algorithm>

#include "base/log.h"
#include "session/client.h"
#include "session/server.h"

namespace doorman::session {

PoolSettings pool_settings(const config::Config& config, const config::Database& database,
                           const std::string& user) {
  const config::Settings& global = config.settings;
  const auto found = config.users.find(user);
  const config::User of_user = found != config.users.end() ? found->second : config::User{};
  PoolSettings out;
  out.database = database;
  out.server_user = user;
  out.from_fallback = !config.databases.contains(database.name);
  out.share_unnamed_statements =
      database.share_unnamed_statements.value_or(global.share_unnamed_statements);
  out.pool_mode = of_user.pool_mode.value_or(database.pool_mode.value_or(global.pool_mode));
  out.limits = {
      .pool_size =
          of_user.pool_size.value_or(database.pool_size.value_or(global.default_pool_size)),
      .min_pool_size = database.min_pool_size.value_or(global.min_pool_size),
      .reserve_pool_size = of_user.reserve_pool_size.value_or(
          database.reserve_pool_size.value_or(global.reserve_pool_size)),
      .reserve_pool_timeout = global.reserve_pool_timeout,
      .max_db_connections = database.max_db_connections.value_or(global.max_db_connections),
      .max_user_connections = of_user.max_user_connections.value_or(global.max_user_connections),
      .connect_parallel = global.server_connect_parallel,
      .round_robin = global.server_round_robin};
  out.max_db_client_connections =
      database.max_db_client_connections.value_or(global.max_db_client_connections);
  out.query_timeout = of_user.query_timeout.value_or(global.query_timeout);
  out.query_wait_timeout = of_user.query_wait_timeout.value_or(
      database.query_wait_timeout.value_or(global.query_wait_timeout));
  out.idle_transaction_timeout =
      of_user.idle_transaction_timeout.value_or(global.idle_transaction_timeout);
  out.transaction_timeout = of_user.transaction_timeout.value_or(global.transaction_timeout);
  out.client_idle_timeout = of_user.client_idle_timeout.value_or(global.client_idle_timeout);
  out.server_lifetime = database.server_lifetime.value_or(global.server_lifetime);
  return out;
}

net::SocketOptions socket_options(const config::Settings& settings) {
  const auto whole_seconds = [](Duration time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time);
  };
  return {.keepalive = settings.tcp_keepalive,
          .keepcnt = settings.tcp_keepcnt,
          .keepidle = whole_seconds(settings.tcp_keepidle),
          .keepintvl = whole_seconds(settings.tcp_keepintvl),
          .buffer_bytes = static_cast<int>(settings.tcp_socket_buffer),
          .user_timeout =
              std::chrono::duration_cast<std::chrono::milliseconds>(settings.tcp_user_timeout),
          .defer_accept = settings.tcp_defer_accept != 0};
}

PoolPart::PoolPart(Host& h, pool::Hands& hands, std::shared_ptr<pool::SharedPool> p, PoolSettings s)
    : host(h),
      shared(std::move(p)),
      common(CommonPart::of(*shared)),
      pool(*shared, h.worker, hands),
      settings(std::move(s)) {
  pool.limits = settings.limits;
}

void PoolPart::configure(PoolSettings changed) {
  const config::Database& before = settings.database;
  const config::Database& after = changed.database;
  const bool moved =
      before.hosts != after.hosts || before.port != after.port || before.dbname != after.dbname ||
      before.user != after.user || before.password != after.password ||
      before.connect_query != after.connect_query ||
      before.client_encoding != after.client_encoding || before.datestyle != after.datestyle ||
      before.timezone != after.timezone || before.application_name != after.application_name;
  settings = std::move(changed);
  pool.limits = settings.limits;
  greeting = {};  // other parameters may be tracked now
  removed = false;
  if (!moved) return;
  ++generation;
  accepted_.clear();
  common.forget_accepted();  // each worker does: what one adds until then is of the old servers
  recycle_servers();
}

void PoolPart::open_server(pool::ServerCharge charge, pool::Charge connecting) {
  auto* server = new ServerSession(host, *this, std::move(charge), std::move(connecting));
  host.adopt(std::unique_ptr<ServerSession>(server));
  server->start();
}

bool PoolPart::tracked(std::string_view name) const {
  static constexpr std::string_view kAlways[] = {
      "client_encoding",  "DateStyle",   "TimeZone",     "standard_conforming_strings",
      "application_name", "search_path", "IntervalStyle"};
  const auto same = [name](std::string_view each) { return same_name(each, name); };
  return std::any_of(std::begin(kAlways), std::end(kAlways), same) ||
         std::any_of(host.settings().track_extra_parameters.begin(),
                     host.settings().track_extra_parameters.end(), same);
}

const std::string* PoolPart::accepted(std::string_view name, std::string_view value) {
  if (const std::string* known = accepted_.find(name, value)) return known;
  const std::optional<std::string> elsewhere = common.accepted(name, value);
  return elsewhere ? &accepted_.add(name, value, *elsewhere) : nullptr;
}

void PoolPart::accept(std::string_view name, std::string_view value, std::string_view as_reported) {
  greeting = {};
  accepted_.add(name, value, as_reported);
  common.accept(name, value, as_reported);
}

// ---- Once per tick ----------------------------------------------------------------------------

void PoolPart::tick(Instant now) {
  host.shared.listens.tick(*this);
  expire_clients(now);
  expire_waiters(now);
  expire_servers(now);
  if (!removed) pool.fill_if_used(now, !clients.empty() || settings.database.user.has_value());
  if (!pool.waiting().empty()) pool.touch();
}

// Idle ones have one limit only, and there may be thousands of them.
void PoolPart::expire_clients(Instant now) {
  if (settings.client_idle_timeout > Duration::zero()) {
    clients.each([now](ClientSession& client) {
      if (client.state() == ClientState::Idle) client.tick(now);
    });
  }
  servers.each([now](ServerSession& server) {
    if (ClientSession* client = server.client()) client->tick(now);
  });
}

void PoolPart::expire_waiters(Instant now) {
  pool.waiting().each([now](pool::Waiter& waiter) { waiter.waits_still(now); });
  if (settings.query_wait_timeout == Duration::zero()) return;
  while (!pool.waiting().empty()) {
    pool::Waiter& first = pool.waiting().front();
    if (now - first.waiting_since < settings.query_wait_timeout) return;
    first.waited_too_long();
  }
}

void PoolPart::expire_servers(Instant now) {
  const Duration idle_limit = host.settings().server_idle_timeout;
  const int size = std::max(1, settings.limits.pool_size);
  const Duration spread = settings.server_lifetime / size;
  servers.each([&](ServerSession& server) {
    server.tick(now);
    if (server.state() != ServerState::Idle) return;
    if (idle_limit > Duration::zero() && now - server.idle_since >= idle_limit &&
        pool.shared().servers.used() > settings.limits.min_pool_size) {
      server.retire("server idle timeout");
    } else if (settings.server_lifetime > Duration::zero() &&
               now - server.created_at >= settings.server_lifetime &&
               now - last_retired >= spread) {
      last_retired = now;
      server.retire("server lifetime over");
    }
  });
}

bool PoolPart::unused(Instant now) {
  if (!clients.empty()) empty_since = {};
  if (!clients.empty() || settings.limits.min_pool_size > 0) return false;
  if (!pool.waiting().empty()) return false;
  if (empty_since == Instant()) empty_since = now;
  const auto over = [&](Duration limit) {
    return limit > Duration::zero() && now - empty_since >= limit;
  };
  if (settings.from_fallback && over(host.settings().autodb_idle_timeout)) {
    servers.each([](ServerSession& server) {
      if (server.state() == ServerState::Idle) server.retire("its database is not used");
    });
    return servers.empty();
  }
  return servers.empty() && (removed || over(host.settings().pool_idle_timeout));
}

void PoolPart::recycle_servers() {
  servers.each([](ServerSession& server) {
    if (server.at_rest()) {
      server.retire("its settings are out of date");
    } else {
      server.close_when_free();
    }
  });
}

bool PoolPart::close_one_idle() {
  if (pool.idle().empty()) return false;
  auto& last = static_cast<ServerSession&>(pool.idle().back());
  last.retire("its slot is needed by another pool");
  return true;
}

}  // namespace doorman::session
