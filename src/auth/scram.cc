#include "auth/scram.h"

#include <fmt/format.h>

#include <algorithm>

#include "auth/base64.h"
#include "auth/saslprep.h"
#include "auth/scram_text.h"
#include "base/check.h"
#include "base/secret.h"

namespace doorman::auth {

namespace {

constexpr std::size_t kNonceSize = 18;  // bytes: as many as make 24 base64 digits

// Takes what stands before `separator` off the front of `rest`.
Result<std::string_view> take_until(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  if (end == std::string_view::npos) return scram_text::malformed("stored secret");
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return part;
}

}  // namespace

Result<ScramVerifier> parse_verifier(std::string_view scram_secret_text) {
  std::string_view rest = scram_secret_text;
  const std::string_view name = TRY(take_until(rest, '$'));
  if (name != kScramName) return scram_text::malformed("stored secret");
  const std::string_view iterations = TRY(take_until(rest, ':'));
  const std::string_view salt = TRY(take_until(rest, '$'));
  const std::string_view stored_key = TRY(take_until(rest, ':'));

  ScramVerifier verifier;
  verifier.iterations = TRY(scram_text::parse_iterations(iterations));
  verifier.salt = TRY(scram_text::parse_salt(salt));
  verifier.stored_key = TRY(scram_text::parse_key(stored_key, "stored key"));
  verifier.server_key = TRY(scram_text::parse_key(rest, "server key"));
  return verifier;
}

void wipe(ScramKeys& keys) {
  doorman::wipe(keys.client_key);
  doorman::wipe(keys.server_key);
}

bool fits(const ScramKeys& keys, const ScramVerifier& verifier) {
  return same_bytes(sha256(keys.client_key), verifier.stored_key) &&
         same_bytes(keys.server_key, verifier.server_key);
}

std::string format_verifier(const ScramVerifier& verifier) {
  return fmt::format("{}${}:{}${}:{}", kScramName, verifier.iterations,
                     base64_encode(verifier.salt), base64_encode(verifier.stored_key),
                     base64_encode(verifier.server_key));
}

std::string make_salt() { return random_bytes(kSaltSize); }

std::string make_nonce() { return base64_encode(random_bytes(kNonceSize)); }

Key salted_password(std::string_view password, std::string_view salt, int iterations) {
  std::string prepared = prepare_password(password);
  const WipeAtEnd wiped(prepared);
  return pbkdf2_sha256(prepared, salt, iterations);
}

ScramVerifier derive_verifier(std::string_view password, int iterations, std::string salt) {
  Key salted = salted_password(password, salt, iterations);
  const WipeAtEnd wiped(salted);
  Key client_key = scram_text::client_key_of(salted);
  const WipeAtEnd wiped_too(client_key);
  return {iterations, std::move(salt), sha256(client_key), scram_text::server_key_of(salted)};
}

std::string build_scram_secret(std::string_view password, int iterations) {
  return format_verifier(derive_verifier(password, iterations, make_salt()));
}

ScramVerifier mock_verifier(std::string_view user, std::span<const std::byte, 32> mock_nonce,
                            int iterations) {
  Key key;
  std::ranges::copy(mock_nonce, key.begin());
  const auto derive = [&](std::string_view purpose) {
    return hmac_sha256(key, fmt::format("{}:{}", purpose, user));
  };
  const Key salt = derive("salt");
  // Nobody knows a key whose SHA-256 is this stored key, so no proof fits it.
  return {iterations, std::string(reinterpret_cast<const char*>(salt.data()), kSaltSize),
          derive("stored"), derive("server")};
}

}  // namespace doorman::auth
