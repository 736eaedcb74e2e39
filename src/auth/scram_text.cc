#include "auth/scram_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "auth/base64.h"
#include "auth/scram.h"
#include "base/secret.h"

namespace doorman::auth::scram_text {

namespace {

constexpr std::size_t kMaxSalt = 1024;  // bytes; PostgreSQL makes 16

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

Result<> check_message(std::string_view message) {
  if (message.size() > kMaxScramMessage) return malformed("too long");
  if (message.find('\0') != std::string_view::npos) return malformed("a zero byte");
  return {};
}

Result<std::string_view> take(std::string_view& rest, char name) {
  if (rest.size() < 2 || rest[0] != name || rest[1] != '=')
    return malformed(fmt::format("attribute {}= is missing", name));
  const std::size_t end = std::min(rest.find(','), rest.size());
  const std::string_view value = rest.substr(2, end - 2);
  if (end + 1 == rest.size()) return malformed("ends with a comma");
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return value;
}

Result<> skip_extensions(std::string_view rest) {
  while (!rest.empty()) {
    const char name = rest.front();
    if (!is_letter(name)) return malformed("an attribute without a name");
    TRY(take(rest, name));
  }
  return {};
}

bool is_nonce(std::string_view text) {
  const auto printable = [](char c) { return c > ' ' && c <= '~' && c != ','; };
  return !text.empty() && std::all_of(text.begin(), text.end(), printable);
}

Result<int> parse_iterations(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool digits = error == std::errc() && end == text.data() + text.size() &&
                      text.front() >= '1' && text.front() <= '9';
  if (!digits || value > kMaxIterations)
    return Error{ErrorCode::Protocol,
                 fmt::format("SCRAM iteration count is not from 1 to {}", kMaxIterations)};
  return value;
}

Result<std::string> parse_salt(std::string_view base64) {
  auto salt = base64_decode(base64);
  if (!salt || salt->empty()) return malformed("salt");
  if (salt->size() > kMaxSalt) return malformed("salt is too long");
  return std::move(*salt);
}

Result<Key> parse_key(std::string_view base64, std::string_view what) {
  auto bytes = base64_decode(base64);
  Key key;
  if (!bytes || bytes->size() != key.size()) return malformed(what);
  const WipeAtEnd wiped(*bytes);
  std::ranges::copy(as_bytes(*bytes), key.begin());
  return key;
}

Key client_key_of(const Key& salted) { return hmac_sha256(salted, "Client Key"); }

Key server_key_of(const Key& salted) { return hmac_sha256(salted, "Server Key"); }

std::string signed_text(std::string_view client_first_bare, std::string_view server_first,
                        std::string_view client_final_without_proof) {
  std::string text;
  text.reserve(client_first_bare.size() + server_first.size() + client_final_without_proof.size() +
               2);
  text.append(client_first_bare).append(",").append(server_first).append(",");
  return text.append(client_final_without_proof);
}

}  // namespace doorman::auth::scram_text
