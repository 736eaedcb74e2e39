// What the daemon does for an upgrade, on either side of it.
#include <unistd.h>

#include <csignal>
#include <latch>

#include "base/log.h"
#include "config/table.h"
#include "daemon/daemon.h"
#include "daemon/halt.h"
#include "daemon/restart.h"
#include "handoff/passed.h"
#include "handoff/service_manager.h"
#include "handoff/step.h"

namespace doorman::daemon {

namespace {

// More numbers than sessions can come while a successor is on trial.
constexpr std::uint64_t kTakenBack = 1'000'000;

}  // namespace

// ---- Asking -----------------------------------------------------------------------------------

Result<> Daemon::upgrade(Upgrade::Done done) {
  const auto refuse = [](const std::string& why) { return Error{ErrorCode::Limit, why}; };
  if (upgrade_) return refuse("an upgrade is under way");
  if (!main_ || handed_on_) return refuse("this process is not the one in charge");
  if (ending_ != Ending::None) return refuse("the process is shutting down");
  std::vector<std::string> arguments = {
      options_.program, "--take-over=" + std::to_string(handoff::Midwife::kSuccessorsFd)};
  if (options_.quiet) arguments.emplace_back("-q");
  for (int i = 0; i < options_.verbose; ++i) arguments.emplace_back("-v");
  arguments.push_back(options_.config_path);
  log(LogLevel::Notice, "upgrade: starting {}", options_.program);
  service_.reloading();
  service_.note("an upgrade is under way");
  upgrade_ = std::make_unique<Upgrade>(
      *this, handoff::Program{.path = options_.program, .arguments = std::move(arguments)});
  upgrade_->told.push_back(std::move(done));
  return {};
}

void Daemon::ask_for_upgrade() {
  if (!main_ || handed_on_) {
    log(LogLevel::Debug, "got SIGUSR2, which is for the process in charge");
    return;
  }
  log(LogLevel::Notice, "got SIGUSR2: upgrading");
  if (auto begun = upgrade([](const Verdict& /*verdict*/) {}); !begun) {
    log(LogLevel::Warning, "upgrade refused: {}", begun.error().message);
  }
}

// The successor has the sessions, and is to end as this process does. A service manager tells both.
void Daemon::pass_on_signal(int number) {
  if (service_.notifier().active() || !upgrade_ || upgrade_->successor() <= 0) return;
  ::kill(upgrade_->successor(), number);
}

void Daemon::add_verdict(Verdict verdict) {
  static constexpr std::size_t kMost = 100;
  if (verdicts_.size() >= kMost) verdicts_.erase(verdicts_.begin());
  verdicts_.push_back(std::move(verdict));
}

void Daemon::remember_set(std::string key, std::string value) {
  set_.emplace_back(std::move(key), std::move(value));
}

// ---- The old process --------------------------------------------------------------------------

void Daemon::pause_accepting(bool paused) {
  if (!acceptor_) return;
  visit_worker(0, [&](Worker& /*worker*/) { acceptor_->pause(paused); });
}

ProcessRecord Daemon::describe() {
  // Enough for what this process may still number: clients that were in the middle of a login.
  static constexpr std::uint64_t kRoom = 1000;
  ProcessRecord process;
  process.next_id = shared_.next_id.load() + kRoom;
  process.next_statement = statements_.next_id();
  process.all_paused = registry_.all_paused();
  for (const auto& each : registry_.databases()) {
    process.databases.push_back(
        {.name = each->name, .paused = each->paused, .disabled = each->disabled});
  }
  std::map<std::pair<std::string, std::string>, session::Counters> pools;
  for (Worker* worker : workers_) {  // they stand still
    worker->each_pool([&](session::PoolPart& part) {
      pools[{part.database(), part.user()}].add(part.counters);
    });
  }
  for (const auto& [name, counters] : pools) {
    process.counters.push_back({.database = name.first, .user = name.second, .counters = counters});
  }
  process.set = set_;
  process.unix_paths = unix_paths_;
  if (save_console) process.console = save_console();
  process.listeners = listening_fds_.size();
  process.own_listeners = own_listeners_;
  process.control_socket = control_fd() >= 0;
  for (const Verdict& each : verdicts_) process.verdicts.push_back(save(each));
  return process;
}

// Nothing here is this process's any more, but for what it still has to finish.
void Daemon::hand_on(pid_t successor) {
  static constexpr Duration kBarrierLimit = std::chrono::seconds(5);
  handed_on_ = true;
  stop_accepting();
  if (control_) control_->hand_on();
  unix_paths_.clear();
  pidfile_.clear();
  service_.note({});
  crash_safety_.hand_over();  // while this process may
  service_.notifier().main_pid(successor);
  if (service_.notifier().active() && !service_.notifier().barrier(kBarrierLimit)) {
    log(LogLevel::Warning, "the service manager does not say that it knows of the new process");
  }
  service_.be_successor();  // it would not be listened to
  handoff::reached("old main");
}

// The successor is dead, and has talked to them since.
void Daemon::take_back(const std::vector<Lane>& lanes,
                       std::vector<std::vector<session::Image>> images,
                       std::vector<handoff::PassedFd> trial) {
  static constexpr Duration kHaltLimit = std::chrono::seconds(10);
  std::vector<CrashSafety::Copy> copies;
  for (std::size_t l = 0; l < images.size(); ++l) {
    for (std::size_t i = 0; i < images[l].size(); ++i) {
      UniqueFd& fd = images[l][i].client_fd;
      if (fd) copies.push_back({.client = lanes[l].entries[i].client, .fd = std::move(fd)});
    }
  }
  images.clear();                 // servers: PostgreSQL rolls back what they had begun
  shared_.next_id += kTakenBack;  // the successor may have used some
  if (auto halt = Halt::of(workers_, clock_now() + kHaltLimit); !halt) {
    log(LogLevel::Error, "upgrade: {} clients are lost: {}", copies.size(), halt.error().message);
  } else if (auto back =
                 crash_safety_.take_back(std::move(trial), std::move(copies), shared_, workers_);
             !back) {
    log(LogLevel::Error, "upgrade: the new process's clients are lost: {}", back.error().message);
  } else {
    log(LogLevel::Notice,
        "upgrade: taken back: {} idle clients go on, {} others were told and {} closed, {} queries "
        "are cancelled",
        back->clients, back->told, back->closed, back->cancelled);
  }
  shared_.handed_over = false;
  visit_workers([](Worker& worker) {
    worker.each_client([](session::ClientSession& client) { client.resume_login(); });
  });
}

void Daemon::upgrade_ended(Upgrade& upgrade) {
  const Verdict verdict = upgrade.verdict();
  log(verdict.done ? LogLevel::Notice : LogLevel::Error, "upgrade {}: {}",
      verdict.done ? "done" : "failed, this process serves on", verdict.text);
  for (const Upgrade::Done& each : upgrade.told) each(verdict);
  if (verdict.done) {
    to_successor_ = std::move(upgrade.channel());
    to_successor_.set_abort(-1);
    successor_event_ =
        std::make_unique<net::IoEvent>(loop_, to_successor_.fd(), EV_READ, from_successor_);
    successor_event_->enable();
  }
  upgrade_.reset();
  add_verdict(verdict);
  if (!verdict.done && restart_waits_) {
    leave_for_restart();
    return;
  }
  if (!verdict.done) {
    service_.note("the last upgrade failed: " + verdict.text);
    service_.reloaded();
    return;
  }
  if (ending_ == Ending::None) end(Ending::WhenIdle);
}

void Daemon::leave_parcel(std::vector<handoff::PassedFd> parcel) {
  std::vector<handoff::PassedFd> stash;
  for (handoff::PassedFd& each : parcel) {
    if (each.name.starts_with(handoff::kStashPrefix)) stash.push_back(std::move(each));
  }
  std::erase_if(parcel, [](const auto& each) { return !each.fd; });
  crash_safety_.keep_trial(stash);
  if (auto kept = store(parcel, service_.notifier()); !kept) {
    log(LogLevel::Error, "restart: as after a crash, since {}", kept.error().message);
  }
  stop_log();
  // No destructor runs, as in leave_for_restart().
  ::_exit(0);
}

// Those that could not be carried with the others, as soon as they can be.
void Daemon::send_late() {
  static constexpr Duration kSendLimit = std::chrono::milliseconds(200);
  if (!to_successor_) return;
  visit_workers([this](Worker& worker) {
    for (const Lane& lane : save_late(worker)) {
      std::vector<session::Image> images = let_go(worker, lane, {});
      auto memory = handoff::memory_of(lane.records);
      if (!memory) continue;
      const int fds[] = {memory->get(), images.front().client_fd.get()};
      if (!to_successor_.send(handoff::MessageKind::Late, {}, fds, clock_now() + kSendLimit)) {
        log(LogLevel::Error, "upgrade: a client was lost: the successor does not take it");
      }
    }
  });
}

void Daemon::hear_successor() {
  auto message = to_successor_.receive(clock_now() + std::chrono::milliseconds(200));
  if (message && message->kind == handoff::MessageKind::Cancel) cancel_here(message->body);
  if (message) return;
  successor_event_.reset();
  to_successor_.close();
}

void Daemon::cancel_here(const std::string& key) {
  Worker* any = workers_.front();
  any->post([any, key] { any->cancel(key); });
}

// ---- The successor ----------------------------------------------------------------------------

Result<> Daemon::take_state(const ProcessRecord& process) {
  shared_.next_id = process.next_id;
  statements_.begin_at(process.next_statement);
  if (process.all_paused) registry_.pause_all(true);
  for (const auto& each : process.databases) {
    const auto database = registry_.database(each.name);
    registry_.set_paused(database, each.paused);
    registry_.set_disabled(database, each.disabled);
  }
  set_ = process.set;
  if (!set_.empty()) {
    auto config = std::make_shared<config::Config>(*rules_->config);
    for (const auto& [key, value] : set_) {
      if (auto done = config::set(config->settings, key, value); !done) {
        log(LogLevel::Warning, "upgrade: {} = {}, which SET had set, is lost: {}", key, value,
            done.error().message);
      }
    }
    auto rules = std::make_shared<session::Rules>(*rules_);
    rules->config = std::move(config);
    set_rules(std::move(rules));
  }
  visit_worker(0, [&](Worker& worker) {
    for (const auto& each : process.counters) {
      session::PoolPart* part = worker.pool_part(each.database, each.user);
      if (part != nullptr) part->counters.add(each.counters);
    }
  });
  if (load_console) load_console(process.console);
  for (const std::string& each : process.verdicts) add_verdict(TRY(load_verdict(each)));
  return {};
}

Result<Listeners> Daemon::listeners_from(const ProcessRecord& process,
                                         std::vector<UniqueFd> passed) {
  std::vector<handoff::PassedFd> named;
  named.reserve(passed.size());
  for (UniqueFd& fd : passed) {
    named.push_back({.name = std::string(process.own_listeners ? handoff::kOwnListener : "socket"),
                     .fd = std::move(fd)});
  }
  return open_listeners(rules_->config->settings, std::move(named), service_.notifier());
}

void Daemon::accept_on(Worker& home, Listeners listeners) {
  unix_paths_ = std::move(listeners.unix_paths);
  own_listeners_ = listeners.ours;
  for (const UniqueFd& fd : listeners.fds) listening_fds_.push_back(fd.get());
  acceptor_ = std::make_unique<Acceptor>(home, workers_, std::move(listeners.fds));
}

void Daemon::adopt_control(UniqueFd fd) {
  control_ = std::make_unique<ControlSocket>(*this, loop_);
  control_->adopt(std::move(fd), control_path(rules_->config->settings));
}

void Daemon::become_main() {
  main_ = true;
  if (auto written = write_pidfile(); !written) {
    log(LogLevel::Error, "{}", written.error().message);
  }
  if (control_) control_->serve();
  service_.began(clock_now());
  crash_safety_.take_charge(rules_->config->settings);
  log(LogLevel::Notice, "upgrade: this process is the one in charge now");
  if (const int number = std::exchange(signal_waits_, 0); number != 0) on_signal(number);
}

// systemd ends this process, too, unless it knows it as the main one by now; and starts another.
// That one finds all that is needed in the FD store, as after any death.
void Daemon::orphaned() {
  static constexpr Duration kLimit = std::chrono::seconds(1);
  if (!service_.notifier().active() || handoff::is_main_process(kLimit).value_or(true)) {
    become_main();
    return;
  }
  if (handoff::current_job(kLimit) == handoff::Job::Stop) {
    log(LogLevel::Notice, "upgrade: the old process has died, and the service stops");
    end(Ending::WhenIdle);
    return;
  }
  log(LogLevel::Error, "upgrade: the old process has died: all is left to the next one");
  stop_log();
  // No destructor runs: one of them would shut down sockets that the next process goes on with.
  ::_exit(1);
}

}  // namespace doorman::daemon
