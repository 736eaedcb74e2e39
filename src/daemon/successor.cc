#include "daemon/successor.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "base/record.h"
#include "daemon/daemon.h"
#include "daemon/restart.h"
#include "daemon/upgrade.h"
#include "daemon/versions.h"
#include "handoff/step.h"

namespace doorman::daemon {

using handoff::Channel;
using handoff::Mapped;
using handoff::Message;
using handoff::MessageKind;
using handoff::reached;

namespace {

std::pair<std::vector<std::string>, std::vector<int>> names_and_fds(
    const std::vector<handoff::NamedFd>& all) {
  std::pair<std::vector<std::string>, std::vector<int>> out;
  for (const handoff::NamedFd& each : all) {
    out.first.push_back(each.name);
    out.second.push_back(each.fd);
  }
  return out;
}

std::vector<handoff::PassedFd> vault_of(const ProcessRecord& process, std::vector<UniqueFd>& fds,
                                        std::size_t first) {
  std::vector<handoff::PassedFd> vault;
  for (std::size_t i = 0; i < process.vault.size(); ++i) {
    vault.push_back({.name = process.vault[i], .fd = std::move(fds[first + i])});
  }
  return vault;
}

}  // namespace

void refuse_to_succeed(int fd, std::string_view reason) {
  Channel channel{UniqueFd(fd)};
  RecordWriter out;
  out.text(1, reason);
  static_cast<void>(static_cast<bool>(
      channel.send(MessageKind::Refused, out.record(), clock_now() + std::chrono::seconds(1))));
}

Successor::Successor(Daemon& daemon, net::EventLoop& loop, UniqueFd fd)
    : daemon_(daemon), loop_(loop), channel_(std::move(fd)) {}

// No destructor runs: one of them would shut down sockets that the old process goes on with.
void Successor::give_up(const Error& error) {
  log(LogLevel::Error, "upgrade: cannot take over: {}", error.message);
  RecordWriter out;
  out.text(1, error.message);
  static_cast<void>(static_cast<bool>(
      channel_.send(MessageKind::Refused, out.record(), clock_now() + kSayLimit)));
  stop_log();
  ::_exit(1);
}

void Successor::take_over() {
  reached("hello");
  must(channel_.send(MessageKind::Hello, save(our_versions()), clock_now() + kSayLimit));
  for (;;) {
    Message message = must(channel_.receive(clock_now() + kPatience));
    if (message.kind == MessageKind::Rehearse) {
      rehearse(std::move(message));
    } else if (message.kind == MessageKind::Carry) {
      build(std::move(message));
      break;
    } else {
      give_up({ErrorCode::Protocol, "the old process speaks another language"});
    }
  }
  net::EventHandler& handler = *this;
  event_ = std::make_unique<net::IoEvent>(loop_, channel_.fd(), EV_READ, handler);
  event_->enable();
}

void Successor::rehearse(Message message) {
  reached("rehearse");
  if (message.fds.size() != 1) give_up({ErrorCode::Protocol, "a snapshot is missing"});
  const Mapped records = must(Mapped::of(message.fds.front().get()));
  std::size_t none = 0;
  std::vector<Piece> pieces = must(read_lane(records.text(), nullptr, none));
  Built built;
  daemon_.visit_worker(0,
                       [&](Worker& worker) { built = check_sessions(worker, std::move(pieces)); });
  must(channel_.send(MessageKind::Rehearsed,
                     save(Loss{.count = built.refused.size(), .reason = built.reason}),
                     clock_now() + kSayLimit));
}

std::vector<UniqueFd> Successor::receive_sockets(std::size_t count, Instant by) {
  std::vector<UniqueFd> all;
  all.reserve(count);
  while (all.size() < count) {
    Message message = must(channel_.expect(MessageKind::Sockets, by));
    for (UniqueFd& each : message.fds) all.push_back(std::move(each));
    must(channel_.send(MessageKind::SocketsTaken, {}, by));
  }
  return all;
}

void Successor::build(Message message) {
  reached("carry");
  const Instant by = clock_now() + kPatience;
  auto& fds = message.fds;
  if (fds.empty()) give_up({ErrorCode::Protocol, "the process's record is missing"});
  const Mapped record = must(Mapped::of(fds.front().get()));
  const ProcessRecord process = must(load_process(record.text()));
  const std::size_t first_lane = 1 + process.listeners + (process.control_socket ? 1 : 0);
  const std::size_t first_of_vault = first_lane + process.lanes;
  if (fds.size() < first_of_vault + process.vault.size()) {
    give_up({ErrorCode::Protocol, "descriptors are missing"});
  }
  must(daemon_.take_state(process));
  std::vector<UniqueFd> passed;
  for (std::size_t i = 1; i <= process.listeners; ++i) passed.push_back(std::move(fds[i]));
  Listeners listeners = must(daemon_.listeners_from(process, std::move(passed)));

  std::vector<UniqueFd> sockets = receive_sockets(process.fds, by);
  std::vector<Mapped> maps;
  std::vector<Piece> pieces;
  std::size_t next_fd = 0;
  for (std::size_t i = first_lane; i < first_of_vault; ++i) {
    maps.push_back(must(Mapped::of(fds[i].get())));
    auto of_lane = must(read_lane(maps.back().text(), &sockets, next_fd));
    pieces.reserve(pieces.size() + of_lane.size());
    std::move(of_lane.begin(), of_lane.end(), std::back_inserter(pieces));
  }
  CrashSafety& crash_safety = daemon_.crash_safety();
  Taken taken;
  {
    // Until it is destroyed no worker reads or writes.
    const std::unique_ptr<Halt> halt = must(Halt::of(daemon_.workers(), by));
    must(crash_safety.succeed(vault_of(process, fds, first_of_vault),
                              static_cast<std::uint32_t>(process.next_stash), daemon_.workers()));
    if (!crash_safety.has_their_vault()) {  // the old process has all sockets until it is over
      for (Piece& each : pieces) each.image.client_kept = true;
    }
    Built built = build_sessions(*halt, daemon_.workers().size(), std::move(pieces));
    taken.clients = built.clients;
    taken.servers = built.servers;
    taken.reason = std::move(built.reason);
    taken.refused = std::move(built.refused);
    reached("built");
    auto [names, trial_fds] = names_and_fds(crash_safety.stash()->fds());
    trial_fds_ = trial_fds.size();
    taken.trial = save_names(names);
    must(channel_.send(MessageKind::Carried, save(taken), trial_fds, clock_now() + kSayLimit));
    reached("carried");
    must(channel_.expect(MessageKind::Go, by));
    crash_safety.go_live();
    // Not before: until this has been said, the old process goes on as if nothing had happened.
    must(channel_.send(MessageKind::Serving, {}, clock_now() + kSayLimit));
    reached("go");
    halt->each([&](Worker& worker) {
      if (worker.worker == 0) daemon_.accept_on(worker, std::move(listeners));
    });
  }
  if (process.control_socket) daemon_.adopt_control(std::move(fds[first_lane - 1]));
  log(LogLevel::Notice, "upgrade: {} clients and {} servers were taken over", taken.clients,
      taken.servers);
}

// ---- Afterwards -------------------------------------------------------------------------------

void Successor::on_event(short /*what*/) {
  auto message = channel_.receive(clock_now() + kSayLimit);
  if (message) {
    on_message(message.take());
    return;
  }
  event_.reset();
  channel_.close();
  if (!std::exchange(main_, true)) daemon_.orphaned();
}

void Successor::on_message(Message message) {
  switch (message.kind) {
    case MessageKind::Ping:
      ++pings_;
      reached(pings_ == 4 ? "ping 4" : "ping");
      daemon_.visit_workers([](Worker& /*worker*/) {});  // each comes to the end of its turn
      pong();
      return;
    case MessageKind::Done:
      reached("done");
      if (auto verdict = load_verdict(message.body)) daemon_.add_verdict(verdict.take());
      if (!std::exchange(main_, true)) daemon_.become_main();
      static_cast<void>(
          static_cast<bool>(channel_.send(MessageKind::Pong, {}, clock_now() + kSayLimit)));
      return;
    case MessageKind::Late: take_late(std::move(message)); return;
    case MessageKind::Park: park(); return;
    default: return;  // a later release says more
  }
}

void Successor::take_late(Message message) {
  if (message.fds.size() < 2) return;
  auto records = Mapped::of(message.fds.front().get());
  if (!records) return;
  std::size_t next = 1;
  auto pieces = read_lane(records->text(), &message.fds, next);
  if (pieces) {
    daemon_.visit_worker(next_worker_++ % daemon_.workers().size(), [&](Worker& worker) {
      const Built built = build_sessions(worker, pieces.take());
      if (!built.refused.empty()) {
        log(LogLevel::Warning, "upgrade: a client that came late is lost: {}", built.reason);
      }
    });
  }
  handoff::wipe_memory(message.fds.front().get());  // the pieces are in it
}

// With the trial's descriptors, if there are more by now.
void Successor::pong() {
  std::vector<std::string> names;
  std::vector<int> fds;
  const handoff::Stash* stash = daemon_.crash_safety().stash();
  if (stash != nullptr && stash->fds().size() != trial_fds_) {
    std::tie(names, fds) = names_and_fds(stash->fds());
    trial_fds_ = fds.size();
  }
  static_cast<void>(static_cast<bool>(
      channel_.send(MessageKind::Pong, save_names(names), fds, clock_now() + kSayLimit)));
}

void Successor::park() {
  auto parcel = pack(daemon_);
  if (!parcel) {
    log(LogLevel::Error, "restart: {}", parcel.error().message);
    RecordWriter out;
    out.text(1, parcel.error().message);
    static_cast<void>(static_cast<bool>(
        channel_.send(MessageKind::Refused, out.record(), clock_now() + kSayLimit)));
    return;
  }
  auto [names, fds] = names_and_fds(daemon_.crash_safety().stash()->fds());
  for (const handoff::PassedFd& each : parcel->fds) {
    names.push_back(each.name);
    fds.push_back(each.fd.get());
  }
  static_cast<void>(static_cast<bool>(
      channel_.send(MessageKind::Parked, save_names(names), fds, clock_now() + kSayLimit)));
  static_cast<void>(static_cast<bool>(channel_.receive(clock_now() + kPatience)));  // its end
  stop_log();
  // No destructor runs: one of them would shut down sockets that the next process goes on with.
  ::_exit(0);
}

void Successor::ask_to_cancel(std::string_view key) {
  if (channel_) {
    static_cast<void>(
        static_cast<bool>(channel_.send(MessageKind::Cancel, key, clock_now() + kSayLimit)));
  }
}

}  // namespace doorman::daemon
