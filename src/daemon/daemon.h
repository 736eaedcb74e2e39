// Daemon: the life of the process. Starts the workers, listens to signals, reloads, ends.
//
// Runs on the main thread, which carries no traffic; commands of the operator run here, one at a
// time, whatever face they came in by.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/helper_threads.h"
#include "base/mailbox.h"
#include "daemon/acceptor.h"
#include "daemon/carry.h"
#include "daemon/control_socket.h"
#include "daemon/crash_safety.h"
#include "daemon/listeners.h"
#include "daemon/service.h"
#include "daemon/successor.h"
#include "daemon/upgrade.h"
#include "daemon/worker.h"
#include "net/event.h"
#include "net/resolver.h"
#include "pool/shared_pool.h"
#include "session/cancel.h"
#include "session/host.h"
#include "session/passwords.h"

namespace doorman::daemon {

struct Options {
  std::string config_path;
  bool quiet = false;  // nothing to stderr
  int verbose = 0;
  std::string program = {};  // what an upgrade starts
  int take_over = -1;        // the channel to the process that this one is to succeed
};

// Reads the configuration and the users that it names.
Result<session::RulesRef> load_rules(const std::string& config_path);

enum class Ending {
  None,
  WhenIdle,        // sessions end with their transactions, at the latest after shutdown_timeout
  WaitForClients,  // until the last client has left by itself
  WaitForServers,  // until no server is in use
  AtOnce
};

class Daemon final : private net::EventHandler {
 public:
  Daemon(Options options, session::RulesRef rules);
  ~Daemon();

  // Binds the listening sockets (or takes those of the service manager) and starts the workers.
  Result<> open(session::LocalDatabase& local);
  // Until the process is to end; its exit status.
  int run();

  // The following belong to the main thread.
  Result<> reload();
  void set_rules(session::RulesRef changed);  // checked by the caller
  void end(Ending how);
  // A service manager is not to start it again.
  void stay_down() { exit_status_ = service_.stay_down(); }
  Ending ending() const { return ending_; }
  // Runs `visit` on each worker, on that worker's thread, one after the other, and waits.
  void visit_workers(const std::function<void(Worker&)>& visit);
  void visit_worker(std::size_t index, const std::function<void(Worker&)>& visit);
  // Starts an upgrade; `done` is called once, with the verdict. Error: refused, and why.
  Result<> upgrade(Upgrade::Done done);
  // Verdicts of this process and of those before it, oldest first.
  const std::vector<Verdict>& verdicts() const { return verdicts_; }
  void add_verdict(Verdict verdict);
  // A setting was changed until the next reload.
  void remember_set(std::string key, std::string value);

  // For Upgrade, on the main thread.
  void pause_accepting(bool paused);
  ProcessRecord describe();
  std::vector<int> listening_fds() const { return listening_fds_; }
  bool handed_on() const { return handed_on_; }
  int control_fd() const { return control_ ? control_->fd() : -1; }
  void hand_on(pid_t successor);
  void take_back(const std::vector<Lane>& lanes, std::vector<std::vector<session::Image>> images,
                 std::vector<handoff::PassedFd> trial);
  void upgrade_ended(Upgrade& upgrade);
  // Ends the process, with what the successor has left to the next one.
  [[noreturn]] void leave_parcel(std::vector<handoff::PassedFd> parcel);
  // For Successor, on the main thread.
  Result<> take_state(const ProcessRecord& process);
  Result<Listeners> listeners_from(const ProcessRecord& process, std::vector<UniqueFd> passed);
  void accept_on(Worker& home, Listeners listeners);  // on `home`'s thread
  void adopt_control(UniqueFd fd);
  void become_main();
  // The process that this one was to succeed is gone, and has not said that it is in charge.
  void orphaned();

  // From any thread.
  void post(Task task) { mailbox_.post(std::move(task)); }
  void cancel_here(const std::string& key);
  // Nobody stays to take back what a successor has.
  bool is_leaving() const { return shared_.shutting_down || restart_waits_; }
  bool is_restarting() const { return restart_waits_; }

