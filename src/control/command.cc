#include "control/command.h"

#include <algorithm>
#include <array>

#include "config/nearest.h"
#include "control/operate.h"
#include "control/show.h"
#include "wire/error_response.h"

namespace doorman::control {
namespace {

using enum Access;
using enum Takes;

const auto listed = std::to_array<Command>({
    {"SHOW HELP", "", "this list", Stats, Nothing, show_help},
    {"SHOW VERSION", "", "the version of the program", Stats, Nothing, show_version},
    {"SHOW STATE", "", "whether it is paused", Stats, Nothing, show_state},
    {"SHOW CONFIG", "", "the settings in force", Stats, Nothing, show_config},
    {"SHOW DATABASES", "", "databases, their limits and use", Stats, Nothing, show_databases},
    {"SHOW USERS", "", "users, their limits and use", Stats, Nothing, show_users},
    {"SHOW POOLS", "", "a line for each database and user", Stats, Nothing, show_pools},
    {"SHOW CLIENTS", "", "connections of clients", Stats, Nothing, show_clients},
    {"SHOW SERVERS", "", "connections to servers", Stats, Nothing, show_servers},
    {"SHOW LISTS", "", "how many there are of what", Stats, Nothing, show_lists},
    {"SHOW STATS", "", "totals and averages of each database", Stats, Nothing, show_stats},
    {"SHOW STATS_TOTALS", "", "totals of each database", Stats, Nothing, show_stats_totals},
    {"SHOW STATS_AVERAGES", "", "averages over the last stats_period", Stats, Nothing,
     show_stats_averages},
    {"SHOW TOTALS", "", "totals and averages of all databases", Stats, Nothing, show_totals},
    {"SHOW STATEMENTS", "", "prepared statements of each database and user", Stats, Nothing,
     show_statements},
    {"SHOW UPGRADES", "", "upgrades of the running process", Stats, Nothing, show_upgrades},
    {"SHOW DNS_HOSTS", "", "host names that were looked up", Stats, Nothing, show_dns_hosts},
    {"SHOW DNS_ZONES", "", "always empty: zones are not watched", Stats, Nothing, show_dns_zones},
    {"SHOW PEERS", "", "always empty: there are no peers", Stats, Nothing, show_peers},
    {"SHOW PEER_POOLS", "", "always empty: there are no peers", Stats, Nothing, show_peer_pools},
    {"SHOW STASH", "", "what outlives the death of this process", Stats, Nothing, show_stash},
    {"SHOW MEM", "", "what sessions and buffers take", Stats, Nothing, show_mem},
    {"SET", "key = value", "change a setting until the next reload", Admin, Assignment, set},
    {"RELOAD", "", "read the configuration again", Admin, Nothing, reload},
    {"PAUSE", "[database]", "wait until its servers are free, and close them", Admin, MaybeOne,
     pause},
    {"RESUME", "[database]", "go on after PAUSE or KILL", Admin, MaybeOne, resume},
    {"DISABLE", "database", "refuse new clients", Admin, One, disable},
    {"ENABLE", "database", "take new clients again", Admin, One, enable},
    {"RECONNECT", "[database]", "close each server as soon as it is free", Admin, MaybeOne,
     reconnect},
    {"WAIT_CLOSE", "[database]", "wait until RECONNECT and RELOAD have closed theirs", Admin,
     MaybeOne, wait_close},
    {"KILL", "[database]", "end its clients and servers now; stays paused", Admin, MaybeOne, kill},
    {"KILL_CLIENT", "id", "end one client (id as in SHOW CLIENTS)", Admin, One, kill_client},
    {"UPGRADE", "", "hand everything over to the installed program", Admin, Nothing, upgrade},
    {"SHUTDOWN", "[WAIT_FOR_CLIENTS | WAIT_FOR_SERVERS]", "end the process", Admin, MaybeOne,
     shutdown},
});

std::vector<std::string_view> split(std::string_view name) {
  const std::size_t blank = name.find(' ');
  if (blank == std::string_view::npos) return {name};
  return {name.substr(0, blank), name.substr(blank + 1)};
}

// SELECT x is SHOW x, x() too, since some programs can only SELECT.
bool is_named(const std::vector<Word>& words, std::string_view name) {
  const std::vector<std::string_view> parts = split(name);
  if (words.size() < parts.size()) return false;
  const bool selected =
      parts.front() == "SHOW" && words.size() == 2 && is_keyword(words.front(), "SELECT");
  if (!selected && !is_keyword(words.front(), parts.front())) return false;
  if (parts.size() == 1) return true;
  if (is_keyword(words[1], parts[1])) return true;
  return selected && is_keyword(words[1], std::string(parts[1]) + "()");
}

// A word for a message: nobody needs more of it.
std::string shortened(const std::string& text) {
  static constexpr std::size_t kEnough = 64;
  return text.size() <= kEnough ? text : text.substr(0, kEnough) + "...";
}

Refusal syntax_error(std::string message) {
  return {.sqlstate = wire::sqlstate::kSyntaxError,
          .message = std::move(message),
          .hint = "SHOW HELP lists all commands."};
}

Refusal unknown(const std::vector<Word>& words) {
  std::string typed = shortened(upper(words.front().text));
  const bool show = typed == "SHOW" || typed == "SELECT";
  if (show && words.size() == 1) return syntax_error(typed + " what?");
  std::vector<std::string_view> names;
  for (const Command& command : listed) {
    const std::vector<std::string_view> parts = split(command.name);
    if ((parts.front() == "SHOW") == show) names.push_back(parts.back());
  }
  if (show) typed = shortened(upper(words[1].text));
  const std::string_view meant = config::nearest(typed, names);
  const std::string before = show ? "SHOW " : "";
  std::string message = "unknown command \"" + before + typed + "\"";
  if (!meant.empty()) message += "; did you mean \"" + before + std::string(meant) + "\"?";
  return syntax_error(std::move(message));
}

Refusal wrong_arguments(const Command& command) {
  std::string expected(command.name);
  if (!command.syntax.empty()) expected += " " + std::string(command.syntax);
  return syntax_error("wrong arguments; expected: " + expected);
}

bool fits(Takes takes, const std::vector<Word>& given) {
  for (const Word& word : given) {
    if (is_symbol(word, ';')) return false;
    if (takes != Assignment && is_symbol(word, '=')) return false;
  }
  switch (takes) {
    case Nothing: return given.empty();
    case MaybeOne: return given.size() <= 1;
    case One: return given.size() == 1;
    case Assignment:
      return given.size() == 3 && (is_symbol(given[1], '=') || is_keyword(given[1], "TO")) &&
             !is_symbol(given[0], '=') && !is_symbol(given[2], '=');
  }
  return false;
}

}  // namespace

std::span<const Command> command_table() { return listed; }

std::variant<Parsed, Refusal> parse_command(const std::vector<Word>& words) {
  if (words.empty()) return Parsed{.command = nullptr};
  const auto* command = std::find_if(listed.begin(), listed.end(), [&words](const Command& each) {
    return is_named(words, each.name);
  });
  if (command == listed.end()) return unknown(words);
  const auto own = static_cast<std::ptrdiff_t>(split(command->name).size());
  const std::vector<Word> given(words.begin() + own, words.end());
  if (std::any_of(given.begin(), given.end(), [](const Word& w) { return is_symbol(w, ';'); })) {
    return syntax_error("one command at a time, please");
  }
  if (!fits(command->takes, given)) return wrong_arguments(*command);
  Parsed parsed = {.command = command};
  for (const Word& word : given) parsed.arguments.push_back(word.text);
  if (command->takes == Assignment) parsed.arguments.erase(parsed.arguments.begin() + 1);
  return parsed;
}

std::string usage() {
  std::string text = "Commands:";
  for (const Command& command : listed) {
    std::string line = "\n  " + std::string(command.name);
    if (!command.syntax.empty()) line += " " + std::string(command.syntax);
    static constexpr std::size_t kHelpAt = 52;
    line.resize(std::max(line.size() + 2, kHelpAt), ' ');
    text += line + std::string(command.help);
  }
  return text;
}

}  // namespace doorman::control
