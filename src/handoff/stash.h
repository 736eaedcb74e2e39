// Stash: all that outlives the process, as one thing: a journal of what the sessions are, and a
// vault with their sockets.
//
// While the process runs, it is kept up to date (crash_safe): sessions have their hot slots in the
// journal, and clients' sockets are in the vault. After a crash, whoever reads a stash goes on with
// it: its sessions get slots of the same journal. At an upgrade or a restart the next process goes
// on with the vault, and has a journal of its own.
//
// StashReader gives each session's record and socket once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "handoff/fd_store.h"
#include "handoff/journal.h"
#include "handoff/vault.h"

namespace doorman::handoff {

class Stash {
 public:
  static Result<std::unique_ptr<Stash>> create(FdStore& store);
  // From the descriptors of a process before. What is of no use is closed and given back; an Error
  // says that nothing was of use.
  static Result<std::unique_ptr<Stash>> open(std::vector<PassedFd> fds, FdStore& store);

  // For sessions that another process hands over: goes on with its vault, whose ends these are, or
  // makes one if there are none. The journal is new, has at least that number, and counts from
  // go_live() on.
  static Result<std::unique_ptr<Stash>> succeed(std::vector<PassedFd> vault, std::uint32_t number,
                                                FdStore& store);
  void go_live() { journal_->set_phase(Phase::Live); }
  // The number that the next one may have.
  std::uint32_t next_number() const { return next_number_; }
  // Takes those of `fds` that are ends of its vault: another process has added pairs to it.
  void add_ends(std::vector<PassedFd>& fds);
  static std::uint32_t number_behind(std::string_view name);  // higher than that in the name

  Journal& journal() { return *journal_; }
  const Journal& journal() const { return *journal_; }
  Vault& vault() { return *vault_; }
  const Vault& vault() const { return *vault_; }

  // Another process goes on with the vault: the rest is wiped and given back.
  void leave_vault();
  // After it was read and all are built again.
  void settle();

  // The whole stash gets lost: its sockets are closed, its memory is wiped.
  void discard();

  std::vector<NamedFd> fds() const;
  std::uint64_t first_free_id() const { return journal_->first_free_id(); }
  // Gives all of it to the FD store once more: this process has become the one that may.
  void keep_all();
  // Some work on garbage, if there is enough; for the main thread, now and then.
  void tidy(const Vault::Alive& alive, std::size_t clients);

 private:
  explicit Stash(FdStore& store) : store_(store) {}
  Result<std::unique_ptr<Journal>> new_journal();

  FdStore& store_;
  std::uint32_t next_number_ = 1;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Vault> vault_;
  bool tidying_ = false;
  std::uint64_t refused_before_ = 0;
};

class StashReader {
 public:
  // Whether sessions that are built again have copies of their sockets in the vault that is read.
  enum class ItsVault : std::uint8_t { GoesOn, IsOver };

  explicit StashReader(Stash& stash, ItsVault then = ItsVault::GoesOn)
      : stash_(stash), then_(then) {}

  // Nothing is taken out: who dies while reading, or later, has destroyed nothing.
  Result<> read();
  // Records that could not be read, each of one session.
  std::size_t damaged() const { return damaged_.size(); }

  template <class Visit>
  void each(Kind kind, Visit visit) {
    for (Kept& kept : kept_) {
      if (kept.record.kind == kind) visit(kept);
    }
  }
  // The session's socket, once. None: nobody has it, or it was claimed.
  UniqueFd claim(std::uint64_t id);
  // A socket that the caller has, for those that the vault lacks.
  // `kept`: the vault that goes on has it.
  void offer(std::uint64_t id, UniqueFd fd, bool kept) {
    sockets_.insert_or_assign(id, Found{.fd = std::move(fd), .kept = kept});
  }
  // The vault that goes on has the session's socket. Ask before claim().
  bool is_kept(std::uint64_t id) const;
  std::vector<std::uint64_t> unclaimed() const;
  // What was read of that session is wiped: it has another slot by now, or is over.
  void forget(session::HotSlot& slot);
  void forget_damaged();  // the sessions of such records are lost
  // Ends the connections that nobody claimed. Not at an upgrade: some may live on in the process
  // that is still there. Without this they are closed here and stay in the vault.
  void end_unclaimed();
  // Every number of a session that is anywhere in the stash is smaller.
  std::uint64_t first_free_id() const { return first_free_id_; }

 private:
  struct Found {
    UniqueFd fd;
    bool kept = false;
  };
  Stash& stash_;
  const ItsVault then_;
  std::vector<std::size_t> damaged_;  // their slots
  std::uint64_t first_free_id_ = 1;
  std::vector<Kept> kept_;
  std::unordered_map<std::uint64_t, Found> sockets_;
};

// Ends a connection of which a copy may be in flight: a close alone would end nothing.
void end_connection(int fd);

}  // namespace doorman::handoff
