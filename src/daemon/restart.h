// Restart: all that a process is, left in the service manager's FD store for the one that it starts
// next: records in memory files, sockets in a vault.
//
// Written when the process is told to end although the service is not to stop. The records are
// those of an upgrade (daemon/carry.h). The last descriptor to be stored says that all are there;
// who is killed before that leaves what crash_safe had kept, and no more.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/carry.h"
#include "daemon/halt.h"
#include "handoff/channel.h"
#include "handoff/notifier.h"
#include "handoff/passed.h"
#include "handoff/vault.h"

namespace doorman::daemon {

class CrashSafety;
class Daemon;

// Puts vaults and memory files into the FD store under names that the stash does not use.
class RestartStore final : public handoff::FdStore {
 public:
  explicit RestartStore(handoff::Notifier& notifier) : notifier_(notifier) {}
  void keep(const std::string& name, int fd) override;
  void drop(const std::string& name) override;

 private:
  handoff::Notifier& notifier_;
};

// Everything written down. The workers stand still as long as it lives: the process is to end at
// once and without a word to its peers.
struct Parcel {
  std::unique_ptr<Halt> halt;
  std::vector<handoff::PassedFd> fds;  // for the FD store, in this order
};
// Error: nothing has changed.
Result<Parcel> pack(Daemon& daemon);
// Puts it into the FD store; all or nothing.
Result<> store(const std::vector<handoff::PassedFd>& parcel, handoff::Notifier& notifier);

// What the process before has parked.
class Parked {
 public:
  // Takes its own out of `stored`, and all else, which is older. Null: there is nothing, or nothing
  // that can be used, which the log then says; the rest stays.
  static std::unique_ptr<Parked> take(std::vector<handoff::PassedFd>& stored,
                                      handoff::Notifier& notifier);

  // Before the workers run. What is built is written down from the first moment on.
  Result<> succeed(CrashSafety& crash_safety, const std::vector<Worker*>& workers);
  // Builds all again, with the workers running and nobody accepted yet.
  Result<> build(Daemon& daemon);

 private:
  explicit Parked(handoff::Notifier& notifier)
      : store_(notifier), vault_(kVault, store_), notifier_(notifier) {}
  static constexpr std::uint32_t kVault = 1;
  // Processes that die over it. Then it is taken to be the reason.
  static constexpr std::size_t kMostTries = 3;

  Result<> read(std::vector<handoff::PassedFd> fds);
  Result<std::vector<Piece>> pieces(CrashSafety& crash_safety);
  void drop();

  RestartStore store_;
  handoff::Vault vault_;
  handoff::Notifier& notifier_;
  ProcessRecord process_;
  std::vector<std::string> names_;  // in the FD store, without the vault's
  std::vector<UniqueFd> lanes_;
  std::vector<handoff::Mapped> maps_;  // what pieces point into
  // Of clients that were crash-safe; it goes on being theirs, and is not dropped.
  std::vector<handoff::PassedFd> live_vault_;
  std::uint32_t next_stash_ = 0;
  std::size_t lost_ = 0;
};

}  // namespace doorman::daemon
