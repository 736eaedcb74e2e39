#include "daemon/restart.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <thread>
#include <unordered_map>

#include "base/log.h"
#include "base/record.h"
#include "daemon/daemon.h"
#include "daemon/versions.h"
#include "handoff/step.h"

namespace doorman::daemon {

using handoff::Mapped;
using handoff::PassedFd;
using session::ClientSession;
using session::ClientState;
using session::ServerSession;
using session::ServerState;

namespace {

constexpr std::string_view kPrefix = "restart.";
constexpr std::string_view kLane = "restart.lane.";
constexpr std::string_view kProcess = "restart.process";  // the last one: all are there
constexpr std::string_view kTry = "restart.try";          // one for each process that has begun

constexpr Duration kLoginLimit = std::chrono::milliseconds(500);
constexpr Duration kHaltLimit = std::chrono::seconds(3);
constexpr Duration kBarrierLimit = std::chrono::seconds(5);

// Never use a number again for something else.
enum Tag : std::uint16_t { TagVersions = 1, TagProcess = 2 };

bool logging_in(Worker& worker) {
  bool any = false;
  worker.each_client([&](ClientSession& client) {
    any = any || (client.logging_in() && client.state() != ClientState::Startup &&
                  client.state() != ClientState::Closing);
  });
  worker.each_server([&](ServerSession& server) {
    any = any || (server.state() != ServerState::Closing && !session::logged_in(server.state()));
  });
  return any;
}

void let_logins_finish(Daemon& daemon) {
  const Instant by = clock_now() + kLoginLimit;
  for (;;) {
    bool any = false;
    daemon.visit_workers([&](Worker& worker) { any = any || logging_in(worker); });
    if (!any || clock_now() >= by) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// Of a vault's end.
std::string name_in_parcel(std::string_view name) {
  return std::string(kPrefix).append(name.substr(handoff::kStashPrefix.size()));
}

// Sockets are numbered over all lanes, in the order of the records. Those that the live vault has
// stay there: the kernel would not take all of them twice.
Result<> put_sockets(handoff::Vault& vault, const std::vector<Lane>& lanes, bool live_vault) {
  std::vector<handoff::Socket> sockets;
  std::uint64_t number = 0;
  for (const Lane& lane : lanes) {
    for (const int fd : lane.fds) {
      if (!live_vault || !lane.kept.contains(fd)) sockets.push_back({.id = number, .fd = fd});
      ++number;
    }
  }
  if (vault.put(sockets) == sockets.size()) return {};
  return Error{ErrorCode::Limit,
               "the kernel does not take all sockets in flight: raise LimitNOFILE"};
}

}  // namespace

// ---- The store --------------------------------------------------------------------------------

void RestartStore::keep(const std::string& name, int fd) {
  notifier_.store(name_in_parcel(name), fd);
}

void RestartStore::drop(const std::string& name) { notifier_.remove(name_in_parcel(name)); }

// ---- The process that ends --------------------------------------------------------------------

namespace {

// Of vaults, under the names that they have in a parcel.
class IntoParcel final : public handoff::FdStore {
 public:
  explicit IntoParcel(std::vector<PassedFd>& fds) : fds_(fds) {}
  void keep(const std::string& name, int fd) override { add(name_in_parcel(name), fd); }
  void drop(const std::string& /*name*/) override {}
  void add(std::string name, int fd) {
    fds_.push_back({.name = std::move(name), .fd = UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3))});
  }

 private:
  std::vector<PassedFd>& fds_;
};

}  // namespace

Result<Parcel> pack(Daemon& daemon) {
  daemon.pause_accepting(true);
  let_logins_finish(daemon);
  const std::vector<Worker*>& workers = daemon.workers();
  Parcel parcel;
  std::vector<Lane> lanes(workers.size());
  const auto attempt = [&]() -> Result<> {
    parcel.halt = TRY(Halt::of(workers, clock_now() + kHaltLimit));
    std::vector<UniqueFd> memories(workers.size());
    parcel.halt->each([&](Worker& worker) {
      const auto index = static_cast<std::size_t>(worker.worker);
      lanes[index] = save_sessions(worker);
      if (auto memory = handoff::memory_of(lanes[index].records)) memories[index] = memory.take();
      std::string().swap(lanes[index].records);
    });
    IntoParcel into(parcel.fds);
    handoff::Vault vault(1, into);
    const std::vector<handoff::NamedFd> live = daemon.crash_safety().vault();
    TRY(put_sockets(vault, lanes, !live.empty()));
    for (std::size_t i = 0; i < memories.size(); ++i) {
      if (!memories[i]) return Error{ErrorCode::System, "no memory for the sessions' records"};
      into.add(fmt::format("{}{}", kLane, i), memories[i].get());
    }
    ProcessRecord process = daemon.describe();
    process.lanes = lanes.size();
    for (const Lane& lane : lanes) process.fds += lane.fds.size();
    for (const handoff::NamedFd& each : live) process.vault.push_back(each.name);
    process.next_stash = daemon.crash_safety().next_number();
    RecordWriter out;
    out.text(TagVersions, save(our_versions()));
    out.text(TagProcess, save(process));
    const UniqueFd record = TRY(handoff::memory_of(out.record()));
    into.add(std::string(kProcess), record.get());
    return {};
  };
  if (auto done = attempt(); !done) {
    parcel.halt.reset();
    daemon.pause_accepting(false);
    return done.take_error();
  }
  std::size_t sessions = 0;
  std::size_t left_behind = 0;
  for (const Lane& lane : lanes) {
    sessions += lane.entries.size();
    left_behind += lane.left_behind;
  }
  log(LogLevel::Notice, "restart: {} sessions wait for the next process, {} cannot", sessions,
      left_behind);
  return parcel;
}

Result<> store(const std::vector<PassedFd>& parcel, handoff::Notifier& notifier) {
  bool all = true;
  for (const PassedFd& each : parcel) all = all && notifier.store(each.name, each.fd.get());
  if (all && notifier.barrier(kBarrierLimit)) return {};
  for (const PassedFd& each : parcel) notifier.remove(each.name);
  return Error{ErrorCode::System, "the service manager does not say that it has everything"};
}

// ---- The process that begins ------------------------------------------------------------------

std::unique_ptr<Parked> Parked::take(std::vector<PassedFd>& stored, handoff::Notifier& notifier) {
  std::vector<PassedFd> ours;
  std::vector<PassedFd> others;
  for (PassedFd& each : stored) {
    (each.name.starts_with(kPrefix) ? ours : others).push_back(std::move(each));
  }
  stored = std::move(others);
  if (ours.empty()) return nullptr;
  const auto tries = static_cast<std::size_t>(std::count_if(
      ours.begin(), ours.end(), [](const PassedFd& each) { return each.name == kTry; }));
  std::unique_ptr<Parked> parked(new Parked(notifier));
  auto usable = parked->read(std::move(ours));
  if (usable && tries >= kMostTries) {
    usable = Error{ErrorCode::System, fmt::format("{} processes have died over it", tries)};
  }
  if (!usable) {
    log(LogLevel::Error, "restart: what the process before has left cannot be used: {}",
        usable.error().message);
    parked->drop();
    return nullptr;
  }
  // What else crash_safe has kept is of the same sessions. It is removed in the end, when there is
  // something younger.
  for (PassedFd& each : stored) {
    const auto& vault = parked->process_.vault;
    if (std::find(vault.begin(), vault.end(), each.name) != vault.end()) {
      parked->live_vault_.push_back(std::move(each));
    } else if (each.name.starts_with(handoff::kStashPrefix)) {
      parked->next_stash_ = std::max(parked->next_stash_, handoff::Stash::number_behind(each.name));
      parked->names_.push_back(each.name);
    }
  }
  parked->next_stash_ =
      std::max(parked->next_stash_, static_cast<std::uint32_t>(parked->process_.next_stash));
  stored.clear();
  // Counted before the first risk, and by PID 1, which does not die of it.
  if (auto mark = handoff::memory_of("try")) notifier.store(std::string(kTry), mark->get());
  return parked;
}

Result<> Parked::read(std::vector<PassedFd> fds) {
  std::vector<std::pair<std::size_t, UniqueFd>> lanes;
  UniqueFd record;
  for (PassedFd& each : fds) {
    const std::string_view name = each.name;
    if (name == kProcess) {
      record = std::move(each.fd);
    } else if (name.starts_with(kLane)) {
      std::size_t number = 0;
      std::from_chars(name.data() + kLane.size(), name.data() + name.size(), number);
      lanes.emplace_back(number, std::move(each.fd));
    } else if (name != kTry) {
      const std::string vaults =
          std::string(handoff::kStashPrefix) + std::string(name.substr(kPrefix.size()));
      if (vault_.add_end(vaults, std::move(each.fd))) continue;  // the vault drops it
    }
    if (std::find(names_.begin(), names_.end(), each.name) == names_.end()) {
      names_.push_back(each.name);
    }
  }
  if (std::find(names_.begin(), names_.end(), kTry) == names_.end()) names_.emplace_back(kTry);
  vault_.ends_are_complete();
  if (!record) return Error{ErrorCode::Protocol, "it is not complete"};
  std::sort(lanes.begin(), lanes.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [number, fd] : lanes) lanes_.push_back(std::move(fd));

  const Mapped map = TRY(Mapped::of(record.get()));
  RecordReader reader(map.text());
  bool found = false;
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagVersions) {
      const Versions versions = TRY(load_versions(field->value));
      TRY(can_read(our_versions(), versions));
    }
    if (field->tag != TagProcess) continue;
    process_ = TRY(load_process(field->value));
    found = true;
  }
  if (!found || process_.lanes != lanes_.size()) {
    return Error{ErrorCode::Protocol, "some of its descriptors are missing"};
  }
  return {};
}

