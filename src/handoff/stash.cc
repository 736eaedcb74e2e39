#include "handoff/stash.h"

#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <map>
#include <unordered_set>

#include "base/log.h"

namespace doorman::handoff {

namespace {

constexpr std::time_t kFirstNumberAt = 1'577'836'800;  // 2020
constexpr std::size_t kWorthTidying = 2 * Vault::kMostPerMessage;
constexpr std::size_t kMessagesAtOnce = 8;

struct Name {
  char kind;  // 'j' or 'v'
  std::uint32_t number;
};

// "stash.j2", "stash.v1.0.r"
std::optional<Name> parse(std::string_view name) {
  if (!name.starts_with(kStashPrefix)) return std::nullopt;
  name.remove_prefix(kStashPrefix.size());
  if (name.empty() || (name[0] != 'j' && name[0] != 'v')) return std::nullopt;
  Name parsed{.kind = name[0], .number = 0};
  name.remove_prefix(1);
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), parsed.number);
  if (error != std::errc() || parsed.number == 0) return std::nullopt;
  return parsed;
}

}  // namespace

void end_connection(int fd) {
  ::shutdown(fd, SHUT_RDWR);
  // Frees what the kernel still has of it, and what would wait for the peer for ever.
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  static_cast<void>(::connect(fd, &nobody, sizeof nobody));
}

// ---- Life -------------------------------------------------------------------------------------

Result<std::unique_ptr<Journal>> Stash::new_journal() {
  auto journal = TRY(Journal::create(next_number_++));
  journal->set_vaults({.live = vault_->number(), .stop = 0});
  store_.keep(journal->name(), journal->fd());
  return journal;
}

Result<std::unique_ptr<Stash>> Stash::create(FdStore& store) {
  std::unique_ptr<Stash> stash(new Stash(store));
  // Higher than those of any process before, whose stash may still be kept.
  stash->next_number_ = static_cast<std::uint32_t>(std::time(nullptr) - kFirstNumberAt);
  stash->vault_ = std::make_unique<Vault>(stash->next_number_++, store);
  stash->vault_->prepare();
  stash->journal_ = TRY(stash->new_journal());
  stash->journal_->set_phase(Phase::Live);
  return stash;
}

Result<std::unique_ptr<Stash>> Stash::open(std::vector<PassedFd> fds, FdStore& store) {
  std::unique_ptr<Stash> stash(new Stash(store));
  std::string reasons;
  std::unordered_set<std::string> kept;
  // The youngest journal that may be used; it says which vault is its own.
  for (PassedFd& each : fds) {
    const auto name = parse(each.name);
    if (!name) continue;
    stash->next_number_ = std::max(stash->next_number_, name->number + 1);
    const bool younger = !stash->journal_ || stash->journal_->number() < name->number;
    if (name->kind != 'j' || !younger) continue;
    auto journal = Journal::open(name->number, std::move(each.fd));
    if (!journal) {
      reasons += (reasons.empty() ? "" : "; ") + each.name + ": " + journal.error().message;
      continue;
    }
    if ((*journal)->phase() == Phase::Live) stash->journal_ = journal.take();
  }
  if (stash->journal_) {
    const std::uint32_t vault = stash->journal_->vaults().live;
    kept.insert(stash->journal_->name());
    stash->vault_ = std::make_unique<Vault>(std::max(vault, 1U), store);
    for (PassedFd& each : fds) {
      const auto name = parse(each.name);
      if (!name || name->kind != 'v' || name->number != vault) continue;
      if (stash->vault_->add_end(each.name, std::move(each.fd))) kept.insert(each.name);
    }
    stash->vault_->ends_are_complete();
  }
  for (const PassedFd& each : fds) {
    if (!kept.contains(each.name)) store.drop(each.name);
  }
  if (stash->journal_) return stash;
  return Error{ErrorCode::Protocol, reasons.empty() ? "there is no journal" : reasons};
}

