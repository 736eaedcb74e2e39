// The commands that only show something. On the main thread.
#pragma once

#include <set>
#include <string>

#include "control/command.h"

namespace doorman::control {

// show_process.cc
Outcome show_help(Commands& commands, const Arguments& arguments);
Outcome show_version(Commands& commands, const Arguments& arguments);
Outcome show_state(Commands& commands, const Arguments& arguments);
Outcome show_config(Commands& commands, const Arguments& arguments);
Outcome show_lists(Commands& commands, const Arguments& arguments);
Outcome show_mem(Commands& commands, const Arguments& arguments);
Outcome show_upgrades(Commands& commands, const Arguments& arguments);
Outcome show_stash(Commands& commands, const Arguments& arguments);
Outcome show_dns_hosts(Commands& commands, const Arguments& arguments);
Outcome show_dns_zones(Commands& commands, const Arguments& arguments);
Outcome show_peers(Commands& commands, const Arguments& arguments);
Outcome show_peer_pools(Commands& commands, const Arguments& arguments);

// show_pools.cc
std::set<std::string> known_users(Commands& commands);
Outcome show_databases(Commands& commands, const Arguments& arguments);
Outcome show_users(Commands& commands, const Arguments& arguments);
Outcome show_pools(Commands& commands, const Arguments& arguments);

// show_sessions.cc
Outcome show_clients(Commands& commands, const Arguments& arguments);
Outcome show_servers(Commands& commands, const Arguments& arguments);

// show_stats.cc
Outcome show_stats(Commands& commands, const Arguments& arguments);
Outcome show_stats_totals(Commands& commands, const Arguments& arguments);
Outcome show_stats_averages(Commands& commands, const Arguments& arguments);
Outcome show_totals(Commands& commands, const Arguments& arguments);

// show_statements.cc
Outcome show_statements(Commands& commands, const Arguments& arguments);

}  // namespace doorman::control
