// The sockets on which clients arrive: from the service manager, from an earlier process of this
// service, or opened as the configuration says.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "config/settings.h"
#include "handoff/notifier.h"
#include "handoff/passed.h"

namespace doorman::daemon {

struct Listeners {
  std::vector<UniqueFd> fds;
  std::vector<std::string> unix_paths;  // of sockets that are ours, so ours to remove
  bool ours = false;                    // else the service manager's
};

// If the service manager passed sockets of its own, they are all, and where the configuration wants
// others that is said in the log. Sockets that we open are put into its store, so that clients who
// come during a restart wait instead of being refused; those found there are used again.
Result<Listeners> open_listeners(const config::Settings& settings,
                                 std::vector<handoff::PassedFd> passed,
                                 handoff::Notifier& notifier);

}  // namespace doorman::daemon
