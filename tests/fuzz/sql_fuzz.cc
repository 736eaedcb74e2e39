// SQL of any bytes: its tokens are parts of it, in order, with nothing but blanks and comments
// between, and all statements together are all tokens.
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/check.h"
#include "session/sql_names.h"
#include "wire/sql_tokens.h"

using namespace doorman;
using wire::SqlDialect;
using wire::SqlKind;
using wire::SqlToken;
using wire::SqlTokens;

namespace {

bool may_lie_between(std::string_view text) {
  return text.empty() || text.find_first_not_of(" \t\n\v\f\r") == std::string_view::npos ||
         text.find("--") != std::string_view::npos || text.find("/*") != std::string_view::npos;
}

std::size_t count_tokens(std::string_view sql, SqlDialect dialect) {
  SqlTokens tokens(sql, dialect);
  const char* end = sql.data();
  std::size_t count = 0;
  while (true) {
    const SqlToken ahead = tokens.peek();
    const SqlToken token = tokens.next();
    CHECK(ahead.kind == token.kind && ahead.text == token.text);
    if (token.kind == SqlKind::End) break;
    CHECK(!token.text.empty());
    CHECK(token.text.data() >= end);
    CHECK(may_lie_between({end, static_cast<std::size_t>(token.text.data() - end)}));
    end = token.text.data() + token.text.size();
    CHECK(end <= sql.data() + sql.size());
    if (token.kind != SqlKind::Semicolon) ++count;
  }
  CHECK(tokens.next().kind == SqlKind::End);
  return count;
}

std::size_t count_by_statements(std::string_view sql, SqlDialect dialect) {
  std::size_t count = 0;
  SqlTokens tokens(sql, dialect);
  while (tokens.next_statement()) {
    while (true) {
      SqlTokens named = tokens;
      if (auto name = named.name()) CHECK(!name->empty() && name->size() <= SqlTokens::kMaxName);
      const SqlToken token = tokens.next();
      if (token.kind == SqlKind::Semicolon || token.kind == SqlKind::End) break;
      ++count;
    }
  }
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  SqlDialect dialect;
  dialect.encoding = static_cast<SqlDialect::Encoding>(data[0] & 3U);
  dialect.standard_conforming_strings = (data[0] & 4U) != 0;
  const std::string sql(text_of(std::as_bytes(std::span(data + 1, size - 1))));
  CHECK(count_tokens(sql, dialect) == count_by_statements(sql, dialect));
  const bool concerns_names = !session::names_in(sql, dialect).empty();
  CHECK(!concerns_names || session::may_concern_names(sql));
  return 0;
}
