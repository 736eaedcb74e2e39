// HeldTexts: how much memory the texts of a pool's clients take, over all workers.
//
// A text is counted once, however many clients hold it. Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>

namespace doorman::pool {

class HeldTexts {
 public:
  // One more client holds the text of that number, and `own` bytes that are its alone.
  void hold(std::uint64_t number, std::size_t text, std::size_t own);
  void let_go(std::uint64_t number, std::size_t text, std::size_t own);
  // Whether `limit` (0: none) leaves room for one more. Workers that ask at the same moment may
  // all get the last place.
  bool has_room(std::uint64_t number, std::size_t text, std::size_t own, std::size_t limit) const;
  std::size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  std::size_t count() const;  // of different texts

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::size_t> holders_;  // guarded by mutex_
  std::atomic<std::size_t> bytes_ = 0;
};

}  // namespace doorman::pool
