#include "daemon/daemon.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <latch>

#include "base/log.h"
#include "base/text.h"
#include "daemon/listeners.h"
#include "daemon/restart.h"
#include "handoff/service_manager.h"

namespace doorman::daemon {

namespace {

constexpr int kHelpers = 2;

int worker_count(const config::Settings& settings) {
  if (settings.workers > 0) return std::min(settings.workers, pool::kMaxWorkers);
  const auto cpus = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(cpus, 1, pool::kMaxWorkers);
}

net::ResolverTtl resolver_ttl(const config::Settings& settings) {
  const auto ms = [](Duration time) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(time);
  };
  return {.found = ms(settings.dns_max_ttl), .failed = ms(settings.dns_nxdomain_ttl)};
}

LogTarget log_target(const config::Settings& settings, const Options& options) {
  return {.to_stderr = !options.quiet,
          .file = settings.logfile,
          .to_syslog = settings.syslog,
          .syslog_facility = settings.syslog_facility,
          .syslog_ident = settings.syslog_ident};
}

}  // namespace

Result<session::RulesRef> load_rules(const std::string& config_path) {
  auto rules = std::make_shared<session::Rules>();
  config::Config config = TRY(config::load(config_path));
  if (config.settings.auth_file.empty()) {
    rules->users = std::make_shared<const auth::Users>();
  } else {
    const std::string& file = config.settings.auth_file;
    auto users = auth::Users::load(file);
    if (!users) {
      Error error = users.error();
      if (!error.message.starts_with(file + ":")) {  // no line of it is wrong, but the whole
        error.message.insert(0, config_path + ": auth_file: ");
      }
      return error;
    }
    rules->users = std::make_shared<const auth::Users>(users.take());
  }
  rules->config = std::make_shared<const config::Config>(std::move(config));
  return session::RulesRef(std::move(rules));
}

Daemon::Signal::Signal(Daemon& d, int n)
    : daemon(d), number(n), event(d.loop_, n, EV_SIGNAL, *this) {
  event.enable();
}

Daemon::Daemon(Options options, session::RulesRef rules)
    : options_(std::move(options)),
      rules_(std::move(rules)),
      started_at_(clock_now()),
      helpers_(std::make_unique<HelperThreads>(kHelpers, "helper")),
      resolver_(std::make_unique<net::Resolver>(resolver_ttl(rules_->config->settings))),
      registry_(worker_count(rules_->config->settings), session::CommonPart::maker(shared_)),
      passwords_(*helpers_),
      shared_{.registry = registry_,
              .statements = statements_,
              .cancel_keys = cancel_keys_,
              .passwords = passwords_,
              .resolver = *resolver_,
              .cancel_elsewhere =
                  [this](const std::string& key) {
                    post([this, key] {
                      if (successor_) successor_->ask_to_cancel(key);
                    });
                  }},
      mail_(loop_, mailbox_.fd(), EV_READ, *this),
      ticker_(*this),
      timer_(loop_, ticker_),
      crash_safety_(service_.notifier()) {
  mail_.enable();
}

Daemon::~Daemon() {
  for (Worker* worker : workers_) worker->stop();
  for (std::thread& thread : threads_) thread.join();
  acceptor_.reset();
  helpers_.reset();  // before the workers, to which their work posts what it has found out
  resolver_.reset();
  owned_workers_.clear();
  // With a service manager the sockets live on in its store, for the next process.
  if (!service_.notifier().active()) {
    for (const std::string& path : unix_paths_) ::unlink(path.c_str());
  }
  if (!pidfile_.empty()) ::unlink(pidfile_.c_str());
}

// ---- Start ------------------------------------------------------------------------------------

Result<> Daemon::write_pidfile() {
  const std::string& path = rules_->config->settings.pidfile;
  if (path.empty()) return {};
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  const std::string text = std::to_string(::getpid()) + "\n";
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return Error{ErrorCode::System, "cannot write pidfile " + path + ": " + errno_text(errno)};
  }
  pidfile_ = path;
  return {};
}

