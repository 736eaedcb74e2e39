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
  // The client moved to another worker.
  void move(std::uint32_t process_id, int worker);
  // A key as it was issued before, for a session that is rebuilt.
  void restore(std::string_view key, const CancelTarget& target);
  void withdraw(std::uint32_t process_id);
  std::optional<CancelTarget> find(std::string_view key) const;
  std::string key_of(std::uint32_t process_id) const;
  std::size_t size() const;

 private:
  struct Entry {
    std::string secret;
    CancelTarget target;
  };
  mutable std::mutex mutex_;
  std::unordered_map<std::uint32_t, Entry> entries_;
};

}  // namespace doorman::session
