// LiveStash: one worker's sessions, written to the stash as they run (crash_safe).
//
// A socket that was kept is ended here, when its peer has had time to read.
// KeptStatements: the statements that clients' records name, one record each, over all workers.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "handoff/stash.h"
#include "session/host.h"
#include "session/live.h"

namespace doorman::handoff {

class KeptStatements {
 public:
  explicit KeptStatements(Journal& journal) : journal_(journal) {}
  void keep(const session::StatementRef& statement);
  // One that the process before had written.
  void known(const session::StatementRef& statement, session::HotSlot& slot);
  void forget_unused();  // now and then, on the main thread

 private:
  struct Entry {
    session::HotSlot* slot;
    std::weak_ptr<const session::Statement> statement;
  };
  Journal& journal_;
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Entry> entries_;
};

class LiveStash final : public session::Live {
 public:
  LiveStash(Stash& stash, KeptStatements& statements, session::Host& host);

  void logged_in(const session::ClientSession& client) override;
  void logged_in(const session::ServerSession& server) override;
  void parameters_changed(const session::ClientSession& client) override;
  void statement_added(session::HotSlot& slot, const session::ClientStatement& added) override;
  void statement_removed(session::HotSlot& slot, const session::ClientStatement& gone) override;
  void statements_cleared(session::HotSlot& slot) override;
  void channels_added(const session::ClientSession& client,
                      const session::Channels& added) override;
  void channels_removed(const session::ClientSession& client,
                        const session::Channels& gone) override;
  void changed(const session::ClientSession& client) override;
  void ended(UniqueFd fd) override;
  void tick(Instant now) override;

  // Sockets are kept, or not: another process has the vault. On the host's thread, or at rest.
  void keep_sockets(bool keep) { keeps_sockets_ = keep; }

  // Clients that were there before this was, as by logged_in() for each, at a fraction of its cost.
  void adopt(std::span<const session::ClientSession* const> clients);

  // Any thread. How many clients end with the process, since the kernel has taken no copy of their
  // socket. They are tried again now and then: others may have left.
  std::uint64_t not_kept() const { return not_kept_.load(std::memory_order_relaxed); }

 private:
  struct Ending {
    UniqueFd fd;
    Instant since;
  };
  static constexpr std::size_t kMostEndings = 1000;
  static constexpr Duration kBetweenTries = std::chrono::seconds(1);

  void add(session::HotSlot& slot, Kind kind, std::string_view body);
  void write(const session::ClientSession& client);
  void vault(std::span<const session::ClientSession* const> clients);
  void try_again(Instant now);

  Stash& stash_;
  KeptStatements& statements_;
  session::Host& host_;
  std::vector<Ending> endings_;
  std::vector<std::uint64_t> waiting_;  // clients that the kernel had no room for
  std::atomic<std::uint64_t> not_kept_ = 0;
  Instant try_next_{};
  Instant warn_next_{};
  bool keeps_sockets_ = true;
};

}  // namespace doorman::handoff