Result<> Daemon::open(session::LocalDatabase& local) {
  set_verbosity();
  TRY(start_log(log_target(rules_->config->settings, options_)));
  for (const std::string& notice : rules_->config->notices) log(LogLevel::Notice, "{}", notice);
  if (options_.take_over >= 0) {
    service_.be_successor();
    start_workers(local, [] {});
    successor_ = std::make_unique<Successor>(*this, loop_, UniqueFd(options_.take_over));
    successor_->take_over();
    return {};
  }
  Listeners listeners =
      TRY(open_listeners(rules_->config->settings, service_.take_listening(), service_.notifier()));
  TRY(write_pidfile());
  if (const std::string path = control_path(rules_->config->settings); !path.empty()) {
    control_ = std::make_unique<ControlSocket>(*this, loop_);
    if (auto opened = control_->open(path); opened) {
      control_->serve();
    } else {
      log(LogLevel::Warning, "no control socket: {}", opened.error().message);
    }
  }
  main_ = true;
  std::vector<handoff::PassedFd> stored = service_.take_stored();
  const std::unique_ptr<Parked> parked = Parked::take(stored, service_.notifier());
  start_workers(local, [&] {
    if (!parked) {
      crash_safety_.begin(std::move(stored), rules_->config->settings, shared_, workers_);
    } else if (auto kept = parked->succeed(crash_safety_, workers_); !kept) {
      log(LogLevel::Error, "clients are not crash-safe: {}", kept.error().message);
    }
  });
  if (parked) {
    if (auto built = parked->build(*this); !built) {
      log(LogLevel::Error, "restart: sessions are lost: {}", built.error().message);
    }
    crash_safety_.take_charge(rules_->config->settings);
  }
  visit_worker(0, [&](Worker& worker) { accept_on(worker, std::move(listeners)); });
  return {};
}

void Daemon::start_workers(session::LocalDatabase& local,
                           const std::function<void()>& before_they_run) {
  const int count = worker_count(rules_->config->settings);
  for (int i = 0; i < count; ++i) {
    owned_workers_.push_back(std::make_unique<Worker>(shared_, i, workers_, rules_));
    owned_workers_.back()->local = &local;
  }
  for (auto& worker : owned_workers_) workers_.push_back(worker.get());
  before_they_run();
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT}) {
    signals_.push_back(std::make_unique<Signal>(*this, number));
  }
  std::signal(SIGPIPE, SIG_IGN);
  // Signals are the main thread's: the others inherit a mask that blocks them.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  for (Worker* worker : workers_) threads_.emplace_back([worker] { worker->run(); });
  // Blocked from the start, until somebody listens.
  for (const int number : {SIGUSR2, SIGHUP}) sigdelset(&before, number);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

int Daemon::run() {
  log(LogLevel::Notice, "process up: pg_doorman {}, {} worker{}", PG_DOORMAN_VERSION,
      workers_.size(), workers_.size() == 1 ? "" : "s");
  if (main_) service_.began(clock_now());
  timer_.set(kTick);
  while (!stopped_ || upgrade_) loop_.run_once(net::Wait::Yes);
  if (!handed_on_) service_.stopping();
  visit_workers([](Worker& worker) {
    worker.end_all("terminating connection due to administrator command");
  });
  if (!handed_on_) crash_safety_.discard();
  log(LogLevel::Notice, "process ends");
  return exit_status_;
}

// ---- Commands ---------------------------------------------------------------------------------

void Daemon::visit_workers(const std::function<void(Worker&)>& visit) {
  for (Worker* worker : workers_) {
    visit_worker(static_cast<std::size_t>(worker->worker), visit);
  }
}

void Daemon::visit_worker(std::size_t index, const std::function<void(Worker&)>& visit) {
  Worker* worker = workers_[index];
  std::latch done(1);
  worker->post([&] {
    visit(*worker);
    done.count_down();
  });
  done.wait();
}

Result<> Daemon::reload() {
  service_.reloading();
  auto done = read_configuration();
  service_.reloaded();
  return done;
}

Result<> Daemon::read_configuration() {
  const std::string& other = rules_->config->settings.conffile;
  session::RulesRef changed = TRY(load_rules(other.empty() ? options_.config_path : other));
  TRY(change_log(log_target(changed->config->settings, options_)));
  set_.clear();
  const auto later = config::needs_restart(rules_->config->settings, changed->config->settings);
  for (const std::string& key : later) {
    log(LogLevel::Warning, "{} has changed: it takes effect at the next restart", key);
  }
  for (const std::string& notice : changed->config->notices) log(LogLevel::Notice, "{}", notice);
  set_rules(std::move(changed));
  return reopen_log();
}

void Daemon::set_rules(session::RulesRef changed) {
  rules_ = std::move(changed);
  resolver_->set_ttl(resolver_ttl(rules_->config->settings));
  set_verbosity();
  visit_workers([this](Worker& worker) { worker.apply(rules_); });
}

void Daemon::set_verbosity() {
  const bool verbose = rules_->config->settings.verbose + options_.verbose > 0;
  set_log_threshold(verbose ? LogLevel::Debug : LogLevel::Info);
}

void Daemon::stop_accepting() {
  if (!acceptor_) return;
  std::latch done(1);
  workers_.front()->post([&] {
    acceptor_.reset();
    done.count_down();
  });
  done.wait();
}

