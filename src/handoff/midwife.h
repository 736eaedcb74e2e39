// Midwife: starts the successor, and knows how it ended if it did.
//
// A process between the two, a fork of this one that does nothing but wait. While it lives the
// successor is its child, so its exit status is known; once it leaves, the successor is the child
// of init or of the service manager, which then notices its death. (systemd does not notice the
// death of a main process whose parent lives.)
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace doorman::handoff {

struct Program {
  std::string path;
  std::vector<std::string> arguments;  // the first is its name
};

// The program as it was started, made absolute: what an upgrade starts. Symbolic links stay, since
// they may point elsewhere by then.
std::string installed_path(const char* argv0);

class Midwife {
 public:
  static constexpr int kSuccessorsFd = 3;  // where the successor finds `fd`, and nothing above it

  Midwife() = default;
  Midwife(Midwife&& other) noexcept;
  Midwife& operator=(Midwife&& other) noexcept;
  ~Midwife() { leave(); }

  static Result<Midwife> start(const Program& program, int fd, Instant by);

  pid_t successor() const { return successor_; }
  int pidfd() const { return pidfd_.get(); }
  // "exited with status 3", "was killed by signal 11 (Segmentation fault)"; empty while it runs.
  std::string how_it_ended(Instant by);
  // Kills the successor, and returns when it is gone.
  void kill();
  // The successor is on its own from here on.
  void leave();

 private:
  pid_t midwife_ = -1;
  pid_t successor_ = -1;
  UniqueFd pidfd_;
  UniqueFd line_;  // to the midwife; closed, it leaves
};

}  // namespace doorman::handoff
