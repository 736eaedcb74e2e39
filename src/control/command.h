// The one table of what an operator can command, and how text becomes one of its lines.
//
// Every face (console, and later ones) works from it: who may do it, what it takes, what it is for.
// Nothing here runs anything; commands.h does.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "control/answer.h"
#include "control/tokens.h"

namespace doorman::control {

class Commands;

using Arguments = std::vector<std::string>;

enum class Access { Stats, Admin };  // stats_users and admin_users; admin_users only

enum class Takes { Nothing, MaybeOne, One, Assignment };  // Assignment: key = value, key TO value

struct Command {
  std::string_view name;    // one keyword or two
  std::string_view syntax;  // of what follows the name
  std::string_view help;
  Access access;
  Takes takes;
  Outcome (*run)(Commands& commands, const Arguments& arguments);
};

std::span<const Command> command_table();

struct Parsed {
  const Command* command;  // nullptr: there is no command in the text
  Arguments arguments = {};
};

std::variant<Parsed, Refusal> parse_command(const std::vector<Word>& words);

// The whole table as text for people.
std::string usage();

}  // namespace doorman::control
