// Commands: runs what an operator commands, for every face that it may come in by.
//
// Lives on the daemon's main thread and belongs to it. A command that has to wait (PAUSE) holds up
// nobody: it is asked again on each tick of the daemon.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "control/answer.h"
#include "control/command.h"
#include "control/stats.h"
#include "daemon/daemon.h"

namespace doorman::control {

inline constexpr std::string_view kConsoleDatabase = "pgbouncer";  // as its statistics call it
inline bool is_console(std::string_view database) {
  return database == kConsoleDatabase || database == "pg_doorman";
}

class Commands {
 public:
  using Done = std::function<void(const Reply&)>;

  explicit Commands(daemon::Daemon& daemon);
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;
  ~Commands();

  // `done` is called once: at once, or when the command has got what it waits for.
  void run(std::string_view user, std::string_view text, const Done& done);

  daemon::Daemon& daemon() { return daemon_; }
  const config::Config& config() const { return *daemon_.rules()->config; }
  const StatsHistory& history() const { return history_; }
  // Of now, with the console's own.
  Totals totals();

 private:
  struct Waiting {
    AskAgain ask;
    Done done;
  };

  Outcome outcome_of(std::string_view user, std::string_view text);
  void tick();
  std::string save() const;
  void load(std::string_view record);

  daemon::Daemon& daemon_;
  StatsHistory history_;
  Counters own_;  // commands are the queries of the console's database
  std::vector<Waiting> waiting_;
};

// By the rules in force.
bool is_admin(const config::Config& config, std::string_view user);
bool is_admitted(const config::Config& config, std::string_view user);

}  // namespace doorman::control
