// Upgrade: the old process's side of a live upgrade, a transaction with one verdict.
//
// Start the successor, hear its versions, rehearse, stop all workers, hand everything over, and
// stand by until it has proven itself. Until it is told to serve, any failure is answered by going
// on as if nothing had happened. On a thread of its own, since every step may take until its limit;
// what touches the daemon runs on the main thread.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/carry.h"
#include "handoff/channel.h"
#include "handoff/midwife.h"
#include "handoff/passed.h"

namespace doorman::daemon {

class Daemon;
class Halt;

// What came of an upgrade.
struct Verdict {
  bool done = false;
  std::string text;  // for people
  // For SHOW UPGRADES.
  std::int64_t at = 0;  // seconds since 1970
  std::string from;     // versions
  std::string to;
  std::size_t clients = 0;
  std::size_t servers = 0;
  std::size_t left_behind = 0;
  Duration pause{};  // from the stop of the workers until the successor served
};
std::string save(const Verdict& verdict);
Result<Verdict> load_verdict(std::string_view record);

class Upgrade {
 public:
  using Done = std::function<void(const Verdict&)>;

  Upgrade(Daemon& daemon, handoff::Program program);
  Upgrade(const Upgrade&) = delete;
  Upgrade& operator=(const Upgrade&) = delete;
  ~Upgrade();

  // Who is to be told; on the main thread.
  std::vector<Done> told;
  // The process is to end: in probation the successor is left to itself, else it is given up.
  void hurry();
  // The successor, once it has taken over; -1 before.
  pid_t successor() const { return taken_over_.load() ? midwife_.successor() : -1; }
  const Verdict& verdict() const { return verdict_; }
  // To the successor, after the verdict.
  handoff::Channel& channel() { return channel_; }

 private:
  static constexpr Duration kStartLimit = std::chrono::seconds(5);
  static constexpr Duration kRehearsalLimit = std::chrono::seconds(10);
  static constexpr Duration kLoginLimit = std::chrono::milliseconds(500);
  static constexpr Duration kCarryLimit = std::chrono::seconds(3);
  static constexpr Duration kStoreLimit = std::chrono::seconds(1);
  static constexpr Duration kAnswerLimit = std::chrono::seconds(5);
  static constexpr Duration kBetweenPings = std::chrono::milliseconds(200);

  void run();
  Result<> start();
  Result<> rehearse();
  void let_logins_finish();
  Result<> carry();
  Result<> stand_by();
  void take_back();
  void park_both();
  void leave();
  // Runs `work` on the main thread and waits for it.
  void on_main(const std::function<void()>& work);
  Error explained(Error error);

  // On the main thread, with all workers at rest.
  Result<> hand_over();
  Result<> give_all(Halt& halt, Instant began);
  void keep_trial(std::string_view names, std::vector<UniqueFd> fds);
  Result<> send_sockets(const std::vector<Lane>& lanes, Instant by);

  Daemon& daemon_;
  const handoff::Program program_;
  handoff::Channel channel_;
  handoff::Midwife midwife_;
  UniqueFd hurry_;  // an eventfd
  std::vector<Lane> lanes_;
  std::vector<std::vector<session::Image>> images_;  // of the lanes, after the successor has them
  std::vector<handoff::PassedFd> trial_;  // what the successor writes while it is on trial
  std::atomic<bool> taken_over_ = false;
  Verdict verdict_;
  std::thread thread_;
};

}  // namespace doorman::daemon
