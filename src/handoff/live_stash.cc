#include "handoff/live_stash.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/log.h"
#include "session/client.h"
#include "session/client_listening.h"
#include "session/record_fields.h"
#include "session/records.h"
#include "session/server.h"

namespace doorman::handoff {

using session::ClientSession;
using session::HotSlot;
using session::SessionRecords;

namespace {

constexpr Duration kTimeToRead = std::chrono::seconds(5);
constexpr Duration kBetweenWarnings = std::chrono::minutes(1);

// Of a connection that we have shut down: the peer has closed it, too, or it is none of TCP.
bool is_over(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return true;
  return info.tcpi_state == TCP_CLOSE || info.tcpi_state == TCP_LAST_ACK ||
         info.tcpi_state == TCP_CLOSING || info.tcpi_state == TCP_TIME_WAIT;
}

}  // namespace

// ---- Statements -------------------------------------------------------------------------------

void KeptStatements::keep(const session::StatementRef& statement) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[statement->id];
  if (entry.slot != nullptr && entry.statement.lock() == statement) return;
  if (entry.slot != nullptr) journal_.forget(*entry.slot);
  entry.slot =
      journal_.write_new(Kind::Statement, statement->id, session::save_statement(*statement));
  entry.statement = statement;
}

void KeptStatements::known(const session::StatementRef& statement, HotSlot& slot) {
  const std::lock_guard lock(mutex_);
  entries_[statement->id] = {.slot = &slot, .statement = statement};
}

void KeptStatements::forget_unused() {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [this](auto& each) {
    if (!each.second.statement.expired()) return false;
    if (each.second.slot != nullptr) journal_.forget(*each.second.slot);
    return true;
  });
}

// ---- Records ----------------------------------------------------------------------------------

LiveStash::LiveStash(Stash& stash, KeptStatements& statements, session::Host& host)
    : stash_(stash), statements_(statements), host_(host) {}

void LiveStash::write(const ClientSession& client) {
  client.each_statement(
      [this](const session::ClientStatement& each) { statements_.keep(each.statement); });
  auto record = SessionRecords::idle(SessionRecords::save(client), {});
  if (record) stash_.journal().write(client.slot(), Kind::Client, client.id(), *record);
}

void LiveStash::logged_in(const ClientSession& client) {
  stash_.journal().use_ids_from(client.id() + 1);
  write(client);
  const ClientSession* one = &client;
  vault({&one, 1});
}

void LiveStash::adopt(std::span<const ClientSession* const> clients) {
  for (const ClientSession* each : clients) {
    stash_.journal().use_ids_from(each->id() + 1);
    write(*each);
  }
  vault(clients);
}

void LiveStash::changed(const ClientSession& client) {
  stash_.journal().use_ids_from(client.id() + 1);
  write(client);
}

void LiveStash::logged_in(const session::ServerSession& server) {
  stash_.journal().write(server.slot(), Kind::Server, server.id(),
                         SessionRecords::save_for_cancel(server));
}

void LiveStash::add(HotSlot& slot, Kind kind, std::string_view body) {
  Journal& journal = stash_.journal();
  const std::uint64_t id = slot.session_id.load(std::memory_order_relaxed);
  if (!journal.add(slot, kind, id, body) || !journal.should_rewrite(slot)) return;
  if (const ClientSession* client = host_.find_client(id)) write(*client);
}

void LiveStash::parameters_changed(const ClientSession& client) {
  add(client.slot(), Kind::ParametersChanged, client.parameters()->record());
}

void LiveStash::statement_added(HotSlot& slot, const session::ClientStatement& added) {
  stash_.journal().use_ids_from(added.serial + 1);  // it is of the sessions' numbers
  statements_.keep(added.statement);
  add(slot, Kind::StatementAdded, session::save_name(added));
}

void LiveStash::statement_removed(HotSlot& slot, const session::ClientStatement& gone) {
  add(slot, Kind::StatementRemoved, session::save_name(gone));
}

void LiveStash::statements_cleared(HotSlot& slot) { add(slot, Kind::StatementsCleared, {}); }

// Who reads version 1 knows from the slot that there is something that it cannot know.
void LiveStash::channels_added(const ClientSession& client, const session::Channels& added) {
  if (record_format.version < 2) return;
  const std::string& encoding = client.listening()->hub().encoding;
  add(client.slot(), Kind::ChannelsAdded, SessionRecords::save_channels(encoding, added));
}

void LiveStash::channels_removed(const ClientSession& client, const session::Channels& gone) {
  if (record_format.version < 2) return;
  const std::string& encoding = client.listening()->hub().encoding;
  add(client.slot(), Kind::ChannelsRemoved, SessionRecords::save_channels(encoding, gone));
}

// ---- Sockets ----------------------------------------------------------------------------------

// At once, not with others at the end of the turn: what a client has been told of its login it may
// rely on.
void LiveStash::vault(std::span<const ClientSession* const> clients) {
  if (!keeps_sockets_) return;
  std::vector<Socket> sockets;
  sockets.reserve(clients.size());
  for (const ClientSession* each : clients) sockets.push_back({.id = each->id(), .fd = each->fd()});
  const std::size_t kept = stash_.vault().put(sockets);
  for (const ClientSession* each : clients.first(kept)) {
    each->slot().vaulted.store(1, std::memory_order_release);
  }
  if (kept == clients.size()) return;
  for (const ClientSession* each : clients.subspan(kept)) waiting_.push_back(each->id());
  not_kept_.store(waiting_.size(), std::memory_order_relaxed);
  if (host_.now() < warn_next_) return;
  warn_next_ = host_.now() + kBetweenWarnings;
  log(LogLevel::Warning,
      "{} clients are not crash-safe, since the kernel keeps no more sockets in flight for this "
      "user: raise LimitNOFILE",
      waiting_.size());
}

void LiveStash::try_again(Instant now) {
  if (waiting_.empty() || !keeps_sockets_ || now < try_next_) return;
  try_next_ = now + kBetweenTries;
  bool room = true;
  std::erase_if(waiting_, [&](std::uint64_t id) {
    const ClientSession* client = host_.find_client(id);
    if (client == nullptr || client->state() == session::ClientState::Closing) return true;
    if (!room) return false;
    const Socket socket{.id = id, .fd = client->fd()};
    room = stash_.vault().put({&socket, 1}) == 1;
    if (room) client->slot().vaulted.store(1, std::memory_order_release);
    return room;
  });
  not_kept_.store(waiting_.size(), std::memory_order_relaxed);
}

// A client that has closed its side reads no more. Others get some time to read what was said last.
void LiveStash::ended(UniqueFd fd) {
  ::shutdown(fd.get(), SHUT_RDWR);
  if (is_over(fd.get())) {
    end_connection(fd.get());
    return;
  }
  if (endings_.size() >= kMostEndings) {
    end_connection(endings_.front().fd.get());
    endings_.erase(endings_.begin());
  }
  endings_.push_back({.fd = std::move(fd), .since = host_.now()});
}

void LiveStash::tick(Instant now) {
  try_again(now);
  std::erase_if(endings_, [now](const Ending& each) {
    if (now - each.since < kTimeToRead && !is_over(each.fd.get())) return false;
    end_connection(each.fd.get());
    return true;
  });
}

}  // namespace doorman::handoff
