#include "daemon/crash_safety.h"

#include <algorithm>
#include <unordered_set>

#include "base/log.h"
#include "base/record.h"
#include "daemon/halt.h"
#include "handoff/recovery.h"

namespace doorman::daemon {

using handoff::Journal;
using handoff::PassedFd;
using handoff::Stash;
using handoff::StashReader;

// ---- The start --------------------------------------------------------------------------------

void CrashSafety::open(std::vector<PassedFd> stored) {
  std::vector<PassedFd> ours;
  for (PassedFd& each : stored) {
    if (each.name.starts_with(handoff::kStashPrefix)) {
      ours.push_back(std::move(each));
    } else {
      log(LogLevel::Warning, "the service manager kept {}, which nobody needs", each.name);
      notifier_.remove(each.name);
    }
  }
  if (ours.empty()) return;
  auto opened = Stash::open(std::move(ours), store_);
  if (opened) {
    stash_ = opened.take();
  } else {
    log(LogLevel::Error, "the connections of the process before are lost: {}",
        opened.error().message);
  }
}

void CrashSafety::set_aside() {
  log(LogLevel::Error,
      "{} processes have died soon after they had taken over the connections of the one before: "
      "these connections are given up",
      stash_->journal().deaths());
  StashReader reader(*stash_);
  static_cast<void>(reader.read());
  reader.end_unclaimed();
  stash_->discard();
  stash_.reset();
}

void CrashSafety::recover(session::Shared& shared, const std::vector<Worker*>& workers) {
  const Instant begun = clock_now();
  StashReader reader(*stash_);
  if (auto read = reader.read(); !read) {
    log(LogLevel::Error, "some connections of the process before are lost: {}",
        read.error().message);
  }
  shared.next_id = std::max(shared.next_id.load(), reader.first_free_id());
  const std::vector<session::Host*> hosts(workers.begin(), workers.end());
  const handoff::Recovered found = handoff::recover(reader, *statements_, hosts);
  restored_ = found.clients;
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(clock_now() - begun).count();
  log(LogLevel::Notice,
      "the process before has died: {} idle clients go on, {} others were told and {} closed, {} "
      "queries are cancelled ({} ms)",
      found.clients, found.told, found.closed, found.cancelled, took);
}

bool CrashSafety::create() {
  auto created = Stash::create(store_);
  if (created) {
    stash_ = created.take();
    return true;
  }
  log(LogLevel::Error, "clients are not crash-safe: {}", created.error().message);
  return false;
}

void CrashSafety::make_live(const std::vector<Worker*>& workers) {
  for (Worker* worker : workers) {
    live_.push_back(std::make_unique<handoff::LiveStash>(*stash_, *statements_, *worker));
  }
}

void CrashSafety::begin_late(const config::Settings& settings,
                             const std::vector<Worker*>& workers) {
  workers_.assign(workers.begin(), workers.end());
  if (!settings.crash_safe || !notifier_.active() || !create()) return;
  statements_ = std::make_unique<handoff::KeptStatements>(stash_->journal());
  make_live(workers);
  auto halt = Halt::of(workers, clock_now() + kHaltLimit);
  if (!halt) {
    log(LogLevel::Error, "clients are not crash-safe: {}", halt.error().message);
    discard();
    live_.clear();
    return;
  }
  (*halt)->each([this](Worker& worker) {
    worker.slots.use(&stash_->journal());
    worker.live = live_[static_cast<std::size_t>(worker.worker)].get();
    worker.each_client([&](session::ClientSession& client) {
      if (client.state() == session::ClientState::Closing) return;
      client.renew_slot();
      if (client.part() != nullptr && !client.logging_in()) worker.live->logged_in(client);
    });
    worker.each_server([&](session::ServerSession& server) {
      if (server.state() == session::ServerState::Closing) return;
      server.renew_slot();
      if (session::logged_in(server.state())) worker.live->logged_in(server);
    });
  });
}

void CrashSafety::begin(std::vector<PassedFd> stored, const config::Settings& settings,
                        session::Shared& shared, const std::vector<Worker*>& workers) {
  workers_.assign(workers.begin(), workers.end());
  open(std::move(stored));
  if (stash_ && stash_->journal().deaths() >= kMostDeaths) set_aside();
  const bool found = stash_ != nullptr;
  const bool wanted = settings.crash_safe && notifier_.active();
  if (!found && !wanted) return;
  if (!found && !create()) return;
  Journal& journal = stash_->journal();
  statements_ = std::make_unique<handoff::KeptStatements>(journal);
  if (wanted) make_live(workers);
  for (std::size_t i = 0; i < live_.size(); ++i) {
    workers[i]->slots.use(&journal);
    workers[i]->live = live_[i].get();
  }
  if (!found) return;
  journal.set_deaths(journal.deaths() + 1);
  recover(shared, workers);
  stash_->settle();
  proven_at_ = clock_now() + kProven;
  if (wanted) return;
  stash_->discard();
  statements_.reset();
  stash_.reset();
}

// ---- Its life and end -------------------------------------------------------------------------

void CrashSafety::tick(Instant now) {
  if (!stash_) return;
  Journal& journal = stash_->journal();
  if (now >= proven_at_) {
    proven_at_ = Instant::max();
    journal.set_deaths(0);
  }
  if (now < next_tidying_) return;
  next_tidying_ = now + kBetweenTidying;
  statements_->forget_unused();
  std::size_t clients = 0;
  for (const Worker* each : workers_) clients += each->client_count();
  // Who comes while it is tidied has a slot before its socket is in the vault.
  std::unordered_set<std::uint64_t> alive;
  const auto is_alive = [&](std::uint64_t id) {
    if (alive.empty()) alive = journal.sessions();
    return alive.contains(id);
  };
  stash_->tidy(is_alive, clients);
}

void CrashSafety::discard() {
  if (stash_) stash_->discard();
}

std::vector<CrashSafety::Figure> CrashSafety::figures() const {
  std::uint64_t not_kept = 0;
  for (const auto& each : live_) not_kept += each->not_kept();
  std::vector<Figure> all = {{.key = "crash_safe", .value = on() ? 1U : 0U},
                             {.key = "record_version", .value = record_format.version},
                             {.key = "clients_restored", .value = restored_},
                             {.key = "clients_not_kept", .value = not_kept}};
  if (!stash_) return all;
  const handoff::Vault& vault = stash_->vault();
  const Journal& journal = stash_->journal();
  const Journal::Busy busy = journal.busy();
  const std::vector<Figure> more = {
      {.key = "pending", .value = busy.pending},
      {.key = "in_doubt", .value = busy.in_doubt},
      {.key = "deaths", .value = journal.deaths()},
      {.key = "vault_sockets", .value = vault.sockets()},
      {.key = "vault_messages", .value = vault.messages()},
      {.key = "vault_pairs", .value = vault.pairs()},
      {.key = "journal_bytes", .value = journal.used_bytes()},
      {.key = "journal_garbage", .value = journal.garbage_bytes()},
      {.key = "journal_slots", .value = journal.slots()},
      {.key = "stored_descriptors", .value = stash_->fds().size()},
  };
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace doorman::daemon
