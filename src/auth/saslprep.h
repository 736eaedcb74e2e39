// SASLprep (RFC 4013): one form for a password that can be typed in more than one way.
#pragma once

#include <string>
#include <string_view>

namespace doorman::auth {

// The password as SCRAM hashes it. What SASLprep refuses (not UTF-8, a forbidden or unassigned
// character, nothing left) is taken byte for byte, as PostgreSQL does: its databases may hold
// passwords in any encoding. The result is a secret.
std::string prepare_password(std::string_view password);

}  // namespace doorman::auth
