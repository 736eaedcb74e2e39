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

inline constexpr std::uint8_t kNoSession = 2;

// What the process has of a client, or the client of an answer, that no record shows: whoever
// builds the client again from its record must know.
namespace pending {
inline constexpr std::uint8_t kInput = 1;    // bytes of the client that were read and wait
inline constexpr std::uint8_t kOutput = 2;   // the client has got a part of a message
inline constexpr std::uint8_t kQuery = 4;    // a query of the client was sent and is not answered
inline constexpr std::uint8_t kListens = 8;  // the record says to what, since version 2
inline constexpr std::uint8_t kCommitted = 16;  // a transaction, of whose end it is not told yet
}  // namespace pending

struct alignas(32) HotSlot {
  std::atomic<std::uint64_t> session_id;  // 0: the slot is free
  std::atomic<std::uint64_t> peer_id;     // the session that it is linked with; 0: none
  std::atomic<std::uint64_t> record;      // where a journal has the session's record; 0: nowhere
  std::atomic<std::uint8_t> state;        // ClientState or ServerState
  std::atomic<std::uint8_t> in_doubt;
  std::atomic<std::uint8_t> transaction;  // the last ReadyForQuery's status: I, T or E
  std::atomic<std::uint8_t> pending;
  std::atomic<std::uint8_t> vaulted;  // a copy of the session's socket outlives the process
  std::uint8_t is_server;             // kNoSession: a record that is of no session
};
static_assert(sizeof(HotSlot) == 32);
void clear(HotSlot& slot);                    // free again
void copy(const HotSlot& from, HotSlot& to);  // how the session stands, without what outlives it

// Where workers get their slots from when those must outlive the process. Any thread.
class SlotSource {
 public:
  // Adds some free slots to `free`, or none when there are none left.
  virtual void lend_slots(std::vector<HotSlot*>& free) = 0;
  virtual bool owns(const HotSlot& slot) const = 0;
  // What is written about the session of a slot that it owns: it is over.
  virtual void erase(HotSlot& slot) = 0;

 protected:
  ~SlotSource() = default;
};

// One worker's slots.
class HotSlots {
 public:
  // From now on slots come from `source`, as long as it has some.
  void use(SlotSource* source) {
    source_ = source;
    free_.clear();
  }
  HotSlot& take(std::uint64_t session_id, bool is_server);
  void give_back(HotSlot& slot);
  std::size_t used() const { return used_; }

 private:
  static constexpr std::size_t kBlock = 128;
  SlotSource* source_ = nullptr;
  std::vector<std::unique_ptr<HotSlot[]>> blocks_;
  std::vector<HotSlot*> free_;
  std::size_t used_ = 0;
};

// For the time of a read or a send.
class InDoubt {
 public:
  explicit InDoubt(HotSlot& slot) : slot_(slot) { set(static_cast<std::uint8_t>(now() | 1)); }
  ~InDoubt() {
    if (!stays_) set(static_cast<std::uint8_t>(now() & ~1));
  }
  // Somebody else ends it.
  void stays() { stays_ = true; }
  InDoubt(const InDoubt&) = delete;
  InDoubt& operator=(const InDoubt&) = delete;

 private:
  // Written by the session's own thread only.
  std::uint8_t now() const { return slot_.in_doubt.load(std::memory_order_relaxed); }
  void set(std::uint8_t doubt) { slot_.in_doubt.store(doubt, std::memory_order_release); }

  HotSlot& slot_;
  bool stays_ = false;
};

}  // namespace doorman::session
