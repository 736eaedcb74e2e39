// Console: the operator's commands as a database that one can log in to with psql.
//
// Simple queries only. Translates: a query becomes a command on the daemon's main thread, what it
// comes back with becomes messages on the client's worker. Decides nothing.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "control/commands.h"
#include "daemon/daemon.h"
#include "session/host.h"

namespace doorman::control {

// Whole messages, ReadyForQuery included.
std::string messages_of(const Reply& reply);

class Console final : public session::LocalDatabase {
 public:
  explicit Console(daemon::Daemon& daemon) : daemon_(daemon), commands_(daemon) {}

  Commands& commands() { return commands_; }

  // session::LocalDatabase, on the threads of workers
  bool serves(std::string_view database) const override { return is_console(database); }
  bool admits(const config::Config& config, std::string_view user) const override {
    return is_admitted(config, user);
  }
  void query(session::Host& host, std::string_view user, std::string sql,
             std::function<void(std::string)> reply) override;

 private:
  daemon::Daemon& daemon_;
  Commands commands_;
};

}  // namespace doorman::control
