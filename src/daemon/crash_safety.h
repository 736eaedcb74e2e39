// CrashSafety: the process's stash from its start to its end: what the process before has left is
// built again, what this one has is written as it runs, and the next one gets it, or not.
//
// Belongs to the main thread. Without a service manager that keeps descriptors nobody would read a
// stash, so there is none.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "config/settings.h"
#include "daemon/worker.h"
#include "handoff/live_stash.h"
#include "handoff/notifier.h"
#include "handoff/passed.h"
#include "handoff/stash.h"

namespace doorman::daemon {

class CrashSafety {
 public:
  explicit CrashSafety(handoff::Notifier& notifier) : notifier_(notifier), store_(notifier) {}

  // Before the workers run: sessions take their slots from the stash from here on.
  void begin(std::vector<handoff::PassedFd> stored, const config::Settings& settings,
             session::Shared& shared, const std::vector<Worker*>& workers);
  // For a successor, whose sessions run already.
  void begin_late(const config::Settings& settings, const std::vector<Worker*>& workers);
  void tick(Instant now);
  // The process ends and its clients with it: nothing is left for a next one.
  void discard();

  struct Figure {
    std::string key;
    std::uint64_t value;
  };
  std::vector<Figure> figures() const;
  bool on() const { return !live_.empty(); }
  handoff::Stash* stash() { return stash_.get(); }
  handoff::FdStore& store() { return store_; }

 private:
  // Dying so often soon after a start is blamed on the stash.
  static constexpr std::uint32_t kMostDeaths = 3;
  static constexpr Duration kProven = std::chrono::milliseconds(500);
  static constexpr Duration kHaltLimit = std::chrono::seconds(3);
  static constexpr Duration kBetweenTidying = std::chrono::milliseconds(500);

  void open(std::vector<handoff::PassedFd> stored);
  bool create();
  void make_live(const std::vector<Worker*>& workers);
  void set_aside();
  void recover(session::Shared& shared, const std::vector<Worker*>& workers);

  handoff::Notifier& notifier_;
  handoff::SystemdFdStore store_;
  std::unique_ptr<handoff::Stash> stash_;
  std::unique_ptr<handoff::KeptStatements> statements_;
  std::vector<std::unique_ptr<handoff::LiveStash>> live_;
  std::vector<const Worker*> workers_;
  Instant proven_at_ = Instant::max();
  Instant next_tidying_{};
  std::uint64_t restored_ = 0;
};

}  // namespace doorman::daemon
