// Trial: while a successor has to prove itself, all that becomes of its sessions is written where
// the old process can read it. If the successor dies, the old one takes everything back from there,
// by the rules of a crash.
//
// The sockets of the sessions that were carried are not in it: the old process has them still.
#pragma once

#include <memory>
#include <vector>

#include "daemon/worker.h"
#include "handoff/fd_store.h"
#include "handoff/live_stash.h"
#include "handoff/recovery.h"
#include "handoff/stash.h"
#include "session/records.h"

namespace doorman::daemon {

class Trial {
 public:
  // In the successor, with all workers at rest and before sessions are built.
  static Result<std::unique_ptr<Trial>> begin(const std::vector<Worker*>& workers);
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
  ~Trial();

  std::vector<handoff::NamedFd> fds() const { return stash_->fds(); }
  // On a worker's thread, at rest: its sessions write nothing any more, or somewhere else by now.
  void let_go(Worker& worker);

 private:
  Trial() = default;

  handoff::NoFdStore store_;
  std::unique_ptr<handoff::Stash> stash_;
  std::unique_ptr<handoff::KeptStatements> statements_;
  std::vector<std::unique_ptr<handoff::LiveStash>> live_;
};

// In the old process, with all workers at rest: what has become of its sessions, from the dead
// successor's trial and our copies of their sockets.
struct Copy {
  std::uint64_t client;
  UniqueFd fd;
};
Result<handoff::Recovered> take_back(std::vector<handoff::PassedFd> trial, std::vector<Copy> copies,
                                     session::Shared& shared, const std::vector<Worker*>& workers);

}  // namespace doorman::daemon
