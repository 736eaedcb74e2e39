// A journal of which every byte may be wrong: reading it ends, and reads nothing outside of it.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "handoff/journal.h"

namespace {

using doorman::UniqueFd;
using doorman::handoff::Journal;

constexpr off_t kSlotsAt = 4096;
constexpr off_t kRecordsAt = kSlotsAt + 32 * (1 << 20);
constexpr std::size_t kSlotBytes = 32 * 8;

void put(int fd, const std::uint8_t* data, std::size_t size, off_t at) {
  if (size > 0 && ::pwrite(fd, data, size, at) < 0) std::abort();
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto made = Journal::create(1);
  if (!made) return 0;
  Journal& journal = **made;
  doorman::session::HotSlots slots;
  slots.use(&journal);
  for (std::uint64_t id = 1; id <= 4; ++id) {
    auto& slot = slots.take(id, false);
    journal.write(slot, doorman::handoff::Kind::Client, id, "whole");
    journal.add(slot, doorman::handoff::Kind::ParametersChanged, id, "changed");
  }
  // The first byte says which part the others replace.
  if (size > 0) {
    const std::uint8_t part = *data++;
    --size;
    const off_t places[] = {0, kSlotsAt, kRecordsAt};
    put(journal.fd(), data, std::min(size, part % 3 == 1 ? kSlotBytes : std::size_t{2048}),
        places[part % 3]);
  }
  auto opened = Journal::open(1, UniqueFd(::dup(journal.fd())));
  if (!opened) return 0;
  for (std::size_t i = 0; i < std::min<std::size_t>((*opened)->slots(), 256); ++i) {
    auto kept = (*opened)->read(i);
    if (kept && *kept && (*kept)->record.body.size() > 4096) std::abort();
  }
  static_cast<void>((*opened)->first_free_id());
  return 0;
}
