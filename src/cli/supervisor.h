// Supervisor: what pg_doorman is as PID 1 of a container, where the kernel ends everything with the
// first process: it stays, over any number of upgrades, and the pooler is its child.
#pragma once

#include <optional>

namespace doorman::cli {

// As PID 1: forks; in the child nullopt, in the supervisor the exit status once all is over.
// Elsewhere: nullopt at once.
std::optional<int> supervise();

}  // namespace doorman::cli
