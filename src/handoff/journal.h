// Journal: what the sessions of this process are, in memory that outlives it.
//
// A memfd that is mapped by the process and kept by others too. It begins with a head, then come
// hot slots (session/hot_slot.h), which sessions write as they run, then records, which are
// appended when what a session is has changed. A slot says where its session's youngest record is,
// and each record where the one before is, back to one that says all; so a record counts from the
// moment at which the slot names it, and a process may be killed between any two instructions.
//
// Records are in one half of their room. When half of them is garbage, those that slots name are
// copied to the other half. docs/HANDOFF.md has the format. A reader distrusts all of it.
//
// Records hold keys: the memory is never written to disk or into a core dump, and a record is wiped
// when no slot names it any more.
// Any thread; the mutex is taken when a record is written, which no query does.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "session/hot_slot.h"

namespace doorman::handoff {

// What a record is about. Never use a number again for something else.
enum class Kind : std::uint16_t {
  Client = 1,
  Server = 2,
  Statement = 3,  // text and types of a prepared statement, by its number
  Process = 4,    // of the process as a whole; the id tells what
  // What has changed about a client since its record.
  StatementAdded = 16,
  StatementRemoved = 17,
  StatementsCleared = 18,
  ParametersChanged = 19,
  ChannelsAdded = 20,  // since version 2
  ChannelsRemoved = 21,
};

// Whether a journal may be used, and how.
enum class Phase : std::uint32_t {
  Void = 0,     // not at all
  Live = 1,     // sessions run: by the rules of a crash
  Writing = 2,  // of a successor that has not been told to go: not at all
  Stopped = 3,  // as Void: no release writes or reads it
};

struct JournalRecord {
  Kind kind;
  std::uint8_t version;
  std::uint64_t id;
  std::string body;  // fields by tag
};

// Which vault has the sockets of a journal's sessions; 0: none. No release writes `stop`.
struct Vaults {
  std::uint32_t live;
  std::uint32_t stop;
};

// What a journal has of one session.
struct Kept {
  session::HotSlot* slot = nullptr;
  JournalRecord record;                // the one that says all
  std::vector<JournalRecord> changes;  // since then, in order
};

class Journal final : public session::SlotSource {
 public:
  static Result<std::unique_ptr<Journal>> create(std::uint32_t number);
  static Result<std::unique_ptr<Journal>> open(std::uint32_t number, UniqueFd fd);
  ~Journal();

  // ---- For who writes
  void lend_slots(std::vector<session::HotSlot*>& free) override;
  // False: there is no room, or the slot is not in this journal; nothing has changed.
  bool write(session::HotSlot& slot, Kind kind, std::uint64_t id, std::string_view body);
  // Adds to what the session's youngest record says. Writes nothing for a slot without a record.
  bool add(session::HotSlot& slot, Kind kind, std::uint64_t id, std::string_view body);
  // The changes since the last full record have become longer than that.
  bool should_rewrite(const session::HotSlot& slot) const;
  // What is no session: a slot of its own. Null: there is no room.
  session::HotSlot* write_new(Kind kind, std::uint64_t id, std::string_view body);
  void forget(session::HotSlot& slot);  // one of write_new()
  // Wipes what is written of a session, and leaves its slot without a record.
  void erase(session::HotSlot& slot) override;
  bool owns(const session::HotSlot& slot) const override;
  // Slots that were taken by the process before and have no record now may be lent again. Once all
  // sessions that it had are built again, before others use them.
  void reclaim_slots();
  void use_ids_from(std::uint64_t first);  // no smaller one is free
  // Copies what is alive to the other half, if half is garbage. For the main thread.
  bool compact_if_due();
  void set_phase(Phase phase);
  void wipe();  // all of it; nobody may use it any more

  // ---- For who reads
  Phase phase() const;
  std::size_t slots() const;  // each up to here may be in use
  session::HotSlot* slot_at(std::size_t index) const;
  // nullopt: nothing there. Error: damaged.
  Result<std::optional<Kept>> read(std::size_t slot) const;
  std::uint64_t first_free_id() const;
  std::unordered_set<std::uint64_t> sessions() const;  // whose slots are in use
  struct Busy {
    std::size_t pending = 0;   // sessions of which something is under way
    std::size_t in_doubt = 0;  // or being read or written at this moment
  };
  Busy busy() const;
  std::uint32_t deaths() const;  // processes that died soon after they had begun to read this
  void set_deaths(std::uint32_t count);
  Vaults vaults() const;
  void set_vaults(Vaults vaults);

  std::uint32_t number() const { return number_; }
  std::string name() const;
  int fd() const { return fd_.get(); }
  std::uint64_t used_bytes() const;     // of records
  std::uint64_t garbage_bytes() const;  // in them, when it was last counted

 private:
  struct Head;
  struct RecordHead;

  Journal(std::uint32_t number, UniqueFd fd, std::byte* memory);
  Head& head() const;
  std::optional<std::uint64_t> append(const RecordHead& head, std::string_view body);
  Result<RecordHead> read_head(std::uint64_t at) const;
  Result<JournalRecord> read_record(std::uint64_t at, std::uint64_t& previous) const;
  std::uint64_t live_bytes() const;
  bool reaches(std::uint64_t at, std::uint32_t half) const;
  std::optional<std::uint64_t> copy_chain(std::uint64_t at);
  void wipe_chain(std::uint64_t at, std::uint64_t session);
  void compact();
  void erase_half(std::uint32_t half);
  session::HotSlot* take_slot();

  const std::uint32_t number_;
  UniqueFd fd_;
  std::byte* memory_;
  mutable std::mutex mutex_;
  std::vector<session::HotSlot*> free_;
  std::size_t slots_before_ = 0;  // what the process before had lent
  std::uint64_t count_at_ = 0;    // look for garbage when so many bytes are used
  std::atomic<std::uint64_t> garbage_ = 0;
};

}  // namespace doorman::handoff
