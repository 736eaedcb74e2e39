#include "handoff/journal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "base/record.h"
#include "base/secret.h"
#include "base/secret_memory.h"
#include "base/text.h"
#include "handoff/fd_store.h"

namespace doorman::handoff {

using session::HotSlot;

namespace {

constexpr std::uint64_t kMagic = 0x314c4e524a444750;  // "PGDJRNL1" in this machine's order
constexpr std::uint32_t kFormat = 1;                  // of the head and the slots
constexpr std::uint32_t kReadableBy = 1;              // the oldest format that may read this one

// The file is sparse: what is not used costs nothing.
constexpr std::uint64_t kSlotsAt = 4096;
constexpr std::uint64_t kSlots = 1U << 20U;
constexpr std::uint64_t kRecordsAt = kSlotsAt + kSlots * sizeof(HotSlot);
constexpr std::uint64_t kHalf = std::uint64_t{1} << 30U;
constexpr std::uint64_t kSize = kRecordsAt + 2 * kHalf;
constexpr std::uint64_t kLend = 128;

constexpr std::uint64_t kWorthCompacting = std::uint64_t{1} << 20U;
constexpr std::size_t kSlotsAtOnce = 256;          // between two of which others may write
constexpr std::size_t kMostChanges = 100'000;      // of one session
constexpr std::uint32_t kLeastRewrite = 4 * 1024;  // changes that are worth a full record

std::uint32_t checksum(std::string_view body) {  // FNV-1a
  std::uint32_t sum = 2'166'136'261U;
  for (const char c : body) sum = (sum ^ static_cast<unsigned char>(c)) * 16'777'619U;
  return sum;
}

std::uint64_t aligned(std::uint64_t size) { return (size + 7) & ~std::uint64_t{7}; }

}  // namespace

struct Journal::Head {
  std::uint64_t magic;
  std::uint32_t format;
  std::uint32_t readable_by;
  std::uint32_t slot_size;
  std::uint32_t record_head_size;
  std::uint64_t slots_at;
  std::uint64_t slots;
  std::uint64_t records_at;
  std::uint64_t half;
  std::atomic<std::uint64_t> used[2];     // bytes of each half
  std::atomic<std::uint32_t> writes_to;   // which half
  std::atomic<std::uint32_t> phase;       // Phase
  std::atomic<std::uint64_t> slots_lent;  // so many from the first on may be in use
  std::atomic<std::uint64_t> next_id;     // of sessions: no smaller one is free
  std::atomic<std::uint32_t> deaths;
  std::atomic<std::uint32_t> vaults[2];  // their numbers: the one in use, and that of a stop
};

struct Journal::RecordHead {
  std::uint32_t size;  // of the body
  std::uint16_t kind;
  std::uint8_t version;
  std::uint8_t readable_by;  // the oldest version that may read it
  std::uint64_t id;
  std::uint64_t previous;  // record that this one adds to; 0: none
  std::uint32_t changes;   // bytes of this and those before it, without the one that says all
  std::uint32_t whole;     // bytes of the one that says all
  std::uint32_t sum;       // of the body
  std::uint32_t unused;
};

Journal::Journal(std::uint32_t number, UniqueFd fd, std::byte* memory)
    : number_(number), fd_(std::move(fd)), memory_(memory) {
  static_assert(sizeof(Head) <= kSlotsAt && sizeof(RecordHead) == 40);
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
}

Journal::~Journal() { ::munmap(memory_, kSize); }

Journal::Head& Journal::head() const { return *reinterpret_cast<Head*>(memory_); }

HotSlot* Journal::slot_at(std::size_t index) const {
  return reinterpret_cast<HotSlot*>(memory_ + kSlotsAt) + index;
}

std::string Journal::name() const {
  return std::string(kStashPrefix) + 'j' + std::to_string(number_);
}

namespace {

Result<std::byte*> map(int fd) {
  void* memory = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (memory == MAP_FAILED) {
    return Error{ErrorCode::System, "cannot map a journal: " + errno_text(errno)};
  }
  protect_memory(memory, kSize);
  return static_cast<std::byte*>(memory);
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::create(std::uint32_t number) {
  UniqueFd fd(::memfd_create("pg_doorman journal", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(kSize)) != 0) {
    return Error{ErrorCode::System, "cannot make a journal: " + errno_text(errno)};
  }
  // Who maps it must not be hit by SIGBUS. Growing and writing must stay possible.
  ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK);
  std::byte* memory = TRY(map(fd.get()));
  Head& head = *reinterpret_cast<Head*>(memory);
  head.magic = kMagic;
  head.format = kFormat;
  head.readable_by = kReadableBy;
  head.slot_size = sizeof(HotSlot);
  head.record_head_size = sizeof(RecordHead);
  head.slots_at = kSlotsAt;
  head.slots = kSlots;
  head.records_at = kRecordsAt;
  head.half = kHalf;
  head.used[0] = sizeof(RecordHead);  // no record is at 0
  head.next_id = 1;
  return std::unique_ptr<Journal>(new Journal(number, std::move(fd), memory));
}

Result<std::unique_ptr<Journal>> Journal::open(std::uint32_t number, UniqueFd fd) {
  struct stat status {};
  const int seals = ::fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || ::fstat(fd.get(), &status) != 0 ||
      static_cast<std::uint64_t>(status.st_size) < kSize) {
    return Error{ErrorCode::Protocol, "a journal's descriptor is none"};
  }
  std::byte* memory = TRY(map(fd.get()));
  std::unique_ptr<Journal> journal(new Journal(number, std::move(fd), memory));
  const Head& head = journal->head();
  if (head.magic != kMagic) return Error{ErrorCode::Protocol, "this is no journal"};
  if (head.readable_by > kFormat) {
    return Error{ErrorCode::Protocol,
                 "the journal is of a later release: format " + std::to_string(head.format)};
  }
  if (head.slot_size != sizeof(HotSlot) || head.record_head_size != sizeof(RecordHead) ||
      head.slots_at != kSlotsAt || head.slots != kSlots || head.records_at != kRecordsAt ||
      head.half != kHalf || head.slots_lent > kSlots || head.used[0] > kHalf ||
      head.used[1] > kHalf || head.writes_to > 1) {
    return Error{ErrorCode::Protocol, "the journal's head is damaged"};
  }
  journal->slots_before_ = head.slots_lent;
  return journal;
}

// ---- Slots ------------------------------------------------------------------------------------

void Journal::lend_slots(std::vector<HotSlot*>& free) {
  const std::lock_guard lock(mutex_);
  for (std::uint64_t i = 0; i < kLend && !free_.empty(); ++i) {
    free.push_back(free_.back());
    free_.pop_back();
  }
  if (!free.empty()) return;
  const std::uint64_t lent = head().slots_lent.load(std::memory_order_relaxed);
  const std::uint64_t end = std::min(lent + kLend, kSlots);
  head().slots_lent.store(end, std::memory_order_release);
  for (std::uint64_t i = end; i > lent; --i) free.push_back(slot_at(i - 1));
}

void Journal::reclaim_slots() {
  const std::lock_guard lock(mutex_);
  for (std::size_t i = std::exchange(slots_before_, 0); i > 0; --i) {
    HotSlot* slot = slot_at(i - 1);
    const bool taken = slot->session_id.load(std::memory_order_acquire) != 0;
    if (taken && slot->record.load(std::memory_order_acquire) != 0) continue;
    session::clear(*slot);  // of one that was not written down: a login, or a session with us
    free_.push_back(slot);
  }
}

bool Journal::owns(const HotSlot& slot) const {
  const auto* at = reinterpret_cast<const std::byte*>(&slot);
  return at >= memory_ + kSlotsAt && at < memory_ + kRecordsAt;
}

HotSlot* Journal::take_slot() {
  std::vector<HotSlot*> some;
  lend_slots(some);
  if (some.empty()) return nullptr;
  HotSlot* slot = some.back();
  some.pop_back();
  const std::lock_guard lock(mutex_);
  free_.insert(free_.end(), some.begin(), some.end());
  return slot;
}

HotSlot* Journal::write_new(Kind kind, std::uint64_t id, std::string_view body) {
  HotSlot* slot = take_slot();
  if (slot == nullptr) return nullptr;
  slot->is_server = session::kNoSession;
  slot->session_id.store(id, std::memory_order_release);
  if (write(*slot, kind, id, body)) return slot;
  forget(*slot);
  return nullptr;
}

void Journal::forget(HotSlot& slot) {
  erase(slot);
  session::clear(slot);
  const std::lock_guard lock(mutex_);
  free_.push_back(&slot);
}

// ---- Records ----------------------------------------------------------------------------------

// With the mutex held.
std::optional<std::uint64_t> Journal::append(const RecordHead& record, std::string_view body) {
  const std::uint32_t half = head().writes_to.load(std::memory_order_relaxed);
  std::atomic<std::uint64_t>& used = head().used[half];
  const std::uint64_t begin = used.load(std::memory_order_relaxed);
  const std::uint64_t end = begin + aligned(sizeof record + body.size());
  if (end > kHalf) return std::nullopt;
  std::byte* at = memory_ + kRecordsAt + half * kHalf + begin;
  std::memcpy(at, &record, sizeof record);
  if (!body.empty()) std::memcpy(at + sizeof record, body.data(), body.size());
  used.store(end, std::memory_order_release);
  return half * kHalf + begin;
}

bool Journal::write(HotSlot& slot, Kind kind, std::uint64_t id, std::string_view body) {
  if (!owns(slot) || body.size() > kHalf) return false;
  const std::uint32_t sum = checksum(body);
  const std::lock_guard lock(mutex_);
  const auto size = static_cast<std::uint32_t>(body.size());
  const auto at = append({.size = size,
                          .kind = static_cast<std::uint16_t>(kind),
                          .version = record_format.version,
                          .readable_by = record_format.readable_by,
                          .id = id,
                          .previous = 0,
                          .changes = 0,
                          .whole = size,
                          .sum = sum,
                          .unused = 0},
                         body);
  if (at) wipe_chain(slot.record.exchange(*at, std::memory_order_acq_rel), id);
  return at.has_value();
}

bool Journal::add(HotSlot& slot, Kind kind, std::uint64_t id, std::string_view body) {
  if (!owns(slot) || body.size() > kHalf) return false;
  const std::uint32_t sum = checksum(body);
  const std::lock_guard lock(mutex_);
  const std::uint64_t previous = slot.record.load(std::memory_order_relaxed);
  if (previous == 0) return false;
  auto before = read_head(previous);
  if (!before) return false;
  const auto size = static_cast<std::uint32_t>(body.size());
  const auto at = append({.size = size,
                          .kind = static_cast<std::uint16_t>(kind),
                          .version = record_format.version,
                          .readable_by = record_format.readable_by,
                          .id = id,
                          .previous = previous,
                          .changes = before->changes + size + std::uint32_t{sizeof(RecordHead)},
                          .whole = before->whole,
                          .sum = sum,
                          .unused = 0},
                         body);
  if (at) slot.record.store(*at, std::memory_order_release);
  return at.has_value();
}

bool Journal::should_rewrite(const HotSlot& slot) const {
  const std::uint64_t at = slot.record.load(std::memory_order_relaxed);
  if (at == 0 || !owns(slot)) return false;
  const std::lock_guard lock(mutex_);
  auto record = read_head(at);
  return record && record->changes > kLeastRewrite && record->changes > 2 * record->whole;
}

Result<Journal::RecordHead> Journal::read_head(std::uint64_t at) const {
  const Error damaged{ErrorCode::Protocol, "a record of the journal is damaged"};
  if (at % 8 != 0 || at >= 2 * kHalf) return damaged;
  const std::uint64_t half = at / kHalf;
  const std::uint64_t used = std::min(head().used[half].load(std::memory_order_acquire), kHalf);
  const std::uint64_t begin = at - half * kHalf;
  RecordHead record{};
  if (begin + sizeof record > used) return damaged;
  std::memcpy(&record, memory_ + kRecordsAt + at, sizeof record);
  if (record.size > used - begin - sizeof record) return damaged;
  return record;
}

Result<JournalRecord> Journal::read_record(std::uint64_t at, std::uint64_t& previous) const {
  const RecordHead record = TRY(read_head(at));
  if (record.readable_by > record_format.version || record.version < record_format.oldest) {
    return Error{ErrorCode::Protocol, "a record of the journal is of another release: of version " +
                                          std::to_string(record.version) +
                                          ", for readers of version " +
                                          std::to_string(record.readable_by) + " or later"};
  }
  JournalRecord read{
      .kind = static_cast<Kind>(record.kind),
      .version = record.version,
      .id = record.id,
      .body = std::string(reinterpret_cast<const char*>(memory_ + kRecordsAt + at + sizeof record),
                          record.size)};
  if (checksum(read.body) != record.sum) {
    return Error{ErrorCode::Protocol, "a record of the journal is damaged"};
  }
  previous = record.previous;
  return read;
}

Result<std::optional<Kept>> Journal::read(std::size_t index) const {
  Kept kept{.slot = slot_at(index), .record = {}, .changes = {}};
  const std::uint64_t id = kept.slot->session_id.load(std::memory_order_acquire);
  std::uint64_t at = kept.slot->record.load(std::memory_order_acquire);
  if (id == 0 || at == 0) return std::optional<Kept>();
  for (;;) {
    std::uint64_t previous = 0;
    JournalRecord record = TRY(read_record(at, previous));
    if (record.id != id) {
      return Error{ErrorCode::Protocol, "a record of the journal belongs to another session"};
    }
    if (previous == 0) {
      kept.record = std::move(record);
      break;
    }
    kept.changes.push_back(std::move(record));
    if (kept.changes.size() > kMostChanges) {
      return Error{ErrorCode::Protocol, "a session's records have no end"};
    }
    at = previous;
  }
  std::reverse(kept.changes.begin(), kept.changes.end());
  return std::optional<Kept>(std::move(kept));
}

// ---- Garbage ----------------------------------------------------------------------------------

void Journal::erase(HotSlot& slot) {
  if (!owns(slot)) return;
  const std::lock_guard lock(mutex_);
  wipe_chain(slot.record.exchange(0, std::memory_order_acq_rel),
             slot.session_id.load(std::memory_order_relaxed));
}

// With the mutex held. A slot that was damaged may name another session's records.
void Journal::wipe_chain(std::uint64_t at, std::uint64_t session) {
  for (std::size_t i = 0; at != 0 && i <= kMostChanges; ++i) {
    auto record = read_head(at);
    if (!record || record->id != session) return;
    std::byte* body = memory_ + kRecordsAt + at + sizeof(RecordHead);
    doorman::wipe(std::span(body, record->size));
    at = record->previous;
  }
}

std::uint64_t Journal::live_bytes() const {
  std::uint64_t sum = 0;
  const std::uint64_t lent = slots();
  for (std::size_t i = 0; i < lent; ++i) {
    const std::uint64_t at = slot_at(i)->record.load(std::memory_order_acquire);
    if (at == 0) continue;
    if (auto record = read_head(at)) {
      sum += 2 * sizeof(RecordHead) + record->changes + record->whole;
    }
  }
  return sum;
}

std::uint64_t Journal::used_bytes() const {
  return head().used[head().writes_to.load(std::memory_order_relaxed) & 1U].load(
      std::memory_order_relaxed);
}

std::uint64_t Journal::garbage_bytes() const { return garbage_.load(std::memory_order_relaxed); }

bool Journal::compact_if_due() {
  const std::uint64_t used = used_bytes();
  if (slots_before_ > 0) return false;  // what is built again still moves to other slots
  if (used < kWorthCompacting || used < count_at_) return false;
  const std::uint64_t live = live_bytes();
  garbage_ = used > live ? used - live : 0;
  count_at_ = used + std::max(used / 4, kWorthCompacting);
  if (live * 2 > used) return false;
  compact();
  count_at_ = std::max(2 * used_bytes(), kWorthCompacting);
  garbage_ = 0;
  return true;
}

// All that a slot names, with the mutex held; nullopt: damaged, or no room.
std::optional<std::uint64_t> Journal::copy_chain(std::uint64_t at) {
  std::vector<std::uint64_t> chain;
  for (std::uint64_t next = at; next != 0;) {
    auto record = read_head(next);
    if (!record || chain.size() > kMostChanges) return std::nullopt;
    chain.push_back(next);
    next = record->previous;
  }
  std::uint64_t previous = 0;
  for (auto each = chain.rbegin(); each != chain.rend(); ++each) {
    RecordHead record{};
    std::memcpy(&record, memory_ + kRecordsAt + *each, sizeof record);
    record.previous = previous;
    const auto* body = reinterpret_cast<const char*>(memory_ + kRecordsAt + *each + sizeof record);
    const auto copied = append(record, {body, record.size});
    if (!copied) return std::nullopt;
    previous = *copied;
  }
  return previous;
}

// Is any record of the chain in that half? A change may be in the other one already.
bool Journal::reaches(std::uint64_t at, std::uint32_t half) const {
  for (std::size_t i = 0; at != 0 && i <= kMostChanges; ++i) {
    if (at / kHalf == half) return true;
    auto record = read_head(at);
    if (!record) return false;
    at = record->previous;
  }
  return false;
}

// Sessions write while it goes on: to the new half. A slot whose record has changed meanwhile, or
// that is free, is left as it is.
void Journal::compact() {
  std::unique_lock lock(mutex_);
  const std::uint32_t old = head().writes_to.load(std::memory_order_relaxed);
  head().used[1 - old].store(sizeof(RecordHead), std::memory_order_relaxed);
  head().writes_to.store(1 - old, std::memory_order_release);
  const std::uint64_t lent = slots();
  bool all = true;
  for (std::size_t i = 0; i < lent; ++i) {
    if (i % kSlotsAtOnce == kSlotsAtOnce - 1) {
      lock.unlock();
      lock.lock();
    }
    HotSlot* slot = slot_at(i);
    std::uint64_t at = slot->record.load(std::memory_order_acquire);
    if (at == 0 || !reaches(at, old)) continue;
    const auto copied = copy_chain(at);
    all = all && copied;
    if (copied && !slot->record.compare_exchange_strong(at, *copied, std::memory_order_acq_rel)) {
      if (auto record = read_head(*copied)) wipe_chain(*copied, record->id);  // it has ended
    }
  }
  if (all) erase_half(old);
}

void Journal::erase_half(std::uint32_t half) {
  const std::uint64_t used = head().used[half].exchange(sizeof(RecordHead));
  doorman::wipe(std::span(memory_ + kRecordsAt + half * kHalf, std::min(used, kHalf)));
  ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
              static_cast<off_t>(kRecordsAt + half * kHalf), static_cast<off_t>(kHalf));
}

