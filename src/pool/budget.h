// Budget: how many there are of something that is limited, exactly, over all workers.
// Charge: one of them, given back by its destructor, so no path forgets.
//
// Any thread; no lock. A limit of 0 means unlimited, as in the configuration.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "base/check.h"

namespace doorman::pool {

class Budget {
 public:
  [[nodiscard]] bool take(int limit) {
    int used = used_.load();
    while (limit <= 0 || used < limit) {
      if (used_.compare_exchange_weak(used, used + 1)) return true;
    }
    return false;
  }
  void give_back() { CHECK(used_.fetch_sub(1) > 0); }
  int used() const { return used_.load(); }

 private:
  std::atomic<int> used_ = 0;
};

class Charge {
 public:
  Charge() = default;
  // Takes one of `budget`, or stays empty. What the budget is a part of lives on meanwhile.
  Charge(std::shared_ptr<Budget> budget, int limit) {
    if (budget->take(limit)) budget_ = std::move(budget);
  }
  // Of a budget that outlives its charges.
  Charge(Budget& budget, int limit)
      : Charge(std::shared_ptr<Budget>(std::shared_ptr<void>(), &budget), limit) {}
  Charge(Charge&& other) noexcept = default;
  Charge& operator=(Charge&& other) noexcept {
    reset();
    budget_ = std::move(other.budget_);
    return *this;
  }
  ~Charge() { reset(); }

  explicit operator bool() const { return budget_ != nullptr; }
  void reset() {
    if (const auto budget = std::exchange(budget_, nullptr)) budget->give_back();
  }

 private:
  std::shared_ptr<Budget> budget_;
};

}  // namespace doorman::pool
