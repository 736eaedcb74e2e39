// What a command of the operator comes back with.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "control/table.h"

namespace doorman::control {

// SQLSTATEs that only commands use.
namespace sqlstate {
inline constexpr std::string_view kNotInThatState = "55000";
inline constexpr std::string_view kConfigFile = "F0000";
}  // namespace sqlstate

struct Answer {
  std::string tag;  // of CommandComplete; empty: there was no command
  std::optional<Table> table = {};
  std::string notice = {};
  std::function<void()> afterwards = {};  // to be run once the answer is on its way
};

struct Refusal {
  std::string_view sqlstate;  // a literal
  std::string message;
  std::string hint = {};
};

using Reply = std::variant<Answer, Refusal>;

// The command waits for something: nullopt is "not yet, ask again".
using AskAgain = std::function<std::optional<Reply>()>;

using Outcome = std::variant<Answer, Refusal, AskAgain>;

inline Answer shown(Table table) {
  Answer answer;
  answer.tag = "SHOW";
  answer.table = std::move(table);
  return answer;
}

inline Answer done(std::string_view tag) {
  Answer answer;
  answer.tag = tag;
  return answer;
}

}  // namespace doorman::control
