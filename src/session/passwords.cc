#include "session/passwords.h"

#include <cstring>

#include "auth/crypto.h"

namespace doorman::session {

PasswordWork::PasswordWork(HelperThreads& helpers) : helpers_(helpers) {
  const std::string random = auth::random_bytes(mock_nonce_.size());
  std::memcpy(mock_nonce_.data(), random.data(), mock_nonce_.size());
}

std::optional<auth::ScramVerifier> PasswordWork::verifier(const std::string& user,
                                                          std::string_view password,
                                                          int iterations) {
  const std::lock_guard lock(mutex_);
  const auto found = verifiers_.find(user);
  if (found == verifiers_.end() || found->second.verifier.iterations != iterations ||
      !auth::same_text(found->second.password, password)) {
    return std::nullopt;
  }
  return found->second.verifier;
}

void PasswordWork::derive_verifier(std::string user, std::string password, int iterations,
                                   std::function<void(auth::ScramVerifier)> done) {
  run([this, user = std::move(user), password = std::move(password), iterations,
       done = std::move(done)] {
    auto ready = verifier(user, password, iterations);
    if (!ready) {
      ready = auth::derive_verifier(password, iterations, auth::make_salt());
      const std::lock_guard lock(mutex_);
      if (verifiers_.size() >= kMaxEntries) verifiers_.clear();
      verifiers_.insert_or_assign(user, Derived{.password = password, .verifier = *ready});
    }
    done(*ready);
  });
}

std::string PasswordWork::salted_name(std::string_view password, std::string_view salt,
                                      int iterations) {
  std::string name = std::to_string(iterations) + ":" + std::to_string(salt.size()) + ":";
  return name.append(salt).append(password);
}

std::optional<PasswordWork::Key> PasswordWork::salted(std::string_view password,
                                                      std::string_view salt, int iterations) {
  const std::lock_guard lock(mutex_);
  const auto found = salted_.find(salted_name(password, salt, iterations));
  if (found == salted_.end()) return std::nullopt;
  return found->second;
}

void PasswordWork::derive_salted(std::string password, std::string salt, int iterations,
                                 std::function<void(Key)> done) {
  run([this, password = std::move(password), salt = std::move(salt), iterations,
       done = std::move(done)] {
    const Key key = auth::salted_password(password, salt, iterations);
    {
      const std::lock_guard lock(mutex_);
      if (salted_.size() >= kMaxEntries) salted_.clear();
      salted_.insert_or_assign(salted_name(password, salt, iterations), key);
    }
    done(key);
  });
}

void PasswordWork::run(std::function<void()> work) { helpers_.run(std::move(work)); }

void PasswordWork::remember_keys(const std::string& user, const auth::ScramKeys& keys) {
  const std::lock_guard lock(mutex_);
  if (keys_.size() >= kMaxEntries) keys_.clear();
  keys_.insert_or_assign(user, keys);
}

std::optional<auth::ScramKeys> PasswordWork::keys(const std::string& user) {
  const std::lock_guard lock(mutex_);
  const auto found = keys_.find(user);
  if (found == keys_.end()) return std::nullopt;
  return found->second;
}

bool PasswordWork::has_keys(const std::string& user, const auth::ScramKeys& keys) {
  const std::lock_guard lock(mutex_);
  const auto found = keys_.find(user);
  return found != keys_.end() && auth::same_bytes(found->second.client_key, keys.client_key) &&
         auth::same_bytes(found->second.server_key, keys.server_key);
}

auth::ScramVerifier PasswordWork::mock_verifier(std::string_view user, int iterations) const {
  return auth::mock_verifier(user, mock_nonce_, iterations);
}

}  // namespace doorman::session