void Journal::wipe() {
  const std::lock_guard lock(mutex_);
  set_phase(Phase::Void);
  for (const std::uint32_t half : {0U, 1U}) erase_half(half);
}

// ---- The head ---------------------------------------------------------------------------------

void Journal::set_phase(Phase phase) {
  head().phase.store(static_cast<std::uint32_t>(phase), std::memory_order_release);
}

Phase Journal::phase() const {
  const std::uint32_t phase = head().phase.load(std::memory_order_acquire);
  return phase > static_cast<std::uint32_t>(Phase::Stopped) ? Phase::Void
                                                            : static_cast<Phase>(phase);
}

std::size_t Journal::slots() const {
  return std::min(head().slots_lent.load(std::memory_order_acquire), kSlots);
}

void Journal::use_ids_from(std::uint64_t first) {
  std::uint64_t known = head().next_id.load(std::memory_order_relaxed);
  while (known < first && !head().next_id.compare_exchange_weak(known, first)) {
  }
}

std::uint64_t Journal::first_free_id() const {
  std::uint64_t first = head().next_id.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < slots(); ++i) {
    const HotSlot* slot = slot_at(i);
    if (slot->is_server == session::kNoSession) continue;
    first = std::max({first, slot->session_id.load(std::memory_order_acquire) + 1,
                      slot->peer_id.load(std::memory_order_acquire) + 1});
  }
  return first;
}

