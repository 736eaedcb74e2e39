// Service: this process as its service manager sees it: is it ready, alive, what does it do.
//
// Belongs to the main thread. Without a service manager all of it does nothing. Made before any
// other thread runs, since it takes what the environment says out of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "daemon/watchdog.h"
#include "handoff/notifier.h"
#include "handoff/passed.h"

namespace doorman::daemon {

// What the service manager is told of the traffic.
struct Figures {
  std::size_t clients = 0;
  std::size_t servers = 0;
  std::size_t pools = 0;
  std::vector<std::uint64_t> turns;  // of each worker's loop
};

class Service {
 public:
  Service();

  handoff::Notifier& notifier() { return notifier_; }
  Watchdog& watchdog() { return watchdog_; }

  // Listening sockets, ours or the service manager's, and what an earlier process has stored.
  std::vector<handoff::PassedFd> take_listening();
  std::vector<handoff::PassedFd> take_stored() { return std::move(stored_); }

  // This process is a successor that has to prove itself: it says nothing as yet.
  void be_successor();
  // The process serves, and is the service's main process.
  void began(Instant now);
  // After a reload or an upgrade that left this process in charge: RELOADING ends with READY.
  void reloading() { notifier_.reloading(); }
  void reloaded() { notifier_.ready(); }
  void stopping();
  // The exit status of a process that an operator has ended for good: the unit names it in
  // RestartPreventExitStatus=.
  int stay_down() const { return notifier_.active() ? kStayDown : 0; }

  // Called often: keep-alives, and the status once a second if it has changed.
  void tick(Instant now, const Figures& figures);

  // A few words behind the figures of the status. Empty: none.
  void note(std::string text) { note_ = std::move(text); }

 private:
  static constexpr Duration kBetweenStatus = std::chrono::seconds(1);
  static constexpr Duration kBetweenExtensions = std::chrono::seconds(5);
  // A process that has served for so long is worth falling back to.
  static constexpr Duration kProven = std::chrono::seconds(10);

  static constexpr int kStayDown = 4;

  void store_executable();

  std::vector<handoff::PassedFd> listening_;
  std::vector<handoff::PassedFd> stored_;
  std::string fallback_;  // why this is not the installed executable; empty: it is
  handoff::Notifier notifier_;
  Watchdog watchdog_;
  std::string note_;
  std::string said_;
  Instant next_status_{};
  Instant next_extension_{};
  std::optional<Instant> proven_at_;  // nullopt: not serving yet, or done
  bool stopping_ = false;
};

}  // namespace doorman::daemon