  const session::RulesRef& rules() const { return rules_; }
  session::Shared& shared() { return shared_; }
  pool::Registry& registry() { return registry_; }
  HelperThreads& helpers() { return *helpers_; }
  const std::vector<Worker*>& workers() const { return workers_; }
  const Options& options() const { return options_; }
  Service& service() { return service_; }
  CrashSafety& crash_safety() { return crash_safety_; }
  Instant started_at() const { return started_at_; }

  // Called every kTick on the main thread, for commands that wait for something.
  std::function<void()> on_tick;
  // What the operator's side carries over an upgrade.
  std::function<std::string()> save_console;
  std::function<void(std::string_view)> load_console;

 private:
  static constexpr Duration kTick = std::chrono::milliseconds(50);

  struct Signal final : net::EventHandler {
    Signal(Daemon& d, int n);
    void on_event(short /*what*/) override { daemon.on_signal(number); }
    Daemon& daemon;
    int number;
    net::IoEvent event;
  };
  struct Ticker final : net::EventHandler {
    explicit Ticker(Daemon& d) : daemon(d) {}
    void on_event(short /*what*/) override { daemon.tick(); }
    Daemon& daemon;
  };

  void on_event(short what) override;
  void on_signal(int number);
  void tick();
  Result<> read_configuration();
  void set_verbosity();
  void start_workers(session::LocalDatabase& local, const std::function<void()>& before_they_run);
  void ask_for_upgrade();
  void pass_on_signal(int number);
  void send_late();
  void hear_successor();
  void stop_accepting();
  bool is_restart();
  void leave_for_restart();
  bool finished();
  Figures figures();
  Result<> write_pidfile();

  const Options options_;
  Service service_;  // before all that has threads
  session::RulesRef rules_;
  const Instant started_at_;
  std::unique_ptr<HelperThreads> helpers_;
  std::unique_ptr<net::Resolver> resolver_;
  pool::Registry registry_;
  session::StatementRegistry statements_;
  session::CancelKeys cancel_keys_;
  session::PasswordWork passwords_;
  session::Shared shared_;
  Mailbox mailbox_;
  net::EventLoop loop_;
  net::IoEvent mail_;
  Ticker ticker_;
  net::Timer timer_;
  std::vector<std::unique_ptr<Signal>> signals_;
  CrashSafety crash_safety_;  // has memory of sessions: it outlives the workers
  std::vector<std::unique_ptr<Worker>> owned_workers_;
  std::vector<Worker*> workers_;
  std::unique_ptr<Acceptor> acceptor_;  // in the first worker's loop
  std::vector<std::thread> threads_;
  std::vector<int> listening_fds_;       // the acceptor's
  bool own_listeners_ = false;           // else they are the service manager's
  std::vector<std::string> unix_paths_;  // of sockets that we made
  std::unique_ptr<ControlSocket> control_;
  std::unique_ptr<Upgrade> upgrade_;      // while one is under way
  std::unique_ptr<Successor> successor_;  // what this process was at its start
  handoff::Channel to_successor_;         // while this process drains
  struct FromSuccessor final : net::EventHandler {
    explicit FromSuccessor(Daemon& d) : daemon(d) {}
    void on_event(short /*what*/) override { daemon.hear_successor(); }
    Daemon& daemon;
  } from_successor_{*this};
  std::unique_ptr<net::IoEvent> successor_event_;
  bool main_ = false;  // of the service, not a successor on trial
  bool handed_on_ = false;
  int signal_waits_ = 0;                     // until it is known who is in charge
  std::atomic<bool> restart_waits_ = false;  // for the end of an upgrade
  std::vector<Verdict> verdicts_;
  std::vector<std::pair<std::string, std::string>> set_;  // by SET, since the last reload
  std::string pidfile_;                                   // that we wrote
  Ending ending_ = Ending::None;
  Instant end_by_ = Instant::max();
  bool stopped_ = false;
  int exit_status_ = 0;
};

}  // namespace doorman::daemon
