// The commands on the process as a whole: settings, reload, end.
#include "control/operate.h"

#include "base/log.h"
#include "config/table.h"
#include "control/commands.h"
#include "wire/error_response.h"

namespace doorman::control {

Outcome set(Commands& commands, const Arguments& arguments) {
  daemon::Daemon& daemon = commands.daemon();
  const std::string key = lower(arguments[0]);
  auto config = std::make_shared<config::Config>(commands.config());
  if (auto changed = config::set(config->settings, key, arguments[1]); !changed) {
    const bool known = config::find_setting(key) != nullptr;
    return Refusal{.sqlstate = known ? wire::sqlstate::kInvalidParameterValue
                                     : wire::sqlstate::kUndefinedObject,
                   .message = "SET failed: " + changed.error().message,
                   .hint = "SHOW CONFIG lists the settings and their values."};
  }
  auto rules = std::make_shared<session::Rules>(*daemon.rules());
  rules->config = std::move(config);
  daemon.set_rules(std::move(rules));
  daemon.remember_set(key, arguments[1]);
  return done("SET");
}

Outcome reload(Commands& commands, const Arguments& /*arguments*/) {
  if (auto reloaded = commands.daemon().reload(); !reloaded) {
    log(LogLevel::Error, "RELOAD failed: {}", reloaded.error().message);
    return Refusal{.sqlstate = sqlstate::kConfigFile,
                   .message = "RELOAD failed, nothing has changed: " + reloaded.error().message};
  }
  return done("RELOAD");
}

Outcome upgrade(Commands& commands, const Arguments& /*arguments*/) {
  auto verdict = std::make_shared<std::optional<daemon::Verdict>>();
  auto begun = commands.daemon().upgrade([verdict](const daemon::Verdict& v) { *verdict = v; });
  const auto refusal = [](const std::string& why) {
    return Refusal{.sqlstate = sqlstate::kNotInThatState, .message = "UPGRADE failed: " + why};
  };
  if (!begun) return refusal(begun.error().message);
  return AskAgain([verdict, refusal]() -> std::optional<Reply> {
    if (!*verdict) return std::nullopt;
    if (!(*verdict)->done) return refusal((*verdict)->text);
    Answer answer = done("UPGRADE");
    answer.notice = (*verdict)->text;
    return answer;
  });
}

// The answer goes out first: with the process, the console ends.
Outcome shutdown(Commands& commands, const Arguments& arguments) {
  daemon::Ending how = daemon::Ending::AtOnce;
  if (!arguments.empty()) {
    const std::string word = upper(arguments[0]);
    if (word == "WAIT_FOR_CLIENTS") {
      how = daemon::Ending::WaitForClients;
    } else if (word == "WAIT_FOR_SERVERS") {
      how = daemon::Ending::WaitForServers;
    } else {
      return Refusal{.sqlstate = wire::sqlstate::kSyntaxError,
                     .message = "SHUTDOWN takes WAIT_FOR_CLIENTS, WAIT_FOR_SERVERS or nothing"};
    }
  }
  daemon::Daemon& daemon = commands.daemon();
  if (how <= daemon.ending()) {
    return Refusal{.sqlstate = sqlstate::kNotInThatState, .message = "already shutting down"};
  }
  Answer answer = done("SHUTDOWN");
  answer.afterwards = [&daemon, how] {
    // Whoever has no server by now gets none any more.
    if (how == daemon::Ending::WaitForServers) daemon.registry().pause_all(true);
    daemon.stay_down();
    daemon.end(how);
  };
  return answer;
}

}  // namespace doorman::control
