// PasswordWork: what is known and derived of passwords, for all workers.
//
// Deriving a key (PBKDF2) takes milliseconds: it is done on helper threads, once for each password,
// and its result is kept. Callbacks come on a helper thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "auth/scram.h"
#include "base/helper_threads.h"
#include "base/secret_memory.h"

namespace doorman::session {

class PasswordWork {
 public:
  using Key = std::array<std::byte, 32>;

  explicit PasswordWork(HelperThreads& helpers);

  // The verifier of a user whose password is stored as text, if it has been derived already.
  std::optional<auth::ScramVerifier> verifier(const std::string& user, std::string_view password,
                                              int iterations);
  void derive_verifier(std::string user, std::string password, int iterations,
                       std::function<void(auth::ScramVerifier)> done);

  std::optional<Key> salted(std::string_view password, std::string_view salt, int iterations);
  void derive_salted(std::string password, std::string salt, int iterations,
                     std::function<void(Key)> done);

  void run(std::function<void()> work);

  // What a client proved at its login, for being that client towards a server with the same secret.
  void remember_keys(const std::string& user, const auth::ScramKeys& keys);
  std::optional<auth::ScramKeys> keys(const std::string& user);
  bool has_keys(const std::string& user, const auth::ScramKeys& keys);

  auth::ScramVerifier mock_verifier(std::string_view user, int iterations) const;

 private:
  static constexpr std::size_t kMaxEntries = 10'000;
  struct Derived {
    std::string password;
    auth::ScramVerifier verifier;
  };
  template <class T>
  using OfNames = std::unordered_map<std::string, T, std::hash<std::string>, std::equal_to<>,
                                     SecretAllocator<std::pair<const std::string, T>>>;
  static std::string salted_name(std::string_view password, std::string_view salt, int iterations);

  HelperThreads& helpers_;
  std::array<std::byte, 32> mock_nonce_{};
  std::mutex mutex_;
  OfNames<Derived> verifiers_;
  OfNames<Key> salted_;
  OfNames<auth::ScramKeys> keys_;
};

}  // namespace doorman::session