Result<> Parked::succeed(CrashSafety& crash_safety, const std::vector<Worker*>& workers) {
  return crash_safety.succeed(std::move(live_vault_), next_stash_, workers);
}

Result<std::vector<Piece>> Parked::pieces(CrashSafety& crash_safety) {
  static constexpr std::size_t kMost = 1U << 24U;
  if (process_.fds > kMost) return Error{ErrorCode::Protocol, "it has too many sockets"};
  std::vector<UniqueFd> sockets(process_.fds);
  auto read = vault_.read([&](std::uint64_t number, UniqueFd fd) {
    if (number < sockets.size()) sockets[number] = std::move(fd);
  });
  if (!read) log(LogLevel::Error, "restart: {}", read.error().message);
  std::unordered_map<std::uint64_t, UniqueFd> kept;
  if (crash_safety.has_their_vault()) {
    auto more = crash_safety.stash()->vault().read(
        [&](std::uint64_t id, UniqueFd fd) { kept.insert_or_assign(id, std::move(fd)); });
    if (!more) log(LogLevel::Error, "restart: {}", more.error().message);
  }
  std::vector<Piece> all;
  std::size_t next = 0;
  for (const UniqueFd& lane : lanes_) {
    maps_.push_back(TRY(Mapped::of(lane.get())));
    for (Piece& piece : TRY(read_lane(maps_.back().text(), &sockets, next))) {
      // As it is now: what the vault does not have is put into it.
      piece.image.client_kept = !piece.image.client_fd && kept.contains(piece.entry.client);
      if (piece.image.client_kept) {
        piece.image.client_fd = std::move(kept.find(piece.entry.client)->second);
      }
      const bool whole = (piece.entry.client == 0 || piece.image.client_fd) &&
                         (piece.entry.server == 0 || piece.image.server_fd);
      if (whole) {
        all.push_back(std::move(piece));
      } else {
        ++lost_;
      }
    }
  }
  for (const auto& [id, fd] : kept) {
    if (fd) handoff::end_connection(fd.get());  // of who has left, or was in the middle of a login
  }
  return all;
}

