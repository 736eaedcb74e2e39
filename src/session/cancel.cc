#include "session/cancel.h"

#include "auth/crypto.h"
#include "base/bytes.h"

namespace doorman::session {

std::string CancelKeys::issue(const CancelTarget& target, std::size_t secret_size) {
  const std::string secret = auth::random_bytes(secret_size);
  const std::lock_guard lock(mutex_);
  std::uint32_t process_id = 0;
  do {
    process_id = read_u32(bytes_of(auth::random_bytes(sizeof process_id)).data());
    process_id &= 0x7fff'ffffU;  // drivers take it for a signed number
  } while (process_id == 0 || entries_.contains(process_id));
  entries_.emplace(process_id, Entry{.secret = secret, .target = target});
  std::string key;
  append_u32(key, process_id);
  return key + secret;
}

void CancelKeys::move(std::uint32_t process_id, int worker) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(process_id);
  if (found != entries_.end()) found->second.target.worker = worker;
}

void CancelKeys::restore(std::string_view key, const CancelTarget& target) {
  if (key.size() < 8) return;
  const std::lock_guard lock(mutex_);
  entries_.insert_or_assign(read_u32(bytes_of(key).data()),
                            Entry{.secret = std::string(key.substr(4)), .target = target});
}

void CancelKeys::withdraw(std::uint32_t process_id) {
  const std::lock_guard lock(mutex_);
  entries_.erase(process_id);
}

std::optional<CancelTarget> CancelKeys::find(std::string_view key) const {
  if (key.size() < 8) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(read_u32(bytes_of(key).data()));
  if (found == entries_.end() || !auth::same_text(found->second.secret, key.substr(4)))
    return std::nullopt;
  return found->second.target;
}

std::string CancelKeys::key_of(std::uint32_t process_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(process_id);
  if (found == entries_.end()) return {};
  std::string key;
  append_u32(key, process_id);
  return key + found->second.secret;
}

std::size_t CancelKeys::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace doorman::session
