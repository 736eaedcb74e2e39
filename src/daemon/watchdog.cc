#include "daemon/watchdog.h"

#include <systemd/sd-daemon.h>

#include "base/log.h"

namespace doorman::daemon {

Duration Watchdog::limit_of_environment() {
  std::uint64_t us = 0;
  if (::sd_watchdog_enabled(/*unset_environment=*/0, &us) <= 0) return Duration::zero();
  return Duration(us);
}

void Watchdog::look(Instant now, const std::vector<std::uint64_t>& turns) {
  if (limit_ <= Duration::zero()) return;
  seen_.resize(turns.size(), {.turns = 0, .at = now});
  int hung = -1;
  for (std::size_t i = 0; i < turns.size(); ++i) {
    if (turns[i] != seen_[i].turns || standing_by_) seen_[i] = {.turns = turns[i], .at = now};
    if (now - seen_[i].at >= limit_ / 2) hung = static_cast<int>(i);
  }
  if (hung >= 0) {
    if (!complained_) {
      log(LogLevel::Error, "worker {} hangs: no keep-alive for the service manager any more", hung);
    }
    complained_ = true;
    return;
  }
  complained_ = false;
  if (now < next_) return;
  next_ = now + limit_ / 4;
  notifier_.keep_alive();
}

}  // namespace doorman::daemon