Vaults Journal::vaults() const {
  return {.live = head().vaults[0].load(std::memory_order_relaxed),
          .stop = head().vaults[1].load(std::memory_order_relaxed)};
}

void Journal::set_vaults(Vaults vaults) {
  head().vaults[0].store(vaults.live, std::memory_order_relaxed);
  head().vaults[1].store(vaults.stop, std::memory_order_relaxed);
}

std::unordered_set<std::uint64_t> Journal::sessions() const {
  std::unordered_set<std::uint64_t> ids;
  for (std::size_t i = 0; i < slots(); ++i) {
    const std::uint64_t id = slot_at(i)->session_id.load(std::memory_order_acquire);
    if (id != 0 && slot_at(i)->is_server != session::kNoSession) ids.insert(id);
  }
  return ids;
}

Journal::Busy Journal::busy() const {
  Busy busy;
  for (std::size_t i = 0; i < slots(); ++i) {
    const HotSlot* slot = slot_at(i);
    const std::uint8_t pending = slot->pending.load(std::memory_order_relaxed);
    if ((pending & ~session::pending::kListens) != 0) ++busy.pending;
    if (slot->in_doubt.load(std::memory_order_relaxed) != 0) ++busy.in_doubt;
  }
  return busy;
}

std::uint32_t Journal::deaths() const { return head().deaths.load(std::memory_order_relaxed); }

void Journal::set_deaths(std::uint32_t count) {
  head().deaths.store(count, std::memory_order_release);
}

}  // namespace doorman::handoff
