#include "daemon/upgrade.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <ctime>
#include <latch>

#include "base/helper_threads.h"
#include "base/log.h"
#include "base/record.h"
#include "daemon/daemon.h"
#include "daemon/halt.h"
#include "daemon/versions.h"
#include "handoff/step.h"

namespace doorman::daemon {

using handoff::Channel;
using handoff::Message;
using handoff::MessageKind;
using handoff::Midwife;
using handoff::reached;

namespace {

// Records are of no use when the other process has read them, or never will.
class WipedLater {
 public:
  explicit WipedLater(std::vector<int> fds) : fds_(std::move(fds)) {}
  ~WipedLater() {
    for (const int each : fds_) handoff::wipe_memory(each);
  }
  WipedLater(const WipedLater&) = delete;
  WipedLater& operator=(const WipedLater&) = delete;
  void add(int fd) { fds_.push_back(fd); }

 private:
  std::vector<int> fds_;
};

}  // namespace

Upgrade::Upgrade(Daemon& daemon, handoff::Program program)
    : daemon_(daemon),
      program_(std::move(program)),
      hurry_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  verdict_.at = static_cast<std::int64_t>(std::time(nullptr));
  verdict_.from = PG_DOORMAN_VERSION;
  thread_ = start_thread("upgrade", [this] { run(); });
}

Upgrade::~Upgrade() { thread_.join(); }

void Upgrade::hurry() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(hurry_.get(), &one, sizeof one);
}

void Upgrade::on_main(const std::function<void()>& work) {
  std::latch done(1);
  daemon_.post([&] {
    work();
    done.count_down();
  });
  done.wait();
}

void Upgrade::run() {
  const auto attempt = [this]() -> Result<> {
    TRY(start());
    TRY(rehearse());
    let_logins_finish();
    TRY(carry());
    TRY(stand_by());
    return {};
  };
  auto outcome = attempt();
  if (outcome) {
    leave();
  } else {
    verdict_.text = outcome.error().message;
    take_back();
  }
  daemon_.post([this] { daemon_.upgrade_ended(*this); });
}

// Why it failed, with what has become of the successor.
Error Upgrade::explained(Error error) {
  if (error.code == ErrorCode::Config) return error;  // it has said why itself
  static constexpr Duration kSoon = std::chrono::milliseconds(200);
  const std::string ended = midwife_.how_it_ended(clock_now() + kSoon);
  if (!ended.empty()) error.message = "the new process " + ended;
  return error;
}

// ---- Step by step -----------------------------------------------------------------------------

Result<> Upgrade::start() {
  auto [ours, theirs] = TRY(Channel::pair());
  channel_ = Channel(std::move(ours));
  channel_.set_abort(hurry_.get());
  const Instant by = clock_now() + kStartLimit;
  midwife_ = TRY(Midwife::start(program_, theirs.get(), by));
  theirs.reset();
  auto hello = channel_.expect(MessageKind::Hello, by);
  if (!hello) return explained(hello.take_error());
  const Versions versions = TRY(load_versions(hello->body));
  verdict_.to = versions.program;
  TRY(can_read(versions, our_versions()));
  reached("old started");
  log(LogLevel::Notice, "upgrade: pg_doorman {} is started as process {}", versions.program,
      midwife_.successor());
  if (auto back = can_read(our_versions(), versions); !back) {
    log(LogLevel::Warning, "upgrade: a failure in probation would cost the clients: {}",
        back.error().message);
  }
  return {};
}

