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

// ---- Handed over ------------------------------------------------------------------------------

Result<> CrashSafety::succeed(std::vector<PassedFd> vault, std::uint32_t number,
                              const std::vector<Worker*>& workers) {
  workers_.assign(workers.begin(), workers.end());
  const bool theirs = !vault.empty();
  stash_ = TRY(Stash::succeed(std::move(vault), number, store_));
  statements_ = std::make_unique<handoff::KeptStatements>(stash_->journal());
  make_live(workers);
  for (std::size_t i = 0; i < live_.size(); ++i) {
    workers[i]->slots.use(&stash_->journal());
    workers[i]->live = live_[i].get();
  }
  has_their_vault_ = theirs;
  on_trial_ = true;
  return {};
}

void CrashSafety::go_live() {
  if (stash_) stash_->go_live();
}

namespace {

// While slots of a journal are given back: nobody may get them again.
class NoSlots final : public session::SlotSource {
 public:
  void lend_slots(std::vector<session::HotSlot*>& /*free*/) override {}
  bool owns(const session::HotSlot& /*slot*/) const override { return false; }
  void erase(session::HotSlot& /*slot*/) override {}
};

}  // namespace

void CrashSafety::write_nothing(Worker& worker) {
  NoSlots none;
  worker.slots.use(&none);
  worker.live = nullptr;
  worker.each_client([](session::ClientSession& client) { client.renew_slot(); });
  worker.each_server([](session::ServerSession& server) { server.renew_slot(); });
  worker.slots.use(nullptr);
}

void CrashSafety::take_charge(const config::Settings& settings) {
  if (!stash_) return;
  on_trial_ = false;
  const bool wanted = settings.crash_safe && notifier_.active();
  if (wanted) stash_->keep_all();  // what was added while nobody listened to this process
  if (wanted && has_their_vault_) return;
  auto halt = Halt::of(workers_, clock_now() + kHaltLimit);
  if (!halt) {
    log(LogLevel::Error, "clients are not crash-safe: {}", halt.error().message);
    return;
  }
  (*halt)->each([&](Worker& worker) {
    if (!wanted) {
      write_nothing(worker);
      return;
    }
    std::vector<const session::ClientSession*> clients;
    worker.each_client([&](const session::ClientSession& client) {
      if (client.state() == session::ClientState::Closing) return;
      if (client.part() != nullptr && !client.logging_in()) clients.push_back(&client);
    });
    live_[static_cast<std::size_t>(worker.worker)]->adopt(clients);
  });
  if (wanted) return;
  live_.clear();
  statements_.reset();
  stash_->discard();
  stash_.reset();
}

// ---- Handing over -----------------------------------------------------------------------------

std::vector<handoff::NamedFd> CrashSafety::vault() const {
  // On trial without their vault: they have the sockets.
  const bool whole = on() && (!on_trial_ || has_their_vault_);
  return whole ? stash_->vault().fds() : std::vector<handoff::NamedFd>();
}

void CrashSafety::keep_trial(const std::vector<PassedFd>& trial) {
  if (!on()) return;
  std::set<std::string> ours;
  for (const handoff::NamedFd& each : stash_->fds()) ours.insert(each.name);
  const bool of_our_vault = std::any_of(
      trial.begin(), trial.end(), [&](const PassedFd& each) { return ours.contains(each.name); });
  if (!of_our_vault) return;  // it goes on without the sockets in it
  for (const PassedFd& each : trial) {
    if (ours.contains(each.name) || !trial_names_.insert(each.name).second) continue;
    store_.keep(each.name, each.fd.get());
  }
}

void CrashSafety::forget_trial(std::vector<PassedFd> trial) {
  if (on()) stash_->add_ends(trial);
  trial_names_.clear();
  // An Error says that it does not count yet; what is in the store is given back all the same.
  if (auto opened = Stash::open(std::move(trial), store_)) (*opened)->discard();
}

void CrashSafety::set_lent(bool lent, const std::vector<Worker*>& workers) {
  lent_ = lent;
  for (std::size_t i = 0; i < live_.size() && i < workers.size(); ++i) {
    live_[i]->keep_sockets(!lent);
  }
}

Result<handoff::Recovered> CrashSafety::take_back(std::vector<PassedFd> trial,
                                                  std::vector<Copy> copies, session::Shared& shared,
                                                  const std::vector<Worker*>& workers) {
  set_lent(false, workers);
  trial_names_.clear();
  if (on()) stash_->add_ends(trial);
  const std::unique_ptr<Stash> theirs = TRY(Stash::open(std::move(trial), store_));
  StashReader reader(*theirs, StashReader::ItsVault::IsOver);
  if (auto read = reader.read(); !read) {
    log(LogLevel::Error, "some connections are lost: {}", read.error().message);
  }
  std::unordered_set<std::uint64_t> in_vault;
  if (on()) {
    std::unordered_set<std::uint64_t> copied;
    for (const Copy& each : copies) copied.insert(each.client);
    const std::unordered_set<std::uint64_t> here = stash_->journal().sessions();
    auto read = stash_->vault().read([&](std::uint64_t id, UniqueFd fd) {
      if (here.contains(id)) return;  // it has never left
      in_vault.insert(id);
      if (!copied.contains(id)) reader.offer(id, std::move(fd), /*kept=*/true);
    });
    if (!read) log(LogLevel::Warning, "{}", read.error().message);
  }
  for (Copy& each : copies) {
    reader.offer(each.client, std::move(each.fd), in_vault.contains(each.client));
  }
  shared.next_id = std::max(shared.next_id.load(), reader.first_free_id());
  handoff::KeptStatements statements(theirs->journal());
  const std::vector<session::Host*> hosts(workers.begin(), workers.end());
  const handoff::Recovered recovered =
      handoff::recover(reader, statements, hosts, handoff::ThisStash::IsLeft);
  theirs->discard();  // from here on ours is the youngest again
  return recovered;
}

void CrashSafety::hand_over() {
  if (!stash_) return;
  lent_ = true;
  trial_names_.empty() ? stash_->discard() : stash_->leave_vault();
}

// ---- Its life and end -------------------------------------------------------------------------

void CrashSafety::tick(Instant now) {
  if (!stash_ || on_trial_ || lent_) return;
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
