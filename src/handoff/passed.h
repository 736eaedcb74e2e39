// The descriptors that the service manager passed at start: listening sockets, and what an earlier
// process of this service left in its FD store.
//
// They are told apart by name only, since systemd gives them in any order.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace doorman::handoff {

// Names of what we put into the FD store, besides the stash.
inline constexpr std::string_view kOwnListener = "listener";  // a listening socket that we opened
inline constexpr std::string_view kLastGood = "last-good";    // an executable that has served

struct PassedFd {
  std::string name;
  UniqueFd fd;
};

// Owns them from here on: close-on-exec, and the environment does not name them any more. A second
// call finds nothing. While no other thread runs.
std::vector<PassedFd> take_passed_fds();

// Whether clients connect to it.
bool is_listening(int fd);

}  // namespace doorman::handoff
