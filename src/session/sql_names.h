// Which names of prepared statements a text of SQL makes, uses or ends, and which settings it
// changes: what must be known before a server gets the text, since names on servers are ours.
//
// Sees what stands in the text. What a function executes by itself stays unseen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/sql_tokens.h"

namespace doorman::session {

enum class SqlUse : std::uint8_t {
  Prepare,        // PREPARE name
  Execute,        // EXECUTE name, also in EXPLAIN and CREATE TABLE AS
  Deallocate,     // DEALLOCATE name
  DeallocateAll,  // also DISCARD ALL
  Setting,        // SET or RESET of what may change the meaning of another text; folded name
};

struct SqlName {
  SqlUse use;
  std::string name;
  bool operator==(const SqlName&) const = default;
};

// A message about names that is under way.
struct PendingSql {
  std::vector<SqlName> names = {};
  std::size_t next = 0;  // of them, by the tags that have come
};

// False for nearly every text, at the cost of a look at its first word and for a ";".
bool may_concern_names(std::string_view sql);

// Settings that change nothing of what another text means. The name may be written in any case.
bool is_harmless_setting(std::string_view name);

// What one SET or RESET of client_encoding makes it: empty is the server's own default. nullopt:
// the text is no such command, or does not say it plainly.
std::optional<std::string> encoding_set_by(std::string_view sql, wire::SqlDialect dialect);

// In the order of the text.
std::vector<SqlName> names_in(std::string_view sql, wire::SqlDialect dialect);

}  // namespace doorman::session
