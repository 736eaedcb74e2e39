// The grammar that SCRAM messages share: attributes "x=value" with commas between them. For the
// scram files only.
//
// Protocol: RFC 5802, section 7.
#pragma once

#include <string_view>

#include "auth/crypto.h"
#include "base/result.h"

namespace doorman::auth::scram_text {

inline Error malformed(std::string_view what) {
  return {ErrorCode::Protocol, "malformed SCRAM message: " + std::string(what)};
}

// Size and bytes that no SCRAM message has.
Result<> check_message(std::string_view message);

// Takes "name=value" and the comma behind it off the front of `rest`; gives the value.
Result<std::string_view> take(std::string_view& rest, char name);

// The attributes that may follow and that we know nothing of: well formed, else ignored.
Result<> skip_extensions(std::string_view rest);

// RFC 5802 calls it "printable": what a nonce is made of.
bool is_nonce(std::string_view text);

// Digits without sign or leading zero, from 1 to kMaxIterations.
Result<int> parse_iterations(std::string_view text);

Result<std::string> parse_salt(std::string_view base64);
Result<Key> parse_key(std::string_view base64, std::string_view what);

Key client_key_of(const Key& salted);
Key server_key_of(const Key& salted);

// The text that both sides sign.
std::string signed_text(std::string_view client_first_bare, std::string_view server_first,
                        std::string_view client_final_without_proof);

}  // namespace doorman::auth::scram_text
