#include "session/key_records.h"

#include <cstring>

#include "base/record.h"
#include "base/secret.h"

namespace doorman::session {

namespace {

// Never use a number again for something else.
enum Tag : std::uint16_t { TagUser = 1, TagClientKey = 2, TagServerKey = 3 };

bool load_key(std::string_view from, auth::Key& key) {
  if (from.size() != key.size()) return false;
  std::memcpy(key.data(), from.data(), key.size());
  return true;
}

}  // namespace

std::string save_keys(PasswordWork& passwords, const std::string& user) {
  auto keys = passwords.keys(user);
  if (!keys) return {};
  const WipeAtEnd wiped(*keys);
  RecordWriter out;
  out.text(TagUser, user);
  out.bytes(TagClientKey, keys->client_key);
  out.bytes(TagServerKey, keys->server_key);
  return out.take();
}

void load_keys(PasswordWork& passwords, const auth::Users& users, std::string_view record) {
  std::string user;
  auth::ScramKeys keys;
  const WipeAtEnd wiped(keys);
  bool whole = true;
  RecordReader reader(record);
  for (auto field = reader.next(); field && *field; field = reader.next()) {
    const std::string_view value = (*field)->value;
    if ((*field)->tag == TagUser) user = value;
    if ((*field)->tag == TagClientKey) whole = whole && load_key(value, keys.client_key);
    if ((*field)->tag == TagServerKey) whole = whole && load_key(value, keys.server_key);
  }
  if (!whole || passwords.has_keys(user, keys)) return;
  const auth::Secret* secret = users.find(user);
  if (secret == nullptr || secret->kind != auth::Secret::Kind::Scram) return;
  auto verifier = auth::parse_verifier(secret->text);
  if (verifier && auth::fits(keys, *verifier)) passwords.remember_keys(user, keys);
}

}  // namespace doorman::session
