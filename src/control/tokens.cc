#include "control/tokens.h"

#include <algorithm>

namespace doorman::control {
namespace {

constexpr std::string_view kBlank = " \t\r\n\v\f";
constexpr std::string_view kEndsWord = " \t\r\n\v\f=;\"'";

bool is_blank(char c) { return kBlank.find(c) != std::string_view::npos; }

// The text between two of `text`'s first character; takes it off the front.
Result<std::string> take_quoted(std::string_view& text) {
  const char quote = text.front();
  std::string found;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == quote) {
      if (i + 1 == text.size() || text[i + 1] != quote) {
        text.remove_prefix(i + 1);
        return found;
      }
      ++i;
    }
    found.push_back(text[i]);
  }
  return Error{ErrorCode::Protocol, std::string("a quote (") + quote + ") is not closed"};
}

// A comment at the front goes; they nest, as in SQL. False: there was none.
Result<bool> skip_comment(std::string_view& text) {
  if (text.starts_with("--")) {
    text.remove_prefix(std::min(text.find('\n'), text.size()));
    return true;
  }
  if (!text.starts_with("/*")) return false;
  int depth = 0;
  do {
    if (text.empty()) return Error{ErrorCode::Protocol, "a comment (/*) is not closed"};
    const bool opens = text.starts_with("/*");
    const bool closes = text.starts_with("*/");
    depth += (opens ? 1 : 0) - (closes ? 1 : 0);
    text.remove_prefix(opens || closes ? 2 : 1);
  } while (depth > 0);
  return true;
}

}  // namespace

Result<std::vector<Word>> words_of(std::string_view text) {
  std::vector<Word> words;
  while (!text.empty()) {
    if (is_blank(text.front())) {
      text.remove_prefix(1);
      continue;
    }
    if (TRY(skip_comment(text))) continue;
    const char first = text.front();
    if (first == '"' || first == '\'') {
      words.push_back({.text = TRY(take_quoted(text)), .quoted = true});
      continue;
    }
    const bool symbol = first == '=' || first == ';';
    const std::size_t size = symbol ? 1 : std::min(text.find_first_of(kEndsWord), text.size());
    words.push_back({.text = std::string(text.substr(0, size)), .quoted = false});
    text.remove_prefix(size);
  }
  while (!words.empty() && is_symbol(words.back(), ';')) words.pop_back();
  return words;
}

bool is_symbol(const Word& word, char symbol) {
  return !word.quoted && word.text.size() == 1 && word.text.front() == symbol;
}

bool is_keyword(const Word& word, std::string_view keyword) {
  return !word.quoted && upper(word.text) == keyword;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace doorman::control
