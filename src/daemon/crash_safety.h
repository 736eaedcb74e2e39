// CrashSafety: the process's stash from its start to its end: what the process before has left is
// built again, what this one has is written as it runs, and the next one gets it, or not.
//
// At an upgrade the successor goes on with the old process's vault and a journal of its own, which
// the old one gives to the FD store before it says Go. So at every moment one journal says how the
// sessions stand: the youngest that counts.
//
// Belongs to the main thread. Without a service manager that keeps descriptors nobody would read a
// stash, so there is none.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "config/settings.h"
#include "daemon/worker.h"
#include "handoff/live_stash.h"
#include "handoff/notifier.h"
#include "handoff/passed.h"
#include "handoff/recovery.h"
#include "handoff/stash.h"

namespace doorman::daemon {

class CrashSafety {
 public:
  explicit CrashSafety(handoff::Notifier& notifier) : notifier_(notifier), store_(notifier) {}

  // Before the workers run: sessions take their slots from the stash from here on.
  void begin(std::vector<handoff::PassedFd> stored, const config::Settings& settings,
             session::Shared& shared, const std::vector<Worker*>& workers);

  // For sessions that the process before hands over, at an upgrade or a restart. Before they are
  // built, with all workers at rest: they are written down as they come. `vault`: of that process;
  // empty: it has none. What is written counts from go_live() on.
  Result<> succeed(std::vector<handoff::PassedFd> vault, std::uint32_t number,
                   const std::vector<Worker*>& workers);
  void go_live();
  // This process is the service's main one. Clients are crash-safe from here on if they are to be.
  void take_charge(const config::Settings& settings);
  // Goes on with the vault of the process before, so it has the sockets of clients that it had.
  bool has_their_vault() const { return has_their_vault_; }

  // ---- For the process that hands over, at an upgrade
  // Its vault, for the successor; none: clients are not crash-safe.
  std::vector<handoff::NamedFd> vault() const;
  std::uint32_t next_number() const { return stash_ ? stash_->next_number() : 0; }
  // Gives what the successor writes to the FD store, in case that both die. More than once.
  void keep_trial(const std::vector<handoff::PassedFd>& trial);
  // It never came to serve: what it has written does not count.
  void forget_trial(std::vector<handoff::PassedFd> trial);
  // The successor serves: the vault is its own.
  void lend(const std::vector<Worker*>& workers) { set_lent(true, workers); }
  // It is dead: from what it has written, and our copies of the sockets. With all workers at rest.
  struct Copy {
    std::uint64_t client;
    UniqueFd fd;
  };
  Result<handoff::Recovered> take_back(std::vector<handoff::PassedFd> trial,
                                       std::vector<Copy> copies, session::Shared& shared,
                                       const std::vector<Worker*>& workers);
  // It is on its own.
  void hand_over();

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
  void write_nothing(Worker& worker);
  void set_lent(bool lent, const std::vector<Worker*>& workers);
  void set_aside();
  void recover(session::Shared& shared, const std::vector<Worker*>& workers);

  handoff::Notifier& notifier_;
  handoff::SystemdFdStore store_;
  std::unique_ptr<handoff::Stash> stash_;
  std::unique_ptr<handoff::KeptStatements> statements_;
  std::vector<std::unique_ptr<handoff::LiveStash>> live_;
  std::vector<Worker*> workers_;
  Instant proven_at_ = Instant::max();
  Instant next_tidying_{};
  std::uint64_t restored_ = 0;
  bool has_their_vault_ = false;
  bool on_trial_ = false;  // another process is in charge
  bool lent_ = false;
  std::set<std::string> trial_names_;  // that are in the FD store
};

}  // namespace doorman::daemon
