#include <fmt/format.h>

#include <algorithm>

#include "auth/base64.h"
#include "auth/scram.h"
#include "auth/scram_text.h"
#include "base/check.h"
#include "base/secret.h"

namespace doorman::auth {

namespace {

// "n,,": no channel binding, and we would not know how.
constexpr std::string_view kHeader = "n,,";
constexpr std::string_view kBinding = "c=biws";

// A user name in which comma and equals sign cannot be taken for SCRAM's own.
std::string escaped(std::string_view user) {
  std::string name;
  for (const char c : user) {
    if (c == ',') {
      name += "=2C";
    } else if (c == '=') {
      name += "=3D";
    } else {
      name += c;
    }
  }
  return name;
}

// The server's words may end in our log: only what cannot forge a line of it.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 100)) out += c >= ' ' && c <= '~' ? c : '?';
  return out;
}

}  // namespace

ScramClient::ScramClient(std::string nonce, std::string_view user) {
  CHECK(scram_text::is_nonce(nonce));
  state_.client_first_bare = fmt::format("n={},r={}", escaped(user), nonce);
  state_.nonce = std::move(nonce);
}

std::string ScramClient::first() const {
  return fmt::format("{}{}", kHeader, state_.client_first_bare);
}

Result<ScramClient::Challenge> ScramClient::parse_server_first(std::string_view server_first) {
  auto challenge = read_challenge(server_first);
  state_.step = challenge ? Step::Challenged : Step::Failed;
  return challenge;
}

Result<ScramClient::Challenge> ScramClient::read_challenge(std::string_view server_first) {
  if (state_.step != Step::Start) return scram_text::malformed("a second challenge");
  TRY(scram_text::check_message(server_first));
  if (server_first.starts_with("m="))
    return Error{ErrorCode::Protocol, "server requires an unknown SCRAM extension"};

  std::string_view rest = server_first;
  const std::string_view nonce = TRY(scram_text::take(rest, 'r'));
  const std::string_view salt = TRY(scram_text::take(rest, 's'));
  const std::string_view iterations = TRY(scram_text::take(rest, 'i'));
  TRY(scram_text::skip_extensions(rest));
  if (!scram_text::is_nonce(nonce)) return scram_text::malformed("nonce");
  if (!nonce.starts_with(state_.nonce) || nonce.size() == state_.nonce.size())
    return scram_text::malformed("the server's nonce does not go on from ours");

  state_.iterations = TRY(scram_text::parse_iterations(iterations));
  state_.salt = TRY(scram_text::parse_salt(salt));
  state_.nonce = nonce;
  state_.server_first = server_first;
  return Challenge{state_.iterations, state_.salt};
}

Result<std::string> ScramClient::final_with_password(std::string_view password) {
  CHECK(state_.step == Step::Challenged);
  Key salted = salted_password(password, state_.salt, state_.iterations);
  const WipeAtEnd wiped(salted);
  return final_with_salted_password(salted);
}

Result<std::string> ScramClient::final_with_salted_password(std::span<const std::byte, 32> salted) {
  Key key;
  std::copy(salted.begin(), salted.end(), key.begin());
  const WipeAtEnd wiped(key);
  ScramKeys keys = {scram_text::client_key_of(key), scram_text::server_key_of(key)};
  const WipeAtEnd wiped_client_key(keys.client_key);
  const WipeAtEnd wiped_server_key(keys.server_key);
  return final_with_keys(keys);
}

Result<std::string> ScramClient::final_with_keys(const ScramKeys& keys) {
  CHECK(state_.step == Step::Challenged);
  const std::string without_proof = fmt::format("{},r={}", kBinding, state_.nonce);
  const std::string text =
      scram_text::signed_text(state_.client_first_bare, state_.server_first, without_proof);
  Key proof = keys.client_key;
  xor_into(proof, hmac_sha256(sha256(keys.client_key), text));

  state_.server_signature = hmac_sha256(keys.server_key, text);
  state_.step = Step::Proved;
  return fmt::format("{},p={}", without_proof, base64_encode(proof));
}

Result<> ScramClient::verify_server_final(std::string_view server_final) {
  // Success that comes before our proof is a server that does not know the password.
  if (state_.step != Step::Proved) return scram_text::malformed("success before the proof");
  state_.step = Step::Failed;
  TRY(scram_text::check_message(server_final));
  if (server_final.starts_with("e="))
    return Error{ErrorCode::Auth, "server refuses: " + printable(server_final.substr(2))};

  std::string_view rest = server_final;
  const std::string_view signature = TRY(scram_text::take(rest, 'v'));
  TRY(scram_text::skip_extensions(rest));
  const Key key = TRY(scram_text::parse_key(signature, "server signature"));
  if (!same_bytes(key, state_.server_signature))
    return Error{ErrorCode::Auth, "the server's signature is wrong: it does not know the password"};
  state_.step = Step::Done;
  return {};
}

}  // namespace doorman::auth
