// Daemon: the life of the process. Starts the workers, listens to signals, reloads, ends.
//
// Runs on the main thread, which carries no traffic; commands of the operator run here, one at a
// time, whatever face they came in by.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/helper_threads.h"
#include "base/mailbox.h"
#include "daemon/acceptor.h"
#include "daemon/service.h"
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
  Ending ending() const { return ending_; }
  // Runs `visit` on each worker, on that worker's thread, one after the other, and waits.
  void visit_workers(const std::function<void(Worker&)>& visit);

  // From any thread.
  void post(Task task) { mailbox_.post(std::move(task)); }

  const session::RulesRef& rules() const { return rules_; }
  session::Shared& shared() { return shared_; }
  pool::Registry& registry() { return registry_; }
  HelperThreads& helpers() { return *helpers_; }
  const std::vector<Worker*>& workers() const { return workers_; }
  const Options& options() const { return options_; }
  Service& service() { return service_; }
  Instant started_at() const { return started_at_; }

  // Called every kTick on the main thread, for commands that wait for something.
  std::function<void()> on_tick;

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
  void stop_accepting();
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
  std::vector<std::unique_ptr<Worker>> owned_workers_;
  std::vector<Worker*> workers_;
  std::unique_ptr<Acceptor> acceptor_;  // in the first worker's loop
  std::vector<std::thread> threads_;
  std::vector<std::string> unix_paths_;  // of sockets that we made
  std::string pidfile_;                  // that we wrote
  Ending ending_ = Ending::None;
  Instant end_by_ = Instant::max();
  bool stopped_ = false;
};

}  // namespace doorman::daemon
