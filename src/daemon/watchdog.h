// Watchdog: keep-alives for the service manager, as long as every worker's loop turns.
//
// A worker that hangs, or a main thread that does, ends them, and systemd restarts the service. A
// worker turns at least once per tick of its own, so a count that stands still is a hang.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "handoff/notifier.h"

namespace doorman::daemon {

class Watchdog {
 public:
  // What systemd asked for in our environment; zero: no watchdog.
  static Duration limit_of_environment();

  Watchdog(handoff::Notifier& notifier, Duration limit) : notifier_(notifier), limit_(limit) {}

  // Called often, with the turns that each worker has made since its start.
  void look(Instant now, const std::vector<std::uint64_t>& turns);

  // While the workers stand still by intention: the caller's life is enough.
  void stand_by(bool standing) { standing_by_ = standing; }

 private:
  struct Seen {
    std::uint64_t turns = 0;
    Instant at{};
  };

  handoff::Notifier& notifier_;
  const Duration limit_;
  std::vector<Seen> seen_;
  Instant next_{};
  bool standing_by_ = false;
  bool complained_ = false;
};

}  // namespace doorman::daemon