Result<> Parked::build(Daemon& daemon) {
  const Instant began = clock_now();
  const auto attempt = [&]() -> Result<> {
    handoff::reached("unpark");
    TRY(daemon.take_state(process_));
    const std::vector<Worker*>& workers = daemon.workers();
    std::vector<Piece> all = TRY(pieces(daemon.crash_safety()));
    const std::unique_ptr<Halt> halt = TRY(Halt::of(workers, clock_now() + kHaltLimit));
    const Built built = build_sessions(*halt, workers.size(), std::move(all));
    lost_ += built.refused.size();
    // Before anybody is served: what is parked is older than that from then on.
    daemon.crash_safety().go_live();
    notifier_.remove(std::string(kProcess));
    if (!notifier_.barrier(kBarrierLimit)) {
      log(LogLevel::Warning, "restart: the service manager is slow to forget what was parked");
    }
    handoff::reached("restarted");
    log(LogLevel::Notice, "restart: {} clients and {} servers go on ({} ms)", built.clients,
        built.servers,
        std::chrono::duration_cast<std::chrono::milliseconds>(clock_now() - began).count());
    if (lost_ > 0) {
      log(LogLevel::Error, "restart: {} sessions are lost{}{}", lost_,
          built.reason.empty() ? "" : ": ", built.reason);
    }
    return {};
  };
  auto done = attempt();
  daemon.crash_safety().go_live();
  drop();
  return done;
}

void Parked::drop() {
  for (const UniqueFd& each : lanes_) handoff::wipe_memory(each.get());
  for (const std::string& each : names_) notifier_.remove(each);
  vault_.drop();
}

}  // namespace doorman::daemon
