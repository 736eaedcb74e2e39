// What only the service manager knows: why this service is being ended, and which process is it.
#pragma once

#include <optional>

#include "base/clock.h"

namespace doorman::handoff {

// The job under way for this service. None: somebody sent a signal by hand, say. Unknown: there is
// no systemd, or it does not answer.
enum class Job { Unknown, None, Restart, Stop };

// Asks systemd over D-Bus; blocks for `limit` at most. Not on a worker.
Job current_job(Duration limit);

// Whether it takes this process for the service's main one. nullopt: as Unknown.
std::optional<bool> is_main_process(Duration limit);

}  // namespace doorman::handoff
