#include "control/courtesy.h"

#include <algorithm>
#include <iterator>

namespace doorman::control {
namespace {

struct Fixed {
  std::string_view name;
  std::string_view value;
};

constexpr Fixed kFixed[] = {{"client_encoding", "UTF8"},
                            {"datestyle", "ISO"},
                            {"timezone", "GMT"},
                            {"standard_conforming_strings", "on"},
                            {"default_transaction_isolation", "read committed"}};

}  // namespace

std::optional<Answer> courtesy(const std::vector<Word>& words) {
  if (words.size() < 2) return std::nullopt;
  if (words.size() == 2 && is_keyword(words[0], "SELECT") && is_keyword(words[1], "1")) {
    Answer answer = shown({.columns = columns({{Type::Int4, "?column?"}}), .rows = {row(1)}});
    answer.tag = "SELECT 1";
    return answer;
  }
  const auto* fixed = std::find_if(std::begin(kFixed), std::end(kFixed), [&](const Fixed& each) {
    return lower(words[1].text) == each.name;
  });
  if (fixed == std::end(kFixed)) return std::nullopt;
  if (words.size() == 2 && is_keyword(words[0], "SHOW")) {
    return shown({.columns = columns({{Type::Text, fixed->name}}), .rows = {row(fixed->value)}});
  }
  const bool assigns = words.size() == 4 && is_keyword(words[0], "SET") &&
                       (is_symbol(words[2], '=') || is_keyword(words[2], "TO"));
  if (assigns) return done("SET");
  return std::nullopt;
}

}  // namespace doorman::control
