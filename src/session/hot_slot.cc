#include "session/hot_slot.h"

namespace doorman::session {

void copy(const HotSlot& from, HotSlot& to) {
  to.peer_id.store(from.peer_id.load(std::memory_order_relaxed), std::memory_order_relaxed);
  to.state.store(from.state.load(std::memory_order_relaxed), std::memory_order_relaxed);
  to.in_doubt.store(from.in_doubt.load(std::memory_order_relaxed), std::memory_order_relaxed);
  to.transaction.store(from.transaction.load(std::memory_order_relaxed), std::memory_order_relaxed);
  to.pending.store(from.pending.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

void clear(HotSlot& slot) {
  slot.session_id.store(0, std::memory_order_release);
  slot.record.store(0, std::memory_order_release);
  slot.peer_id.store(0, std::memory_order_relaxed);
  slot.state.store(0, std::memory_order_relaxed);
  slot.in_doubt.store(0, std::memory_order_relaxed);
  slot.transaction.store(0, std::memory_order_relaxed);
  slot.pending.store(0, std::memory_order_relaxed);
  slot.vaulted.store(0, std::memory_order_relaxed);
}

HotSlot& HotSlots::take(std::uint64_t session_id, bool is_server) {
  if (free_.empty() && source_ != nullptr) source_->lend_slots(free_);
  if (free_.empty()) {
    blocks_.push_back(std::make_unique<HotSlot[]>(kBlock));
    for (std::size_t i = kBlock; i > 0; --i) free_.push_back(&blocks_.back()[i - 1]);
  }
  HotSlot& slot = *free_.back();
  free_.pop_back();
  ++used_;
  slot.is_server = is_server ? 1 : 0;
  slot.session_id.store(session_id, std::memory_order_release);
  return slot;
}

void HotSlots::give_back(HotSlot& slot) {
  CHECK(used_ > 0);
  --used_;
  const bool owned = source_ != nullptr && source_->owns(slot);
  if (owned) source_->erase(slot);
  clear(slot);
  if (source_ == nullptr || owned) free_.push_back(&slot);
}

}  // namespace doorman::session
