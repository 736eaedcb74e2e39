// What a live journal records of a session as it runs: a fixed slot, written with release stores.
//
// The slots are in ordinary memory, or in memory that outlives the process; the session cannot tell
// and need not know. `in_doubt` is set before every read or send of the session and cleared after
// it: a reader who finds it set does not know what the peer has seen.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/check.h"

namespace doorman::session {

struct alignas(32) HotSlot {
  std::atomic<std::uint64_t> session_id;  // 0: the slot is free
  std::atomic<std::uint64_t> peer_id;     // the session that it is linked with; 0: none
  std::atomic<std::uint8_t> state;        // ClientState or ServerState
  std::atomic<std::uint8_t> in_doubt;
  std::atomic<std::uint8_t> transaction;  // the last ReadyForQuery's status: I, T or E
  std::uint8_t is_server;
};
static_assert(sizeof(HotSlot) == 32);

// One worker's slots.
class HotSlots {
 public:
  HotSlot& take(std::uint64_t session_id, bool is_server);
  void give_back(HotSlot& slot);
  std::size_t used() const { return used_; }

 private:
  static constexpr std::size_t kBlock = 128;
  std::vector<std::unique_ptr<HotSlot[]>> blocks_;
  std::vector<HotSlot*> free_;
  std::size_t used_ = 0;
};

// For the time of a read or a send.
class InDoubt {
 public:
  explicit InDoubt(HotSlot& slot) : slot_(slot) {
    slot_.in_doubt.store(1, std::memory_order_release);
  }
  ~InDoubt() { slot_.in_doubt.store(0, std::memory_order_release); }
  InDoubt(const InDoubt&) = delete;
  InDoubt& operator=(const InDoubt&) = delete;

 private:
  HotSlot& slot_;
};

}  // namespace doorman::session
