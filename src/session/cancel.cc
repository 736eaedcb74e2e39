#include "session/cancel.h"

#include "auth/crypto.h"
#include "base/bytes.h"

namespace doorman::session {

std::string CancelKeys::issue(const CancelTarget& target, std::size_t secret_size) {
  std::string key(sizeof(std::uint32_t) + secret_size, '\0');
  auto* const head = reinterpret_cast<std::byte*>(key.data());
  const std::lock_guard lock(mutex_);
  std::uint32_t process_id = 0;
  do {
    auth::fill_with_random(key);
    process_id = read_u32(head) & 0x7fff'ffffU;  // drivers take it for a signed number
  } while (process_id == 0 || entries_.contains(process_id));
  write_u32(head, process_id);
  entries_.emplace(process_id,
                   Entry{.secret = SecretText(std::string_view(key).substr(sizeof process_id)),
                         .target = target});
  return key;
}

void CancelKeys::depart(std::uint32_t process_id) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(process_id);
  if (found != entries_.end()) found->second.departed = true;
}

bool CancelKeys::restore(std::string_view key, const CancelTarget& target) {
  if (key.size() < 8) return false;
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[read_u32(bytes_of(key).data())];
  const bool wanted = entry.wanted;
  entry = {.secret = SecretText(key.substr(4)), .target = target};
  return wanted;
}

void CancelKeys::withdraw(std::uint32_t process_id) {
  const std::lock_guard lock(mutex_);
  entries_.erase(process_id);
}

std::optional<CancelTarget> CancelKeys::find(std::string_view key) {
  if (key.size() < 8) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(read_u32(bytes_of(key).data()));
  if (found == entries_.end() || !auth::same_text(found->second.secret, key.substr(4)))
    return std::nullopt;
  if (found->second.departed) {
    found->second.wanted = true;
    return std::nullopt;
  }
  return found->second.target;
}

bool CancelKeys::knows(std::string_view key) const {
  if (key.size() < 4) return false;
  const std::lock_guard lock(mutex_);
  return entries_.contains(read_u32(bytes_of(key).data()));
}

std::string CancelKeys::key_of(std::uint32_t process_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(process_id);
  if (found == entries_.end()) return {};
  std::string key;
  append_u32(key, process_id);
  return key.append(found->second.secret);
}

std::size_t CancelKeys::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace doorman::session
