#include "auth/secret.h"

#include <utility>

#include "auth/crypto.h"
#include "auth/scram.h"
#include "base/secret.h"

namespace doorman::auth {

namespace {

bool verify_scram(std::string_view stored, std::string_view password) {
  auto verifier = parse_verifier(stored);
  if (!verifier) return false;
  auto derived = derive_verifier(password, verifier->iterations, verifier->salt);
  const bool same = same_bytes(derived.stored_key, verifier->stored_key);
  wipe(derived.stored_key);
  wipe(derived.server_key);
  return same;
}

}  // namespace

Secret classify(std::string text) {
  Secret::Kind kind = Secret::Kind::Plain;
  if (text.empty()) kind = Secret::Kind::None;
  if (is_md5_secret(text)) kind = Secret::Kind::Md5;
  if (parse_verifier(text)) kind = Secret::Kind::Scram;
  return {kind, std::move(text)};
}

bool verify_plain(const Secret& secret, std::string_view user, std::string_view password) {
  if (password.empty()) return false;  // an empty password never logs in, whatever was hashed
  switch (secret.kind) {
    case Secret::Kind::None: return false;
    case Secret::Kind::Plain:
      return same_bytes(sha256(as_bytes(secret.text)), sha256(as_bytes(password)));
    case Secret::Kind::Md5: return same_text(secret.text, md5_secret(user, password));
    case Secret::Kind::Scram: return verify_scram(secret.text, password);
  }
  return false;
}

bool verify_md5(const Secret& secret, std::string_view user, std::string_view response,
                Md5Salt salt) {
  std::string stored;
  switch (secret.kind) {
    case Secret::Kind::None: return false;
    case Secret::Kind::Plain: stored = md5_secret(user, secret.text); break;
    case Secret::Kind::Md5: stored = secret.text; break;
    case Secret::Kind::Scram: return false;
  }
  const WipeAtEnd wiped(stored);
  const std::string expected = md5_response(stored, salt);
  return !expected.empty() && same_text(expected, response);
}

}  // namespace doorman::auth
