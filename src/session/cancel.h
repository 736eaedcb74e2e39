// Cancel keys: which client a CancelRequest means.
//
// Protocol: PostgreSQL documentation, "Canceling Requests in Progress". A key that nobody has is
// ignored, as PostgreSQL does.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/secret_memory.h"

namespace doorman::session {

struct CancelTarget {
  int worker;
  std::uint64_t client;
};

// Any thread; used at login, logout and by cancel requests.
class CancelKeys {
 public:
  // A fresh key: four bytes of process id, then a secret of `secret_size` bytes.
  std::string issue(const CancelTarget& target, std::size_t secret_size);
  // The client is between two workers: a cancel request that comes meanwhile waits for restore().
  void depart(std::uint32_t process_id);
  // A key as it was issued before, for a session that is rebuilt. True: a cancel request waits.
  [[nodiscard]] bool restore(std::string_view key, const CancelTarget& target);
  void withdraw(std::uint32_t process_id);
  // Who has the key; nobody also while its owner is between two workers.
  std::optional<CancelTarget> find(std::string_view key);
  // A key of that process id was issued here, whatever its secret.
  bool knows(std::string_view key) const;
  std::string key_of(std::uint32_t process_id) const;
  std::size_t size() const;

 private:
  struct Entry {
    SecretText secret;
    CancelTarget target;
    bool departed = false;
    bool wanted = false;
  };
  mutable std::mutex mutex_;
  std::unordered_map<std::uint32_t, Entry, std::hash<std::uint32_t>, std::equal_to<>,
                     SecretAllocator<std::pair<const std::uint32_t, Entry>>>
      entries_;
};

}  // namespace doorman::session