Result<> Upgrade::rehearse() {
  static constexpr std::size_t kAtOnce = 100;  // so that nobody is held up
  const Instant by = clock_now() + kRehearsalLimit;
  Lane lane;
  on_main([&] {
    std::vector<std::vector<std::uint64_t>> ids;
    daemon_.visit_workers([&](Worker& worker) {
      auto& of_worker = ids.emplace_back();
      worker.each_client([&](session::ClientSession& each) { of_worker.push_back(each.id()); });
    });
    for (std::size_t w = 0; w < ids.size(); ++w) {
      for (std::size_t from = 0; from < ids[w].size(); from += kAtOnce) {
        const auto first = ids[w].begin() + static_cast<std::ptrdiff_t>(from);
        const std::size_t count = std::min(kAtOnce, ids[w].size() - from);
        const std::vector<std::uint64_t> some(first, first + static_cast<std::ptrdiff_t>(count));
        daemon_.visit_worker(w, [&](Worker& worker) { save_for_rehearsal(worker, some, lane); });
      }
    }
  });
  const UniqueFd memory = TRY(handoff::memory_of(lane.records));
  const WipedLater wiped({memory.get()});
  const int fds[] = {memory.get()};
  if (auto sent = channel_.send(MessageKind::Rehearse, {}, fds, by); !sent) {
    return explained(sent.take_error());
  }
  auto heard = channel_.expect(MessageKind::Rehearsed, by);
  if (!heard) return explained(heard.take_error());
  const Loss loss = TRY(load_loss(heard->body));
  if (loss.count > 0) {
    log(LogLevel::Warning, "upgrade: {} sessions would stay with this process: {}", loss.count,
        loss.reason);
  }
  return {};
}

