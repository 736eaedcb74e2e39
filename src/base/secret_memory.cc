#include "base/secret_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <span>

#include "base/check.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/text.h"

namespace doorman {

namespace {

constexpr std::size_t kUnit = alignof(std::max_align_t);
constexpr std::size_t kLargest = 512;  // what is larger is a mapping of its own
constexpr std::size_t kSlab = std::size_t{64} * 1024;

struct Free {
  Free* next;
};

// Slabs are never unmapped: what is given back is for the next of its size.
struct Slabs {
  std::mutex mutex;
  std::array<Free*, kLargest / kUnit> free{};
  std::byte* at = nullptr;
  std::size_t left = 0;
};

Slabs& slabs() {
  static auto* const all = new Slabs;  // threads may outlive main()
  return *all;
}

std::size_t rounded(std::size_t size) {
  return (std::max<std::size_t>(size, 1) + kUnit - 1) / kUnit * kUnit;
}

std::byte* map_secret(std::size_t size) {
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  protect_memory(memory, size);
  return static_cast<std::byte*>(memory);
}

}  // namespace

void protect_memory(void* memory, std::size_t size) {
  static std::atomic<bool> said = false;
  ::madvise(memory, size, MADV_DONTDUMP);
  if (::mlock2(memory, size, MLOCK_ONFAULT) == 0 || said.exchange(true)) return;
  log(LogLevel::Info, "keys of sessions may be swapped out: mlock2: {}: raise LimitMEMLOCK",
      errno_text(errno));
}

void* take_secret_memory(std::size_t size) {
  size = rounded(size);
  if (size > kLargest) return map_secret(size);
  Slabs& all = slabs();
  const std::lock_guard lock(all.mutex);
  Free*& free = all.free[size / kUnit - 1];
  if (free != nullptr) {
    Free* taken = free;
    free = taken->next;
    return taken;
  }
  if (all.left < size) {  // the rest, less than one of the largest, is left
    all.at = map_secret(kSlab);
    all.left = kSlab;
  }
  std::byte* taken = all.at;
  all.at += size;
  all.left -= size;
  return taken;
}

void give_back_secret_memory(void* memory, std::size_t size) {
  size = rounded(size);
  wipe(std::span(static_cast<std::byte*>(memory), size));
  if (size > kLargest) {
    ::munmap(memory, size);
    return;
  }
  Slabs& all = slabs();
  const std::lock_guard lock(all.mutex);
  Free*& free = all.free[size / kUnit - 1];
  free = ::new (memory) Free{free};
}

}  // namespace doorman
