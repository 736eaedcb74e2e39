// PostgreSQL's MD5 passwords, as they are stored and as they are sent.
//
// Protocol: PostgreSQL documentation, "Message Flow", AuthenticationMD5Password. Where the system
// forbids MD5 the results are empty, which matches nothing.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace doorman::auth {

using Md5Salt = std::array<std::byte, 4>;

// "md5" and 32 digits, as pg_authid has it.
std::string md5_secret(std::string_view user, std::string_view password);

// What the client sends for a stored "md5..." and the salt that the server chose.
std::string md5_response(std::string_view stored_md5, Md5Salt salt);

// True for "md5" and 32 lower-case hexadecimal digits.
bool is_md5_secret(std::string_view text);

}  // namespace doorman::auth