// No client comes while these go on; those who are in the middle of a login finish it.
void Upgrade::let_logins_finish() {
  on_main([this] { daemon_.pause_accepting(true); });
  const Instant by = clock_now() + kLoginLimit;
  for (;;) {
    bool busy = false;
    on_main([&] {
      daemon_.visit_workers([&](Worker& worker) {
        worker.each_client([&](session::ClientSession& client) {
          busy = busy || (client.logging_in() && client.state() != session::ClientState::Startup &&
                          client.state() != session::ClientState::Closing);
        });
        worker.each_server([&](session::ServerSession& server) {
          busy = busy || (server.state() != session::ServerState::Closing &&
                          !session::logged_in(server.state()));
        });
      });
    });
    if (!busy || clock_now() >= by) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

Result<> Upgrade::carry() {
  Result<> outcome;
  on_main([&] { outcome = hand_over(); });
  return outcome;
}

Result<> Upgrade::hand_over() {
  const Instant began = clock_now();
  const std::unique_ptr<Halt> halt = TRY(Halt::of(daemon_.workers(), began + kCarryLimit));
  if (auto given = give_all(*halt, began); !given) {
    // Before anybody here goes on: it is sure that it will not, and what it has written is void.
    Error error = explained(given.take_error());
    midwife_.kill();
    daemon_.crash_safety().forget_trial(std::move(trial_));
    trial_.clear();
    return error;
  }
  return {};
}

Result<> Upgrade::give_all(Halt& halt, Instant began) {
  const Instant by = began + kCarryLimit;
  reached("old stopped");
  lanes_ = std::vector<Lane>(daemon_.workers().size());
  std::vector<UniqueFd> memories(lanes_.size());
  halt.each([&](Worker& worker) {
    const auto index = static_cast<std::size_t>(worker.worker);
    lanes_[index] = save_sessions(worker);
    if (auto memory = handoff::memory_of(lanes_[index].records)) memories[index] = memory.take();
    std::string().swap(lanes_[index].records);
  });
  WipedLater wiped({});
  for (const UniqueFd& each : memories) wiped.add(each.get());

  ProcessRecord process = daemon_.describe();
  process.lanes = lanes_.size();
  for (const Lane& lane : lanes_) process.fds += lane.fds.size();
  CrashSafety& crash_safety = daemon_.crash_safety();
  const std::vector<handoff::NamedFd> vault = crash_safety.vault();
  for (const handoff::NamedFd& each : vault) process.vault.push_back(each.name);
  process.next_stash = crash_safety.next_number();
  const UniqueFd record = TRY(handoff::memory_of(save(process)));
  std::vector<int> fds = {record.get()};
  for (const int each : daemon_.listening_fds()) fds.push_back(each);
  if (process.control_socket) fds.push_back(daemon_.control_fd());
  for (const UniqueFd& each : memories) {
    if (!each) return Error{ErrorCode::System, "no memory for the sessions' records"};
    fds.push_back(each.get());
  }
  for (const handoff::NamedFd& each : vault) fds.push_back(each.fd);
  TRY(channel_.send(MessageKind::Carry, {}, fds, by));
  TRY(send_sockets(lanes_, by));
  Message carried = TRY(channel_.expect(MessageKind::Carried, by));
  const Taken taken = TRY(load_taken(carried.body));
  keep_trial(taken.trial, std::move(carried.fds));
  verdict_.clients = taken.clients;
  verdict_.servers = taken.servers;
  verdict_.left_behind = taken.refused.size();
  for (const Lane& lane : lanes_) verdict_.left_behind += lane.left_behind;
  crash_safety.keep_trial(trial_);
  if (!daemon_.service().notifier().barrier(kStoreLimit)) {
    log(LogLevel::Warning, "upgrade: the service manager is slow to take what would be left");
  }
  reached("old carried");
  TRY(channel_.send(MessageKind::Go, {}, by));
  TRY(channel_.expect(MessageKind::Serving, by));
  reached("old go");

  taken_over_ = true;
  daemon_.shared().handed_over = true;
  // The sessions are the successor's: what is said to it now, only it hears.
  verdict_.pause = clock_now() - began;
  images_ = std::vector<std::vector<session::Image>>(lanes_.size());
  crash_safety.lend(daemon_.workers());
  halt.each([&](Worker& worker) {
    const auto index = static_cast<std::size_t>(worker.worker);
    images_[index] = let_go(worker, lanes_[index], taken.refused);
  });
  if (!taken.refused.empty()) {
    log(LogLevel::Warning, "upgrade: {} sessions stay with this process: {}", taken.refused.size(),
        taken.reason);
  }
  return {};
}

namespace {

std::vector<handoff::PassedFd> named(std::string_view names, std::vector<UniqueFd> fds) {
  std::vector<handoff::PassedFd> all;
  auto loaded = load_names(names);
  if (!loaded || loaded->size() != fds.size()) return all;
  for (std::size_t i = 0; i < fds.size(); ++i) {
    all.push_back({.name = (*loaded)[i], .fd = std::move(fds[i])});
  }
  return all;
}

}  // namespace

void Upgrade::keep_trial(std::string_view names, std::vector<UniqueFd> fds) {
  if (auto all = named(names, std::move(fds)); !all.empty()) trial_ = std::move(all);
}

Result<> Upgrade::send_sockets(const std::vector<Lane>& lanes, Instant by) {
  // The kernel limits what is in flight by RLIMIT_NOFILE: a few messages are enough to keep both
  // sides busy.
  static constexpr int kInFlight = 4;
  std::vector<int> all;
  for (const Lane& lane : lanes) all.insert(all.end(), lane.fds.begin(), lane.fds.end());
  int in_flight = 0;
  for (std::size_t from = 0; from < all.size(); from += Channel::kMaxFds) {
    const std::size_t count = std::min(Channel::kMaxFds, all.size() - from);
    TRY(channel_.send(MessageKind::Sockets, {}, std::span(all).subspan(from, count), by));
    if (++in_flight < kInFlight) continue;
    TRY(channel_.expect(MessageKind::SocketsTaken, by));
    --in_flight;
  }
  for (; in_flight > 0; --in_flight) TRY(channel_.expect(MessageKind::SocketsTaken, by));
  return {};
}

// The successor serves; it has to go on doing so for a while.
Result<> Upgrade::stand_by() {
  Duration probation{};
  on_main([&] { probation = daemon_.rules()->config->settings.upgrade_probation; });
  log(LogLevel::Notice, "upgrade: process {} serves {} clients and {} servers after {} ms",
      midwife_.successor(), verdict_.clients, verdict_.servers,
      std::chrono::duration_cast<std::chrono::milliseconds>(verdict_.pause).count());
  reached("old probation");
  const Instant over = clock_now() + probation;
  while (clock_now() < over) {
    const Instant asked = clock_now();
    if (auto sent = channel_.send(MessageKind::Ping, {}, asked + kAnswerLimit); !sent) {
      if (!daemon_.is_leaving()) return explained(sent.take_error());
      break;
    }
    bool answered = false;
    while (!answered || clock_now() < std::min(over, asked + kBetweenPings)) {
      const Instant by = answered ? std::min(over, asked + kBetweenPings) : asked + kAnswerLimit;
      auto heard = channel_.receive(by);
      if (heard && heard->kind == MessageKind::Pong) {
        answered = true;
        if (!heard->fds.empty()) {
          keep_trial(heard->body, std::move(heard->fds));
          on_main([this] { daemon_.crash_safety().keep_trial(trial_); });
        }
      }
      if (heard && heard->kind == MessageKind::Cancel) daemon_.cancel_here(heard->body);
      if (heard) continue;
      if (answered && heard.error().code == ErrorCode::Limit) continue;  // quiet, as it should be
      if (!daemon_.is_leaving()) return explained(heard.take_error());
      break;
    }
    if (daemon_.is_leaving()) break;  // nobody stays to take anything back
  }
  if (daemon_.is_restarting()) park_both();
  return {};
}

// The service is to be restarted, and a service manager listens to its main process only: so this
// one puts into the FD store what the successor has. Returns if that cannot be.
void Upgrade::park_both() {
  channel_.set_abort(-1);
  const Instant by = clock_now() + kAnswerLimit;
  bool waits = static_cast<bool>(channel_.send(MessageKind::Park, {}, by));
  while (waits) {
    auto heard = channel_.receive(by);
    waits = heard && heard->kind != MessageKind::Refused;
    if (!heard || heard->kind != MessageKind::Parked) continue;
    auto parcel = named(heard->body, std::move(heard->fds));
    if (!parcel.empty()) on_main([&] { daemon_.leave_parcel(std::move(parcel)); });
    waits = false;
  }
}

// ---- The end of it ----------------------------------------------------------------------------

void Upgrade::take_back() {
  midwife_.kill();
  midwife_.leave();
  channel_.close();
  on_main([this] {
    if (taken_over_) daemon_.take_back(lanes_, std::move(images_), std::move(trial_));
    daemon_.pause_accepting(false);
  });
  taken_over_ = false;
}

void Upgrade::leave() {
  verdict_.done = true;
  verdict_.text =
      "pg_doorman " + verdict_.to + " serves as process " + std::to_string(midwife_.successor()) +
      ": " + std::to_string(verdict_.clients) + " clients and " + std::to_string(verdict_.servers) +
      " servers were carried over, the pause was " +
      std::to_string(
          std::chrono::duration_cast<std::chrono::milliseconds>(verdict_.pause).count()) +
      " ms";
  if (verdict_.left_behind > 0) {
    verdict_.text += ", " + std::to_string(verdict_.left_behind) + " stay until they are done";
  }
  midwife_.leave();
  trial_.clear();
  images_.clear();  // closes our copies
  lanes_.clear();
  reached("old done");
  on_main([this] { daemon_.hand_on(midwife_.successor()); });
  channel_.set_abort(-1);
  const Instant by = clock_now() + kAnswerLimit;
  auto said = channel_.send(MessageKind::Done, save(verdict_), by);
  while (said) {  // it may have asked something before
    auto heard = channel_.receive(by);
    if (!heard || heard->kind == MessageKind::Pong) break;
    if (heard->kind == MessageKind::Cancel) daemon_.cancel_here(heard->body);
  }
  if (!said) {
    log(LogLevel::Warning,
        "upgrade: the successor was gone before it could be told that it is on "
        "its own");
  }
}

}  // namespace doorman::daemon
