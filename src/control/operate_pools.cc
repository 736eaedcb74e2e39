// The commands on databases and their connections: PAUSE and what is akin to it.
#include <algorithm>
#include <charconv>
#include <functional>
#include <memory>
#include <system_error>

#include "config/nearest.h"
#include "control/commands.h"
#include "control/operate.h"
#include "wire/error_response.h"

namespace doorman::control {
namespace {

using session::ClientSession;
using session::PoolPart;
using session::ServerSession;
using session::ServerState;

constexpr std::string_view kTerminated = "terminating connection due to administrator command";

using DatabaseRef = std::shared_ptr<pool::DatabaseShare>;

// The databases that a command is about: one, or all of them.
struct Scope {
  DatabaseRef one = nullptr;  // null: all

  bool includes(const PoolPart& part) const {
    return one == nullptr || &part.pool.shared().database == one.get();
  }
  std::vector<DatabaseRef> databases(Commands& commands) const {
    if (one != nullptr) return {one};
    return commands.daemon().registry().databases();
  }
  bool paused(Commands& commands) const {
    return one != nullptr ? one->paused.load() : commands.daemon().registry().all_paused();
  }
};

std::variant<Scope, Refusal> scope_of(Commands& commands, const Arguments& arguments) {
  if (arguments.empty()) return Scope();
  const std::string& name = arguments[0];
  if (is_console(name)) {
    return Refusal{.sqlstate = wire::sqlstate::kInvalidDatabase,
                   .message = "\"" + name + "\" is the console itself"};
  }
  if (!config::find_database(commands.config(), name)) {
    std::vector<std::string_view> names;
    for (const auto& [known, database] : commands.config().databases) names.push_back(known);
    return Refusal{
        .sqlstate = wire::sqlstate::kInvalidDatabase,
        .message = "there is no database \"" + name + "\"" + config::suggestion(name, names),
        .hint = "SHOW DATABASES lists them."};
  }
  return Scope{.one = commands.daemon().registry().database(name)};
}

void visit_parts(Commands& commands, const Scope& scope,
                 const std::function<void(PoolPart&)>& visit) {
  commands.daemon().visit_workers([&](daemon::Worker& worker) {
    worker.each_pool([&](PoolPart& part) {
      if (scope.includes(part)) visit(part);
    });
  });
}

Refusal refuse(std::string message) {
  return {.sqlstate = sqlstate::kNotInThatState, .message = std::move(message)};
}

void retire_idle(PoolPart& part, std::string_view reason) {
  part.servers.each([reason](ServerSession& server) {
    if (server.at_rest()) server.retire(reason);
  });
}

// Those that are logging in are let finish: ended in the middle, they would count as a failure of
// the server, and whoever waits would be refused after RESUME.
std::optional<Reply> paused_yet(Commands& commands, const Scope& scope) {
  if (commands.daemon().handed_on()) {
    return refuse("an upgrade came between: PAUSE is in force, but its servers may not be free");
  }
  if (!scope.paused(commands)) return refuse("resumed before all servers were free");
  visit_parts(commands, scope, [](PoolPart& part) { retire_idle(part, "paused"); });
  const std::vector<DatabaseRef> databases = scope.databases(commands);
  // The budget also has servers that are on their way from one worker to another.
  const bool busy = std::any_of(databases.begin(), databases.end(),
                                [](const DatabaseRef& each) { return each->servers.used() > 0; });
  if (busy) return std::nullopt;
  return done("PAUSE");
}

void end_clients_and_servers(PoolPart& part) {
  part.clients.each(
      [](ClientSession& client) { client.fail(wire::sqlstate::kAdminShutdown, kTerminated); });
  part.servers.each([](ServerSession& server) {
    if (server.state() == ServerState::Idle) {
      server.retire("killed");
    } else {
      server.fail("", "killed");
    }
  });
  // A login that was cut short by us says nothing about the server.
  part.pool.shared().recovered();
}

}  // namespace

Outcome pause(Commands& commands, const Arguments& arguments) {
  auto scope = scope_of(commands, arguments);
  if (auto* refusal = std::get_if<Refusal>(&scope)) return std::move(*refusal);
  const Scope which = *std::get_if<Scope>(&scope);
  if (which.paused(commands)) return refuse("already paused");
  if (which.one != nullptr) {
    commands.daemon().registry().set_paused(which.one, true);
  } else {
    commands.daemon().registry().pause_all(true);
  }
  return AskAgain([&commands, which] { return paused_yet(commands, which); });
}

Outcome resume(Commands& commands, const Arguments& arguments) {
  auto scope = scope_of(commands, arguments);
  if (auto* refusal = std::get_if<Refusal>(&scope)) return std::move(*refusal);
  const Scope which = *std::get_if<Scope>(&scope);
  if (commands.daemon().ending() != daemon::Ending::None) return refuse("shutting down");
  const std::vector<DatabaseRef> databases = which.databases(commands);
  const bool any = std::any_of(databases.begin(), databases.end(),
                               [](const DatabaseRef& each) { return each->paused.load(); });
  if (!any && !which.paused(commands)) return refuse("not paused");
  if (which.one != nullptr) {
    commands.daemon().registry().set_paused(which.one, false);
  } else {
    commands.daemon().registry().pause_all(false);
  }
  visit_parts(commands, which, [](PoolPart& part) { part.pool.touch(); });
  return done("RESUME");
}

Outcome disable(Commands& commands, const Arguments& arguments) {
  auto scope = scope_of(commands, arguments);
  if (auto* refusal = std::get_if<Refusal>(&scope)) return std::move(*refusal);
  commands.daemon().registry().set_disabled(std::get_if<Scope>(&scope)->one, true);
  return done("DISABLE");
}

Outcome enable(Commands& commands, const Arguments& arguments) {
  auto scope = scope_of(commands, arguments);
  if (auto* refusal = std::get_if<Refusal>(&scope)) return std::move(*refusal);
  commands.daemon().registry().set_disabled(std::get_if<Scope>(&scope)->one, false);
  return done("ENABLE");
}

Outcome reconnect(Commands& commands, const Arguments& arguments) {
  auto scope = scope_of(commands, arguments);
  if (auto* refusal = std::get_if<Refusal>(&scope)) return std::move(*refusal);
  visit_parts(commands, *std::get_if<Scope>(&scope),
              [](PoolPart& part) { part.recycle_servers(); });
  return done("RECONNECT");
}

Outcome wait_close(Commands& commands, const Arguments& arguments) {
  auto scope = scope_of(commands, arguments);
  if (auto* refusal = std::get_if<Refusal>(&scope)) return std::move(*refusal);
  const Scope which = *std::get_if<Scope>(&scope);
  return AskAgain([&commands, which]() -> std::optional<Reply> {
    bool busy = false;
    visit_parts(commands, which, [&busy](PoolPart& part) {
      part.servers.each([&busy](ServerSession& server) {
        if (!server.close_needed()) return;
        if (server.at_rest()) {
          server.retire("its settings are out of date");
        } else {
          busy = true;
        }
      });
    });
    if (busy) return std::nullopt;
    return done("WAIT_CLOSE");
  });
}

Outcome kill(Commands& commands, const Arguments& arguments) {
  auto scope = scope_of(commands, arguments);
  if (auto* refusal = std::get_if<Refusal>(&scope)) return std::move(*refusal);
  const Scope which = *std::get_if<Scope>(&scope);
  if (which.one != nullptr) {
    commands.daemon().registry().set_paused(which.one, true);
  } else {
    commands.daemon().registry().pause_all(true);
  }
  visit_parts(commands, which, end_clients_and_servers);
  return done("KILL");
}

Outcome kill_client(Commands& commands, const Arguments& arguments) {
  std::string_view text = arguments[0];
  const bool hex = text.starts_with("0x");  // as the column ptr has it
  if (hex) text.remove_prefix(2);
  std::uint64_t id = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), id, hex ? 16 : 10);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) {
    return Refusal{.sqlstate = wire::sqlstate::kInvalidParameterValue,
                   .message = "\"" + arguments[0] + "\" is no client's id",
                   .hint = "SHOW CLIENTS has it in its last column."};
  }
  bool found = false;
  commands.daemon().visit_workers([&found, id](daemon::Worker& worker) {
    ClientSession* client = worker.find_client(id);
    if (client == nullptr) return;
    found = true;
    client->fail(wire::sqlstate::kAdminShutdown, kTerminated);
  });
  if (!found) {
    return Refusal{.sqlstate = wire::sqlstate::kUndefinedObject,
                   .message = "there is no client " + arguments[0]};
  }
  return done("KILL_CLIENT");
}

}  // namespace doorman::control
