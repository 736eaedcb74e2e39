#include "pool/held_texts.h"

#include "base/check.h"

namespace doorman::pool {

void HeldTexts::hold(std::uint64_t number, std::size_t text, std::size_t own) {
  const std::lock_guard lock(mutex_);
  if (++holders_[number] == 1) bytes_ += text;
  bytes_ += own;
}

void HeldTexts::let_go(std::uint64_t number, std::size_t text, std::size_t own) {
  const std::lock_guard lock(mutex_);
  const auto found = holders_.find(number);
  CHECK(found != holders_.end());
  if (--found->second == 0) {
    holders_.erase(found);
    bytes_ -= text;
  }
  bytes_ -= own;
}

bool HeldTexts::has_room(std::uint64_t number, std::size_t text, std::size_t own,
                         std::size_t limit) const {
  const std::size_t now = bytes();
  if (limit == 0 || now + text + own <= limit) return true;
  if (now + own > limit) return false;
  const std::lock_guard lock(mutex_);
  return holders_.contains(number);
}

std::size_t HeldTexts::count() const {
  const std::lock_guard lock(mutex_);
  return holders_.size();
}

}  // namespace doorman::pool
