// The escapes of U&"..." and U&'...' as UTF-8.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace doorman::wire {

// `escape` stands before four hexadecimal digits, before "+" and six, or before itself. Surrogates
// count in pairs. nullopt: PostgreSQL would refuse it.
std::optional<std::string> decode_unicode_escapes(std::string_view text, char escape);

}  // namespace doorman::wire
