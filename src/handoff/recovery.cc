#include "handoff/recovery.h"

#include <sys/socket.h>

#include <thread>
#include <unordered_map>

#include "base/helper_threads.h"
#include "base/log.h"
#include "base/secret.h"
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
      : reader_(reader), hosts_(hosts), then_(then), going_(hosts.size()) {}

  void add_server(Kept& kept) { servers_.emplace(kept.record.id, kept.slot); }
  void client(Kept& kept);
  void build_those_that_go_on();
  void server(Kept& kept);
  const Recovered& outcome() const { return outcome_; }

 private:
  // A client that goes on, if it can be built.
  struct Going {
    Kept kept;
    session::Image image;  // with the socket
    bool built = false;
  };
  std::size_t next_host() { return next_++ % hosts_.size(); }
  static Result<> build(Going& going, session::Host& host);
  void done_with(HotSlot& slot) {
    if (then_ == ThisStash::GoesOn) reader_.forget(slot);
  }
  void end(UniqueFd fd, Fate fate);

  StashReader& reader_;
  const std::vector<session::Host*>& hosts_;
  const ThisStash then_;
  std::size_t next_ = 0;
  std::unordered_map<std::uint64_t, const HotSlot*> servers_;
  std::vector<std::vector<Going>> going_;  // by host
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

// Where it fails, going.image.client_fd is left.
Result<> Recovery::build(Going& going, session::Host& host) {
  std::vector<session::ClientChange> changes;
  for (JournalRecord& each : going.kept.changes) {
    const auto what = change_of(each.kind);
    if (!what) return Error{ErrorCode::Protocol, "a change of a kind that is not known"};
    changes.push_back({.what = *what, .record = std::move(each.body)});
  }
  session::Image& image = going.image;
  image.client = TRY(SessionRecords::idle(going.kept.record.body, changes));
  const bool listens =
      (going.kept.slot->pending.load(std::memory_order_relaxed) & pending::kListens) != 0;
  if (listens && !SessionRecords::listens(image.client)) {
    return Error{ErrorCode::Protocol, "what it listens to was not written down"};
  }
  return SessionRecords::put_in(host, std::move(image));
}

void Recovery::client(Kept& kept) {
  const bool in_vault = reader_.is_kept(kept.record.id);
  UniqueFd fd = reader_.claim(kept.record.id);
  HotSlot& slot = *kept.slot;
  const auto server = servers_.find(slot.peer_id.load(std::memory_order_relaxed));
  const Fate fate = fate_of(slot, server == servers_.end() ? nullptr : server->second);
  if (fd && fate == Fate::GoesOn) {
    Going& going = going_[next_host()].emplace_back();
    going.kept = std::move(kept);
    going.image.client_fd = std::move(fd);
    going.image.client_kept = in_vault;
    return;
  }
  if (fd) end(std::move(fd), fate);
  done_with(slot);
}

// Each host's on a thread, since thousands of clients wait.
void Recovery::build_those_that_go_on() {
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    threads.push_back(start_thread("recovery", [this, i] {
      for (Going& each : going_[i]) {
        const auto built = build(each, *hosts_[i]);
        each.built = static_cast<bool>(built);
        if (each.built) {
          done_with(*each.kept.slot);
        } else {
          log(LogLevel::Warning, "C-{}: cannot go on: {}", each.kept.record.id,
              built.error().message);
        }
      }
      wipe_traces();  // of keys: the stack is kept for other threads
    }));
  }
  for (std::thread& each : threads) each.join();
  for (auto& of_host : going_) {
    for (Going& each : of_host) {
      if (each.built) {
        ++outcome_.clients;
        continue;
      }
      if (each.image.client_fd) end(std::move(each.image.client_fd), Fate::ToldLost);
      done_with(*each.kept.slot);
    }
  }
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
      hosts_[next_host()]->send_cancel(request->address, std::move(request->key), /*server=*/0);
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
  recovery.build_those_that_go_on();
  reader.each(Kind::Server, [&](Kept& kept) { recovery.server(kept); });
  reader.end_unclaimed();
  if (then == ThisStash::GoesOn) reader.forget_damaged();
  wipe_traces();  // of records, which have been read on this thread
  return recovery.outcome();
}

}  // namespace doorman::handoff
