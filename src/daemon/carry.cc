#include "daemon/carry.h"

#include <algorithm>
#include <mutex>

#include "base/bytes.h"
#include "base/record.h"
#include "base/secret.h"

namespace doorman::daemon {

using session::ClientSession;
using session::ClientState;
using session::ServerSession;
using session::SessionRecords;

namespace {

// Never use a number again for something else.
enum Tag : std::uint16_t {
  TagClientId = 1,
  TagServerId = 2,
  TagClient = 3,
  TagServer = 4,
  TagCancel = 5,  // one descriptor each, behind those of the two
  TagKept = 6,
};

void append(Lane& lane, const std::string& record) {
  append_u32(lane.records, static_cast<std::uint32_t>(record.size()));
  lane.records.append(record);
}

enum class Sockets { With, Without };

void save_pair(Worker& worker, const ClientSession* client, const ServerSession* server, Lane& lane,
               Sockets sockets) {
  RecordWriter out;
  Lane::Entry entry;
  if (client != nullptr) {
    entry.client = client->id();
    out.number(TagClientId, entry.client);
    out.text(TagClient, SessionRecords::save(*client));
    lane.fds.push_back(client->fd());
    const bool kept = client->slot().vaulted.load(std::memory_order_relaxed) != 0;
    if (kept) {
      out.number(TagKept, 1);
      lane.kept.insert(client->fd());
    }
  }
  if (server != nullptr) {
    entry.server = server->id();
    out.number(TagServerId, entry.server);
    out.text(TagServer, SessionRecords::save(*server));
    lane.fds.push_back(server->stream().fd());
  }
  if (sockets == Sockets::With && server != nullptr && worker.cancel_requests() > 0) {
    worker.each_cancel([&](session::CancelRequest& request) {
      if (request.over() || request.server() != server->id()) return;
      out.text(TagCancel, request.save());
      lane.fds.push_back(request.fd());
    });
  }
  append(lane, out.record());
  lane.entries.push_back(entry);
}

bool is_gone(const ClientSession& client) { return client.state() == ClientState::Closing; }

}  // namespace

Lane save_sessions(Worker& worker) {
  Lane lane;
  worker.each_client([&](ClientSession& client) {
    if (is_gone(client)) return;
    const ServerSession* server = client.server();
    if (!SessionRecords::carriable(client) ||
        (server != nullptr && !SessionRecords::carriable(*server))) {
      ++lane.left_behind;
      return;
    }
    save_pair(worker, &client, server, lane, Sockets::With);
  });
  std::vector<ServerSession*> alone;
  worker.each_server([&](ServerSession& server) {
    if (server.client() == nullptr && SessionRecords::carriable(server)) alone.push_back(&server);
  });
  // Each is put on top of its pool when it is built: the one used last comes last.
  std::sort(alone.begin(), alone.end(), [](const ServerSession* a, const ServerSession* b) {
    return a->idle_since < b->idle_since;
  });
  for (const ServerSession* server : alone) {
    save_pair(worker, nullptr, server, lane, Sockets::With);
  }
  return lane;
}

std::vector<Lane> save_late(Worker& worker) {
  std::vector<Lane> lanes;
  worker.each_client([&](ClientSession& client) {
    const bool late = client.part() == nullptr || client.logging_in();
    if (is_gone(client) || !late || !SessionRecords::carriable(client)) return;
    save_pair(worker, &client, nullptr, lanes.emplace_back(), Sockets::With);
  });
  return lanes;
}

void save_for_rehearsal(Worker& worker, const std::vector<std::uint64_t>& clients, Lane& lane) {
  for (const std::uint64_t id : clients) {
    const ClientSession* client = worker.find_client(id);
    if (client == nullptr || !SessionRecords::carriable(*client)) continue;
    const ServerSession* server = client->server();
    if (server != nullptr && !SessionRecords::carriable(*server)) continue;
    save_pair(worker, client, server, lane, Sockets::Without);
  }
}

std::vector<session::Image> let_go(Worker& worker, const Lane& lane,
                                   const std::set<std::uint64_t>& refused) {
  std::vector<session::Image> images(lane.entries.size());
  std::set<std::uint64_t> with_cancels;
  if (worker.cancel_requests() > 0) {
    worker.each_cancel([&](session::CancelRequest& request) {
      if (!request.over()) with_cancels.insert(request.server());
    });
  }
  for (std::size_t i = 0; i < lane.entries.size(); ++i) {
    const Lane::Entry& entry = lane.entries[i];
    if (refused.contains(entry.client != 0 ? entry.client : entry.server)) continue;
    if (with_cancels.contains(entry.server)) {
      worker.each_cancel([&](session::CancelRequest& request) {
        if (!request.over() && request.server() == entry.server) request.let_go();
      });
    }
    if (entry.client != 0) {
      ClientSession* client = worker.find_client(entry.client);
      if (client != nullptr) images[i] = SessionRecords::let_go(*client);
    } else if (ServerSession* server = worker.find_server(entry.server)) {
      images[i] = SessionRecords::let_go(*server);
    }
    // The limits are the successor's to keep now.
    images[i].client_charge.reset();
    images[i].database_charge.reset();
    images[i].user_charge.reset();
    images[i].server_charge = {};
  }
  return images;
}

session::Image Piece::take_image() {
  image.client = client;
  image.server = server;
  return std::move(image);
}

namespace {

std::size_t count_records(std::string_view records) {
  std::size_t count = 0;
  while (records.size() >= 4) {
    const std::size_t length = read_u32(bytes_of(records).data());
    records.remove_prefix(std::min(records.size(), 4 + length));
    ++count;
  }
  return count;
}

}  // namespace

Result<std::vector<Piece>> read_lane(std::string_view records, std::vector<UniqueFd>* fds,
                                     std::size_t& next_fd) {
  const auto take_fd = [&]() -> Result<UniqueFd> {
    if (fds == nullptr) return UniqueFd();
    if (next_fd >= fds->size()) return Error{ErrorCode::Protocol, "sockets are missing"};
    return std::move((*fds)[next_fd++]);
  };
  std::vector<Piece> pieces;
  pieces.reserve(count_records(records));
  while (!records.empty()) {
    if (records.size() < 4) return Error{ErrorCode::Protocol, "a record has no length"};
    const std::size_t length = read_u32(bytes_of(records).data());
    records.remove_prefix(4);
    if (length > records.size()) return Error{ErrorCode::Protocol, "a record is cut off"};
    Piece piece;
    std::vector<std::string_view> cancels;
    RecordReader reader(records.substr(0, length));
    while (auto field = TRY(reader.next())) {
      switch (field->tag) {
        case TagClientId: piece.entry.client = field->number(); break;
        case TagServerId: piece.entry.server = field->number(); break;
        case TagClient: piece.client = field->value; break;
        case TagServer: piece.server = field->value; break;
        case TagKept: piece.image.client_kept = field->number() != 0; break;
        case TagCancel: cancels.push_back(field->value); break;
        default: break;  // a later release knows it
      }
    }
    if (piece.entry.client != 0) piece.image.client_fd = TRY(take_fd());
    if (piece.entry.server != 0) piece.image.server_fd = TRY(take_fd());
    for (const std::string_view each : cancels) {
      piece.cancels.emplace_back(std::string(each), TRY(take_fd()));
    }
    pieces.push_back(std::move(piece));
    records.remove_prefix(length);
  }
  return pieces;
}

namespace {

template <class Try>
Built visit_pieces(std::vector<Piece>& pieces, Try attempt) {
  Built built;
  for (Piece& piece : pieces) {
    const Lane::Entry entry = piece.entry;
    if (auto done = attempt(piece); !done) {
      if (built.refused.empty()) built.reason = done.error().message;
      built.refused.insert(entry.client != 0 ? entry.client : entry.server);
      continue;
    }
    if (entry.client != 0) ++built.clients;
    if (entry.server != 0) ++built.servers;
  }
  return built;
}

}  // namespace

Built build_sessions(Worker& worker, std::vector<Piece> pieces) {
  Built built = visit_pieces(pieces, [&](Piece& piece) -> Result<> {
    TRY(SessionRecords::put_in(worker, piece.take_image()));
    for (auto& [record, fd] : piece.cancels) {
      auto request = session::CancelRequest::restored(worker, record, std::move(fd));
      if (request) worker.adopt(request.take());
    }
    return {};
  });
  wipe_traces();  // of keys in the records
  return built;
}

Built build_sessions(Halt& halt, std::size_t workers, std::vector<Piece> pieces) {
  std::vector<std::vector<Piece>> of_worker(workers);
  for (auto& each : of_worker) each.reserve(pieces.size() / workers + workers);
  std::size_t next[2] = {};  // worker for a server alone, and for a client
  for (Piece& piece : pieces) {
    of_worker[next[piece.entry.client != 0 ? 1 : 0]++ % workers].push_back(std::move(piece));
  }
  Built all;
  std::mutex mutex;  // of `all`
  halt.each([&](Worker& worker) {
    Built built =
        build_sessions(worker, std::move(of_worker[static_cast<std::size_t>(worker.worker)]));
    const std::lock_guard lock(mutex);
    all.clients += built.clients;
    all.servers += built.servers;
    if (all.reason.empty()) all.reason = built.reason;
    all.refused.merge(built.refused);
  });
  return all;
}

Built check_sessions(Worker& worker, std::vector<Piece> pieces) {
  Built built = visit_pieces(
      pieces, [&](Piece& piece) { return SessionRecords::check(worker, piece.take_image()); });
  wipe_traces();
  return built;
}

}  // namespace doorman::daemon
