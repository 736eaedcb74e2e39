// The words of one console command.
//
// Blanks separate words; "=" and ";" are words of their own; "a name" and 'a value' are one word
// each, with the quote inside written twice; comments are skipped as in SQL; a ";" at the end is
// dropped. Knows no commands.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace doorman::control {

struct Word {
  std::string text;
  bool quoted = false;  // never a keyword or a symbol

  bool operator==(const Word&) const = default;
};

// The Error is for the operator: what was begun and not ended.
Result<std::vector<Word>> words_of(std::string_view text);

bool is_symbol(const Word& word, char symbol);
// Without regard to case; `keyword` is in capitals.
bool is_keyword(const Word& word, std::string_view keyword);

std::string upper(std::string_view text);
std::string lower(std::string_view text);

}  // namespace doorman::control
