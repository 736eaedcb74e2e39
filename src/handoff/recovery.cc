#include "handoff/recovery.h"

#include <sys/socket.h>

#include <unordered_map>

#include "base/log.h"
#include "session/client.h"
#include "session/record_fields.h"
#include "session/records.h"
#include "session/server_state.h"
#include "wire/error_response.h"

namespace doorman::handoff {

using session::ClientState;
using session::HotSlot;
using session::ServerState;
using session::SessionRecords;
namespace pending = session::pending;

namespace {

class Recovery {
 public:
  Recovery(StashReader& reader, const std::vector<session::Host*>& hosts, ThisStash then)
      : reader_(reader), hosts_(hosts), then_(then) {}

  void add_server(Kept& kept) { servers_.emplace(kept.record.id, kept.slot); }
  void client(Kept& kept);
  void server(Kept& kept);
  const Recovered& outcome() const { return outcome_; }

 private:
  session::Host& next_host() { return *hosts_[next_++ % hosts_.size()]; }
  Result<> build(Kept& kept, UniqueFd fd, bool in_vault);
  void done_with(HotSlot& slot) {
    if (then_ == ThisStash::GoesOn) reader_.forget(slot);
  }
  void end(UniqueFd fd, Fate fate);

  StashReader& reader_;
  const std::vector<session::Host*>& hosts_;
  const ThisStash then_;
  std::size_t next_ = 0;
  std::unordered_map<std::uint64_t, const HotSlot*> servers_;
  Recovered outcome_;
};

std::optional<session::ClientChange::What> change_of(Kind kind) {
  switch (kind) {
    case Kind::StatementAdded: return session::ClientChange::What::StatementAdded;
    case Kind::StatementRemoved: return session::ClientChange::What::StatementRemoved;
    case Kind::StatementsCleared: return session::ClientChange::What::StatementsCleared;
    case Kind::ParametersChanged: return session::ClientChange::What::ParametersChanged;
    case Kind::ChannelsAdded: return session::ClientChange::What::ChannelsAdded;
    case Kind::ChannelsRemoved: return session::ClientChange::What::ChannelsRemoved;
    case Kind::Client:
    case Kind::Server:
    case Kind::Statement:
    case Kind::Process: break;
  }
  return std::nullopt;
}

Result<> Recovery::build(Kept& kept, UniqueFd fd, bool in_vault) {
  std::vector<session::ClientChange> changes;
  for (JournalRecord& each : kept.changes) {
    const auto what = change_of(each.kind);
    if (!what) return Error{ErrorCode::Protocol, "a change of a kind that is not known"};
    changes.push_back({.what = *what, .record = std::move(each.body)});
  }
  session::Image image;
  image.client = TRY(SessionRecords::idle(kept.record.body, changes));
  const bool listens =
      (kept.slot->pending.load(std::memory_order_relaxed) & pending::kListens) != 0;
  if (listens && !SessionRecords::listens(image.client)) {
    return Error{ErrorCode::Protocol, "what it listens to was not written down"};
  }
  image.client_fd = std::move(fd);
  image.client_kept = in_vault;
  return SessionRecords::put_in(next_host(), std::move(image));
}

void Recovery::client(Kept& kept) {
  const bool in_vault = reader_.is_kept(kept.record.id);
  UniqueFd fd = reader_.claim(kept.record.id);
  HotSlot& slot = *kept.slot;
  const auto server = servers_.find(slot.peer_id.load(std::memory_order_relaxed));
  Fate fate = fate_of(slot, server == servers_.end() ? nullptr : server->second);
  if (fd && fate == Fate::GoesOn) {
    UniqueFd copy(::dup(fd.get()));
    const auto built = build(kept, std::move(fd), in_vault);
    if (built) {
      ++outcome_.clients;
      fd = UniqueFd();
    } else {
      log(LogLevel::Warning, "C-{}: cannot go on: {}", kept.record.id, built.error().message);
      fate = Fate::ToldLost;
      fd = std::move(copy);
    }
  }
  if (fd) end(std::move(fd), fate);
  done_with(slot);
}

void Recovery::end(UniqueFd fd, Fate fate) {
  if (fate == Fate::Closed) {
    ++outcome_.closed;
  } else {
    const std::string error =
        fate == Fate::ToldUnknown
            ? wire::error_response(
                  wire::Severity::Fatal, "08007",
                  "the connection pooler has died while a query was running: it is not known "
                  "whether the query was committed")
            : wire::error_response(wire::Severity::Fatal, wire::sqlstate::kAdminShutdown,
                                   "the connection pooler has died: the transaction, if one was "
                                   "open, is rolled back");
    ::send(fd.get(), error.data(), error.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ++outcome_.told;
  }
  if (session::Live* live = hosts_.front()->live) {
    live->ended(std::move(fd));
  } else {
    ::shutdown(fd.get(), SHUT_RDWR);
  }
}

void Recovery::server(Kept& kept) {
  HotSlot& slot = *kept.slot;
  const auto state = static_cast<ServerState>(slot.state.load(std::memory_order_relaxed));
  const bool runs = state == ServerState::Active || state == ServerState::Cleaning ||
                    state == ServerState::Cancelling;
  if (runs && slot.is_server != 0) {
    auto request = SessionRecords::load_for_cancel(kept.record.body);
    if (request) {
      next_host().send_cancel(request->address, std::move(request->key), /*server=*/0);
      ++outcome_.cancelled;
    }
  }
  done_with(slot);
}

}  // namespace

Fate fate_of(const HotSlot& client, const HotSlot* server) {
  const auto state = static_cast<ClientState>(client.state.load(std::memory_order_relaxed));
  const std::uint8_t left = client.pending.load(std::memory_order_relaxed);
  const bool doubt = client.in_doubt.load(std::memory_order_relaxed) != 0 ||
                     (server != nullptr && server->in_doubt.load(std::memory_order_relaxed) != 0);
  if (doubt || (left & pending::kOutput) != 0) return Fate::Closed;
  switch (state) {
    case ClientState::Idle: return (left & pending::kInput) != 0 ? Fate::ToldLost : Fate::GoesOn;
    case ClientState::Preparing:
      if ((left & pending::kCommitted) != 0) return Fate::ToldUnknown;
      [[fallthrough]];
    case ClientState::Waiting: return Fate::ToldLost;  // nothing of it has been sent
    case ClientState::Active:
      return (left & pending::kQuery) != 0 ? Fate::ToldUnknown : Fate::ToldLost;
    case ClientState::Startup:
    case ClientState::Authenticating:
    case ClientState::Console:
    case ClientState::Closing: break;
  }
  return Fate::Closed;
}

Recovered recover(StashReader& reader, KeptStatements& statements,
                  const std::vector<session::Host*>& hosts, ThisStash then) {
  Recovery recovery(reader, hosts, then);
  std::vector<session::StatementRef> alive;  // until clients have them
  reader.each(Kind::Statement, [&](Kept& kept) {
    auto statement = session::load_statement(hosts.front()->shared.statements, kept.record.body);
    if (statement) {
      statements.known(*statement, *kept.slot);
      alive.push_back(statement.take());
    } else if (then == ThisStash::GoesOn) {
      reader.forget(*kept.slot);
    }
  });
  reader.each(Kind::Server, [&](Kept& kept) { recovery.add_server(kept); });
  reader.each(Kind::Client, [&](Kept& kept) { recovery.client(kept); });
  reader.each(Kind::Server, [&](Kept& kept) { recovery.server(kept); });
  reader.end_unclaimed();
  if (then == ThisStash::GoesOn) reader.forget_damaged();
  return recovery.outcome();
}

}  // namespace doorman::handoff
