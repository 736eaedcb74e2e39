#include "wire/sql_tokens.h"

#include <algorithm>

#include "base/check.h"
#include "wire/sql_unicode.h"

namespace doorman::wire {

namespace {

bool is_high(char c) { return (static_cast<unsigned char>(c) & 0x80U) != 0; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool starts_word(char c) { return is_letter(c) || c == '_' || is_high(c); }
bool is_newline(char c) { return c == '\n' || c == '\r'; }
bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
char capital(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
char small(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_keyword(std::string_view text, std::string_view keyword) {
  return std::equal(text.begin(), text.end(), keyword.begin(), keyword.end(),
                    [](char a, char b) { return capital(a) == b; });
}

// "a""b" is a"b.
std::string unquoted(std::string_view text) {
  std::string name;
  for (std::size_t i = 1; i + 1 < text.size(); ++i) {
    name.push_back(text[i]);
    if (text[i] == '"') ++i;
  }
  return name;
}

}  // namespace

bool SqlToken::is(std::string_view keyword) const {
  return kind == SqlKind::Word && same_keyword(text, keyword);
}

SqlDialect SqlDialect::of(std::string_view client_encoding, bool standard_conforming_strings) {
  SqlDialect dialect;
  dialect.standard_conforming_strings = standard_conforming_strings;
  const auto is = [&](std::string_view name) { return same_keyword(client_encoding, name); };
  if (is("SJIS") || is("SHIFT_JIS_2004")) {
    dialect.encoding = Encoding::Sjis;
  } else if (is("BIG5") || is("GBK") || is("UHC") || is("JOHAB") || is("GB18030")) {
    dialect.encoding = Encoding::Pairs;
  } else if (!client_encoding.empty() && !is("UTF8") && !is("SQL_ASCII")) {
    dialect.encoding = Encoding::Bytes;
  }
  return dialect;
}

std::size_t SqlTokens::character(std::size_t index) const {
  const auto byte = static_cast<unsigned char>(at(index));
  bool pair = false;
  switch (dialect_.encoding) {
    case SqlDialect::Encoding::Utf8:
    case SqlDialect::Encoding::Bytes: break;
    case SqlDialect::Encoding::Sjis:
      pair = (byte >= 0x81 && byte <= 0x9f) || (byte >= 0xe0 && byte <= 0xfc);
      break;
    case SqlDialect::Encoding::Pairs: pair = byte >= 0x80; break;
  }
  return std::min<std::size_t>(pair ? 2 : 1, sql_.size() - index);
}

bool SqlTokens::next_statement() {
  while (inside_) next();
  while (true) {
    SqlTokens ahead = *this;
    const SqlToken token = ahead.next();
    if (token.kind == SqlKind::End) return false;
    if (token.kind != SqlKind::Semicolon) return true;
    *this = ahead;
  }
}

SqlToken SqlTokens::next() {
  SqlToken token;
  if (!skip_blanks()) {
    token = {.kind = SqlKind::Invalid, .text = sql_.substr(at_)};
    at_ = sql_.size();
  } else if (at_ < sql_.size()) {
    const std::size_t start = at_;
    token.kind = scan();
    CHECK(at_ > start && at_ <= sql_.size());
    token.text = sql_.substr(start, at_ - start);
    const bool ends = token.is(';') && parentheses_ == 0 && body_ == 0;
    if (ends) token.kind = SqlKind::Semicolon;
  }
  follow(token);
  return token;
}

// Keeps what decides whether a ";" ends the statement.
void SqlTokens::follow(const SqlToken& token) {
  if (token.kind == SqlKind::Semicolon || token.kind == SqlKind::End) {
    inside_ = false;
    routine_ = Routine::No;
    parentheses_ = 0;
    body_ = 0;
    return;
  }
  const bool first = !inside_;
  inside_ = true;
  if (token.is('(')) ++parentheses_;
  if (token.is(')') && parentheses_ > 0) --parentheses_;
  if (body_ > 0) {
    if (token.is("CASE")) ++body_;
    if (token.is("END")) --body_;
    return;
  }
  const Routine before = routine_;
  switch (before) {
    case Routine::No:
      if (first && token.is("CREATE")) routine_ = Routine::Create;
      break;
    case Routine::Create:
    case Routine::CreateOr:
      routine_ = token.is("FUNCTION") || token.is("PROCEDURE") ? Routine::Yes : Routine::No;
      if (before == Routine::Create && token.is("OR")) routine_ = Routine::CreateOr;
      if (before == Routine::CreateOr && token.is("REPLACE")) routine_ = Routine::CreateOr;
      break;
    case Routine::Begin:
      routine_ = Routine::Yes;
      if (token.is("ATOMIC")) body_ = 1;
      if (token.is("BEGIN")) routine_ = Routine::Begin;
      break;
    case Routine::Yes:
      if (token.is("BEGIN")) routine_ = Routine::Begin;
      break;
  }
}

bool SqlTokens::skip_blanks() {
  while (at_ < sql_.size()) {
    if (is_blank(sql_[at_])) {
      ++at_;
    } else if (at(at_) == '-' && at(at_ + 1) == '-') {
      while (at_ < sql_.size() && !is_newline(sql_[at_])) at_ += character(at_);
    } else if (at(at_) == '/' && at(at_ + 1) == '*') {
      if (!skip_comment()) return false;
    } else {
      break;
    }
  }
  return true;
}

bool SqlTokens::skip_comment() {
  const std::size_t start = at_;
  std::size_t depth = 0;
  while (at_ < sql_.size()) {
    if (at(at_) == '/' && at(at_ + 1) == '*') {
      at_ += 2;
      ++depth;
    } else if (at(at_) == '*' && at(at_ + 1) == '/') {
      at_ += 2;
      if (--depth == 0) return true;
    } else {
      at_ += character(at_);
    }
  }
  at_ = start;
  return false;
}

SqlKind SqlTokens::scan() {
  const char c = sql_[at_];
  const char then = at(at_ + 1);
  switch (c) {
    case '\'': ++at_; return scan_string(!dialect_.standard_conforming_strings);
    case '"': ++at_; return skip_quoted('"', false) ? SqlKind::Quoted : SqlKind::Invalid;
    case '$': return scan_dollar();
    case 'e':
    case 'E':
    case 'b':
    case 'B':
    case 'x':
    case 'X':
      if (then != '\'') break;
      at_ += 2;
      return scan_string(capital(c) == 'E');
    case 'u':
    case 'U':
      if (then != '&' || (at(at_ + 2) != '"' && at(at_ + 2) != '\'')) break;
      at_ += 3;
      if (sql_[at_ - 1] == '\'') return scan_string(false);
      return skip_quoted('"', false) ? SqlKind::Unicode : SqlKind::Invalid;
    default: break;
  }
  if (starts_word(c)) return scan_word();
  if (is_digit(c) || (c == '.' && is_digit(then))) {
    while (is_digit(at(at_)) || is_letter(at(at_)) || at(at_) == '_' || at(at_) == '.') ++at_;
    return SqlKind::Number;
  }
  ++at_;
  return SqlKind::Symbol;
}

SqlKind SqlTokens::scan_word() {
  while (at_ < sql_.size() && (starts_word(sql_[at_]) || is_digit(sql_[at_]) || sql_[at_] == '$')) {
    at_ += character(at_);
  }
  return SqlKind::Word;
}

SqlKind SqlTokens::scan_dollar() {
  const std::size_t start = at_++;
  if (is_digit(at(at_))) {
    while (is_digit(at(at_))) ++at_;
    return SqlKind::Parameter;
  }
  if (starts_word(at(at_))) {
    while (at_ < sql_.size() && (starts_word(sql_[at_]) || is_digit(sql_[at_]))) {
      at_ += character(at_);
    }
  }
  if (at(at_) != '$') {
    at_ = start + 1;
    return SqlKind::Symbol;
  }
  ++at_;
  const std::string_view tag = sql_.substr(start, at_ - start);
  // Character by character, for in some encodings a "$" may be a half of one.
  while (at_ < sql_.size()) {
    if (sql_[at_] == '$' && sql_.substr(at_, tag.size()) == tag) {
      at_ += tag.size();
      return SqlKind::String;
    }
    at_ += character(at_);
  }
  return SqlKind::Invalid;
}

// From after the opening quote, to the end of the last line that continues it.
SqlKind SqlTokens::scan_string(bool escapes) {
  do {
    if (!skip_quoted('\'', escapes)) return SqlKind::Invalid;
  } while (skip_to_continuation());
  return SqlKind::String;
}

bool SqlTokens::skip_quoted(char quote, bool escapes) {
  while (at_ < sql_.size()) {
    const char c = sql_[at_];
    if (c == quote) {
      ++at_;
      if (at(at_) != quote) return true;
      ++at_;
      continue;
    }
    if (escapes && c == '\\' && at_ + 1 < sql_.size()) ++at_;
    at_ += character(at_);
  }
  return false;
}

// A string goes on after a line's end, with only blanks and comments of the "--" kind between.
bool SqlTokens::skip_to_continuation() {
  bool newline = false;
  for (std::size_t i = at_; i < sql_.size();) {
    if (is_blank(sql_[i])) {
      newline = newline || is_newline(sql_[i]);
      ++i;
    } else if (sql_[i] == '-' && at(i + 1) == '-') {
      while (i < sql_.size() && !is_newline(sql_[i])) i += character(i);
    } else {
      if (!newline || sql_[i] != '\'') return false;
      at_ = i + 1;
      return true;
    }
  }
  return false;
}

std::optional<std::string> SqlTokens::name() {
  SqlTokens ahead = *this;
  const SqlToken token = ahead.next();
  std::string name;
  if (token.kind == SqlKind::Word) {
    name = token.text;
    std::transform(name.begin(), name.end(), name.begin(), small);
  } else if (token.kind == SqlKind::Quoted) {
    name = unquoted(token.text);
  } else if (token.kind == SqlKind::Unicode) {
    const std::optional<char> escape = ahead.unicode_escape();
    if (!escape) return std::nullopt;
    auto decoded = decode_unicode_escapes(unquoted(token.text.substr(2)), *escape);
    if (!decoded) return std::nullopt;
    name = std::move(*decoded);
  } else {
    return std::nullopt;
  }
  if (name.empty()) return std::nullopt;
  cut_name(name);
  *this = ahead;
  return name;
}

// UESCAPE '!' after a Unicode token; "\" without it.
std::optional<char> SqlTokens::unicode_escape() {
  SqlTokens ahead = *this;
  if (!ahead.next().is("UESCAPE")) return '\\';
  const SqlToken value = ahead.next();
  if (value.kind != SqlKind::String || value.text.size() != 3) return std::nullopt;
  *this = ahead;
  return value.text[1];
}

void SqlTokens::cut_name(std::string& name) const {
  if (name.size() <= kMaxName) return;
  std::size_t size = kMaxName;
  if (dialect_.encoding == SqlDialect::Encoding::Utf8) {
    // No character has more than three bytes behind its first; more are no UTF-8.
    while (size > kMaxName - 3 && (static_cast<unsigned char>(name[size]) & 0xc0U) == 0x80) --size;
  } else {
    std::size_t whole = 0;
    SqlTokens characters(name, dialect_);
    while (whole + characters.character(whole) <= kMaxName) whole += characters.character(whole);
    size = whole;
  }
  name.resize(size);
}

}  // namespace doorman::wire
