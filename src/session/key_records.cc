#include "session/key_records.h"

#include <cstring>

#include "base/record.h"
#include "base/secret.h"

namespace doorman::session {

namespace {

// Never use a number again for something else.
enum Tag : std::uint16_t { TagUser = 1, TagClientKey = 2, TagServerKey = 3 };

void wipe_both(auth::ScramKeys& keys) {
  wipe(keys.client_key);
  wipe(keys.server_key);
}

// Whether they are those of the password that the verifier was made from.
bool fits(const auth::ScramKeys& keys, const auth::ScramVerifier& verifier) {
  return auth::same_bytes(auth::sha256(keys.client_key), verifier.stored_key) &&
         auth::same_bytes(keys.server_key, verifier.server_key);
}

bool load_key(std::string_view from, auth::Key& key) {
  if (from.size() != key.size()) return false;
  std::memcpy(key.data(), from.data(), key.size());
  return true;
}

}  // namespace

std::string save_keys(PasswordWork& passwords, const std::string& user) {
  auto keys = passwords.keys(user);
  if (!keys) return {};
  RecordWriter out;
  out.text(TagUser, user);
  out.bytes(TagClientKey, keys->client_key);
  out.bytes(TagServerKey, keys->server_key);
  wipe_both(*keys);
  return out.take();
}

void load_keys(PasswordWork& passwords, const auth::Users& users, std::string_view record) {
  std::string user;
  auth::ScramKeys keys;
  bool whole = true;
  RecordReader reader(record);
  for (auto field = reader.next(); field && *field; field = reader.next()) {
    const std::string_view value = (*field)->value;
    if ((*field)->tag == TagUser) user = value;
    if ((*field)->tag == TagClientKey) whole = whole && load_key(value, keys.client_key);
    if ((*field)->tag == TagServerKey) whole = whole && load_key(value, keys.server_key);
  }
  const auth::Secret* secret = whole ? users.find(user) : nullptr;
  if (secret != nullptr && secret->kind == auth::Secret::Kind::Scram) {
    auto verifier = auth::parse_verifier(secret->text);
    if (verifier && fits(keys, *verifier)) passwords.remember_keys(user, keys);
  }
  wipe_both(keys);
}

}  // namespace doorman::session