void Daemon::end(Ending how) {
  if (how <= ending_) return;
  ending_ = how;
  if (upgrade_) upgrade_->hurry();
  if (!handed_on_) service_.stopping();
  shared_.shutting_down = true;
  stop_accepting();
  if (how == Ending::AtOnce) stopped_ = true;
  if (how == Ending::WhenIdle) {
    const Duration limit = rules_->config->settings.shutdown_timeout;
    if (limit > Duration::zero()) end_by_ = clock_now() + limit;
    visit_workers([](Worker& worker) { worker.drain(); });
  }
  tick();
}

Figures Daemon::figures() {
  Figures figures;
  for (const Worker* worker : workers_) {
    figures.clients += worker->client_count();
    figures.turns.push_back(worker->turns());
  }
  for (const auto& each : registry_.databases()) {
    figures.servers += static_cast<std::size_t>(each->servers.used());
  }
  figures.pools = registry_.pools();
  return figures;
}

bool Daemon::finished() {
  bool busy = false;
  const Ending how = ending_;
  visit_workers([&](Worker& worker) {
    if (how == Ending::WhenIdle) worker.drain();
    if (how == Ending::WaitForServers) {
      worker.each_server([&](session::ServerSession& server) {
        busy = busy || server.state() == session::ServerState::Active;
      });
    } else {
      busy = busy || worker.pool_clients() > 0;
      if (handed_on_) busy = busy || worker.client_count() > 0 || worker.cancel_requests() > 0;
    }
  });
  return !busy;
}

void Daemon::tick() {
  timer_.set(kTick);
  service_.tick(clock_now(), figures());
  crash_safety_.tick(clock_now());
  if (on_tick) on_tick();
  if (handed_on_) send_late();
  if (ending_ == Ending::None || stopped_) return;
  if (clock_now() >= end_by_) {
    log(LogLevel::Notice, "shutdown_timeout is over: the sessions that are left end now");
    stopped_ = true;
  } else if (finished()) {
    stopped_ = true;
  }
}

// Whether the service manager will start this service again when it has ended.
bool Daemon::is_restart() {
  static constexpr Duration kLimit = std::chrono::seconds(1);
  if (!service_.notifier().active() || !main_ || handed_on_) return false;
  const handoff::Job job = handoff::current_job(kLimit);
  return job == handoff::Job::Restart || job == handoff::Job::None;
}

// Ends the process, with everything left for the next one; or else its sessions, politely.
void Daemon::leave_for_restart() {
  log(LogLevel::Notice, "got SIGTERM: all is left to the next process");
  auto parcel = pack(*this);
  if (parcel) {
    if (auto kept = store(parcel->fds, service_.notifier()); !kept) {
      pause_accepting(false);
      parcel = kept.take_error();
    }
  }
  if (!parcel) {
    log(LogLevel::Error, "restart: sessions end with their transactions, since {}",
        parcel.error().message);
    end(Ending::WhenIdle);
    return;
  }
  stop_log();
  // No destructor runs: one of them would shut down sockets that the next process goes on with.
  ::_exit(0);
}

void Daemon::on_event(short /*what*/) { mailbox_.drain(); }

void Daemon::on_signal(int number) {
  switch (number) {
    case SIGHUP: {
      log(LogLevel::Notice, "got SIGHUP: reading the configuration again");
      const auto done = reload();
      if (done) {
        log(LogLevel::Notice, "the new configuration is in force");
      } else {
        log(LogLevel::Error, "reload refused, nothing has changed: {}", done.error().message);
      }
      return;
    }
    case SIGTERM:
    case SIGINT:
      pass_on_signal(number);
      // A service manager tells both processes at once; the one in charge knows what it means.
      if (successor_ && !main_ && service_.notifier().active() && ending_ == Ending::None) {
        log(LogLevel::Notice, "got a signal to end: the process in charge knows why");
        signal_waits_ = number;
        return;
      }
      if (ending_ != Ending::None) {
        log(LogLevel::Notice, "got a second signal to end: ending at once");
        end(Ending::AtOnce);
      } else if (number == SIGTERM && is_restart()) {
        restart_waits_ = upgrade_ != nullptr;
        restart_waits_ ? upgrade_->hurry() : leave_for_restart();
      } else {
        log(LogLevel::Notice, "got {}: sessions end with their transactions",
            number == SIGTERM ? "SIGTERM" : "SIGINT");
        end(number == SIGINT && ::isatty(STDERR_FILENO) != 0 ? Ending::AtOnce : Ending::WhenIdle);
      }
      return;
    case SIGQUIT:
      pass_on_signal(number);
      log(LogLevel::Notice, "got SIGQUIT: ending at once");
      end(Ending::AtOnce);
      return;
    case SIGUSR1:
      log(LogLevel::Warning,
          "got SIGUSR1, which is PAUSE in PgBouncer and nothing here: use PAUSE on the console");
      return;
    case SIGUSR2: ask_for_upgrade(); return;
    default: return;
  }
}

}  // namespace doorman::daemon
