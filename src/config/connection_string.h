// The values of [databases], [users] and [peers]: "key=value key='it''s'", as PgBouncer reads them.
// Knows no keys.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace doorman::config {

struct Pair {
  std::string key;
  std::string value;  // never empty
};

// The Error names keys and positions, no values: one of them may be a password.
Result<std::vector<Pair>> split_connection_string(std::string_view text);

}  // namespace doorman::config
