#include "config/connection_string.h"

#include "config/value.h"

namespace doorman::config {
namespace {

constexpr std::string_view kBlanks = " \t\v\f\r\n";

bool is_blank(char c) { return kBlanks.find(c) != std::string_view::npos; }

std::string_view without_blanks(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(kBlanks), text.size()));
}

// Takes a quoted value off the front of `text`.
Result<std::string> take_quoted(std::string_view& text, const std::string& key) {
  std::string value;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] != '\'') {
      value += text[i];
    } else if (text.substr(i, 2) == "''") {
      value += text[i++];
    } else {
      text.remove_prefix(i + 1);
      if (text.empty() || is_blank(text.front())) return value;
      return Error{ErrorCode::Config, key + ": no blank after the closing quote"};
    }
  }
  return Error{ErrorCode::Config, key + ": no closing quote"};
}

std::string take_plain(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_of(kBlanks), text.size());
  std::string value(text.substr(0, end));
  text.remove_prefix(end);
  return value;
}

}  // namespace

Result<std::vector<Pair>> split_connection_string(std::string_view text) {
  std::vector<Pair> pairs;
  while (!(text = without_blanks(text)).empty()) {
    const std::size_t end = text.find_first_of("= \t\v\f\r");
    std::string key(text.substr(0, std::min(end, text.size())));
    text = without_blanks(text.substr(key.size()));
    if (key.empty()) return Error{ErrorCode::Config, "a = without a key"};
    if (!text.starts_with('=')) {
      // Without the word itself: it may be the second half of a password with a blank.
      return Error{ErrorCode::Config,
                   "expected key=value pairs with blanks between them; the one after " +
                       (pairs.empty() ? "the beginning" : pairs.back().key) + " has no ="};
    }
    text = without_blanks(text.substr(1));
    std::string value = text.starts_with('\'') ? TRY(take_quoted(text, key)) : take_plain(text);
    if (value.empty()) return Error{ErrorCode::Config, key + " has no value"};
    pairs.push_back({std::move(key), std::move(value)});
  }
  return pairs;
}

}  // namespace doorman::config