Result<std::unique_ptr<Stash>> Stash::succeed(std::vector<PassedFd> vault, std::uint32_t number,
                                              FdStore& store) {
  std::unique_ptr<Stash> stash(new Stash(store));
  stash->next_number_ =
      number != 0 ? number : static_cast<std::uint32_t>(std::time(nullptr) - kFirstNumberAt);
  for (PassedFd& each : vault) {
    const auto name = parse(each.name);
    if (!name || name->kind != 'v') {
      return Error{ErrorCode::Protocol, "a vault's descriptor has no such name: " + each.name};
    }
    if (!stash->vault_) stash->vault_ = std::make_unique<Vault>(name->number, store);
    stash->next_number_ = std::max(stash->next_number_, name->number + 1);
    TRY(stash->vault_->add_end(each.name, std::move(each.fd)));
  }
  if (stash->vault_) {
    stash->vault_->ends_are_complete();
    stash->vault_->count();
  } else {
    stash->vault_ = std::make_unique<Vault>(stash->next_number_++, store);
    stash->vault_->prepare();
  }
  stash->journal_ = TRY(stash->new_journal());
  stash->journal_->set_phase(Phase::Writing);
  return stash;
}

std::uint32_t Stash::number_behind(std::string_view name) {
  const auto parsed = parse(name);
  return parsed ? parsed->number + 1 : 0;
}

void Stash::add_ends(std::vector<PassedFd>& fds) {
  std::erase_if(fds, [this](PassedFd& each) {
    const auto name = parse(each.name);
    if (!name || name->kind != 'v' || name->number != vault_->number()) return false;
    static_cast<void>(static_cast<bool>(vault_->add_end(each.name, std::move(each.fd))));
    return true;
  });
  vault_->ends_are_complete();
}

void Stash::discard() {
  journal_->wipe();
  store_.drop(journal_->name());
  vault_->drop();
}

void Stash::leave_vault() {
  journal_->wipe();
  store_.drop(journal_->name());
}

void Stash::settle() {
  journal_->reclaim_slots();
  journal_->set_phase(Phase::Live);
}

std::vector<NamedFd> Stash::fds() const {
  std::vector<NamedFd> all = vault_->fds();
  all.push_back({.name = journal_->name(), .fd = journal_->fd()});
  return all;
}

void Stash::keep_all() {
  for (const NamedFd& each : fds()) store_.keep(each.name, each.fd);
}

void Stash::tidy(const Vault::Alive& alive, std::size_t clients) {
  journal_->compact_if_due();
  const std::size_t sockets = vault_->sockets();
  const std::size_t garbage = sockets > clients ? sockets - clients : 0;
  if (garbage > std::max(clients, kWorthTidying)) tidying_ = true;
  if (garbage * 8 < sockets || garbage < kWorthTidying / 4) tidying_ = false;
  // There are clients that find no room.
  const std::uint64_t refused = vault_->refused();
  if (std::exchange(refused_before_, refused) != refused && garbage > 0) tidying_ = true;
  if (tidying_) vault_->tidy(alive, kMessagesAtOnce);
}

// ---- Reading ----------------------------------------------------------------------------------

Result<> StashReader::read() {
  Journal& journal = stash_.journal();
  first_free_id_ = journal.first_free_id();
  for (std::size_t i = 0; i < journal.slots(); ++i) {
    auto kept = journal.read(i);
    if (!kept) {
      damaged_.push_back(i);
      log(LogLevel::Warning, "the stash has a record that cannot be used: {}",
          kept.error().message);
    } else if (*kept) {
      kept_.push_back(std::move(**kept));
    }
  }
  return stash_.vault().read([this](std::uint64_t id, UniqueFd fd) {
    first_free_id_ = std::max(first_free_id_, id + 1);
    sockets_.emplace(id, Found{.fd = std::move(fd), .kept = then_ == ItsVault::GoesOn});
  });
}

UniqueFd StashReader::claim(std::uint64_t id) {
  const auto found = sockets_.find(id);
  if (found == sockets_.end()) return {};
  UniqueFd fd = std::move(found->second.fd);
  sockets_.erase(found);
  return fd;
}

bool StashReader::is_kept(std::uint64_t id) const {
  const auto found = sockets_.find(id);
  return found != sockets_.end() && found->second.kept;
}

void StashReader::forget(session::HotSlot& slot) {
  stash_.journal().erase(slot);
  session::clear(slot);
}

void StashReader::forget_damaged() {
  for (const std::size_t each : damaged_) forget(*stash_.journal().slot_at(each));
}

std::vector<std::uint64_t> StashReader::unclaimed() const {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, found] : sockets_) ids.push_back(id);
  return ids;
}

void StashReader::end_unclaimed() {
  for (const auto& [id, found] : sockets_) end_connection(found.fd.get());
  sockets_.clear();
}

}  // namespace doorman::handoff
