#include "session/sql_names.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace doorman::session {

namespace {

using wire::SqlKind;
using wire::SqlToken;
using wire::SqlTokens;

constexpr std::string_view kBlanks = " \t\n\r\f\v";

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

char folded(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool begins_with(std::string_view text, std::string_view word) {
  return text.size() >= word.size() && std::equal(word.begin(), word.end(), text.begin(),
                                                  [](char w, char t) { return w == folded(t); });
}

bool ends_statement(const SqlToken& token) {
  return token.kind == SqlKind::Semicolon || token.kind == SqlKind::End ||
         token.kind == SqlKind::Invalid;
}

class Reader {
 public:
  Reader(std::string_view sql, wire::SqlDialect dialect) : tokens_(sql, dialect) {}

  std::vector<SqlName> read() {
    while (tokens_.next_statement()) statement();
    return std::move(found_);
  }

 private:
  void statement() {
    const SqlToken first = tokens_.next();
    if (first.is("DEALLOCATE")) {
      deallocate();
    } else if (first.is("DISCARD")) {
      if (tokens_.next().is("ALL")) found_.push_back({.use = SqlUse::DeallocateAll, .name = {}});
    } else if (first.is("PREPARE")) {
      if (!two_phase_commit()) name(SqlUse::Prepare);
    } else if (first.is("EXECUTE")) {
      name(SqlUse::Execute);
    } else if (first.is("EXPLAIN") || first.is("CREATE")) {
      execute_within(first);
    } else if (first.is("SET") || first.is("RESET")) {
      setting();
    }
  }

  void name(SqlUse use) {
    if (auto name = tokens_.name()) found_.push_back({.use = use, .name = std::move(*name)});
  }

  // PREPARE is a name, too, if none follows it.
  void deallocate() {
    if (tokens_.peek().is("PREPARE")) {
      SqlTokens ahead = tokens_;
      ahead.next();
      if (!ends_statement(ahead.peek())) tokens_ = ahead;
    }
    if (tokens_.peek().is("ALL")) {
      found_.push_back({.use = SqlUse::DeallocateAll, .name = {}});
    } else {
      name(SqlUse::Deallocate);
    }
  }

  bool two_phase_commit() const {
    SqlTokens ahead = tokens_;
    return ahead.next().is("TRANSACTION") && ahead.next().kind == SqlKind::String;
  }

  // EXPLAIN ... EXECUTE name; CREATE TABLE ... AS EXECUTE name.
  void execute_within(const SqlToken& first) {
    bool as = first.is("EXPLAIN");
    while (!ends_statement(tokens_.peek())) {
      const SqlToken token = tokens_.next();
      if (as && token.is("EXECUTE")) return name(SqlUse::Execute);
      as = first.is("EXPLAIN") || token.is("AS");
    }
  }

  // SET [SESSION | LOCAL] name, and the forms that have words of their own.
  void setting() {
    SqlToken token = tokens_.peek();
    while (token.is("SESSION") || token.is("LOCAL")) {
      tokens_.next();
      token = tokens_.peek();
    }
    std::optional<std::string> name = tokens_.name();
    if (!name || tokens_.peek().is('.')) return;  // with a dot it is an application's own
    if (*name == "time") name = "timezone";
    if (*name == "names") name = "client_encoding";
    if (*name == "schema") name = "search_path";
    if (!is_harmless_setting(*name)) {
      found_.push_back({.use = SqlUse::Setting, .name = std::move(*name)});
    }
  }

  SqlTokens tokens_;
  std::vector<SqlName> found_;
};

}  // namespace

bool is_harmless_setting(std::string_view name) {
  static constexpr std::string_view kHarmless[] = {"application_name",
                                                   "statement_timeout",
                                                   "lock_timeout",
                                                   "work_mem",
                                                   "client_min_messages",
                                                   "idle_in_transaction_session_timeout",
                                                   "transaction",
                                                   "synchronous_commit",
                                                   "characteristics",
                                                   "constraints",
                                                   "default_transaction_",
                                                   "transaction_",
                                                   "seed",
                                                   "log_"};
  return std::any_of(std::begin(kHarmless), std::end(kHarmless), [name](std::string_view each) {
    return begins_with(name, each) && (each.back() == '_' || name.size() == each.size());
  });
}

bool may_concern_names(std::string_view sql) {
  std::size_t begin = 0;
  while (begin < sql.size() && is_blank(sql[begin])) ++begin;
  if (begin == sql.size()) return false;
  const std::string_view text = sql.substr(begin);
  switch (folded(text[0])) {
    case '-':
    case '/':
    case ';': return true;
    case 'c':
      if (begins_with(text, "create")) return true;
      break;
    case 'd':
      if (begins_with(text, "deallocate") || begins_with(text, "discard")) return true;
      break;
    case 'e':
      if (begins_with(text, "execute") || begins_with(text, "explain")) return true;
      break;
    case 'p':
      if (begins_with(text, "prepare")) return true;
      break;
    case 'r':
      if (begins_with(text, "reset")) return true;
      break;
    case 's':
      if (begins_with(text, "set")) return true;
      break;
    default: break;
  }
  const std::size_t more = text.find(';');
  return more != std::string_view::npos &&
         text.find_first_not_of(kBlanks, more + 1) != std::string_view::npos;
}

std::optional<std::string> encoding_set_by(std::string_view sql, wire::SqlDialect dialect) {
  SqlTokens tokens(sql, dialect);
  if (!tokens.next_statement()) return std::nullopt;
  const bool reset = tokens.peek().is("RESET");
  if (!reset && !tokens.peek().is("SET")) return std::nullopt;
  tokens.next();
  while (!reset && (tokens.peek().is("SESSION") || tokens.peek().is("LOCAL"))) tokens.next();
  const std::optional<std::string> name = tokens.name();
  if (!name) return std::nullopt;
  if (reset) {
    if (*name == "client_encoding" || *name == "all") return std::string();
    return std::nullopt;
  }
  if (*name == "client_encoding") {
    const SqlToken equals = tokens.next();
    if (!equals.is('=') && !equals.is("TO")) return std::nullopt;
  } else if (*name != "names") {
    return std::nullopt;
  }
  const SqlToken value = tokens.next();
  if (value.is("DEFAULT")) return std::string();
  if (value.kind == SqlKind::Word) return std::string(value.text);
  const bool plain = value.kind == SqlKind::String && value.text.size() > 2 &&
                     value.text.find('\'') == 0 &&
                     value.text.find('\'', 1) == value.text.size() - 1;
  if (!plain) return std::nullopt;
  return std::string(value.text.substr(1, value.text.size() - 2));
}

std::vector<SqlName> names_in(std::string_view sql, wire::SqlDialect dialect) {
  return Reader(sql, dialect).read();
}

}  // namespace doorman::session
