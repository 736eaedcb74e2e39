// SHOW CLIENTS and SERVERS.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <chrono>
#include <ctime>

#include "control/commands.h"
#include "control/show.h"

namespace doorman::control {
namespace {

using session::ClientSession;
using session::ClientState;
using session::ServerSession;
using session::ServerState;

// A moment of the steady clock as the time of day that it was.
Cell time_of(Instant at) {
  if (at == Instant()) return std::nullopt;
  const auto ago =
      std::chrono::duration_cast<std::chrono::system_clock::duration>(clock_now() - at);
  const std::time_t then =
      std::chrono::system_clock::to_time_t(std::chrono::system_clock::now() - ago);
  std::tm parts{};
  ::localtime_r(&then, &parts);
  return fmt::format("{:%Y-%m-%d %H:%M:%S %Z}", parts);
}

// Sessions are told apart by their number. Where PgBouncer shows an address in memory, it is shown
// in hex.
Cell pointer(std::uint64_t id) { return fmt::format("0x{:x}", id); }

// The process at the other end of a unix socket; 0: not known.
int peer_process(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return 0;
  return credentials.pid;
}

struct Ends {
  Cell host, port, local_host, local_port;
};

// A unix socket has no ports: `unix_port` is that of its name.
Ends ends_of(const net::Address& peer, int fd, std::uint16_t unix_port) {
  if (peer.is_unix()) return {cell("unix"), cell(unix_port), cell("unix"), cell(unix_port)};
  Ends ends = {cell(peer.host()), cell(peer.port()), std::nullopt, std::nullopt};
  if (fd < 0) return ends;
  if (auto local = net::Address::local_of(fd)) {
    ends.local_host = local->host();
    ends.local_port = cell(local->port());
  }
  return ends;
}

Cell application_name(const session::Parameters& parameters) {
  const std::string* name = parameters ? parameters->find("application_name") : nullptr;
  return name != nullptr ? *name : std::string();
}

Table session_table() {
  return {.columns = columns({{Type::Text, "type user database replication state addr"},
                              {Type::Int4, "port"},
                              {Type::Text, "local_addr"},
                              {Type::Int4, "local_port"},
                              {Type::Text, "connect_time request_time"},
                              {Type::Int4, "wait wait_us close_needed"},
                              {Type::Text, "ptr link"},
                              {Type::Int4, "remote_pid"},
                              {Type::Text, "tls application_name"},
                              {Type::Int4, "prepared_statements"},
                              {Type::Int8, "id"}})};
}

Row client_row(ClientSession& client) {
  const bool on_console = client.state() == ClientState::Console;
  const Ends ends = ends_of(client.peer(), client.fd(), client.host().settings().listen_port);
  const Duration waited = client.state() == ClientState::Waiting
                              ? client.host().now() - client.request_at()
                              : Duration::zero();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(waited);
  const Instant asked =
      client.request_at() == Instant() ? client.connected_at() : client.request_at();
  const ServerSession* server = client.server();
  return row("C", client.user(),
             on_console ? std::string(kConsoleDatabase) : client.part()->database(), "none",
             on_console ? "active" : session::name_of(client.state()), ends.host, ends.port,
             ends.local_host, ends.local_port, time_of(client.connected_at()), time_of(asked),
             seconds.count(), (waited - seconds).count(), /*close_needed*/ false,
             pointer(client.id()), server != nullptr ? pointer(server->id()) : cell(""),
             client.peer().is_unix() ? peer_process(client.fd()) : 0, "",
             application_name(client.parameters()), client.prepared_statements(), client.id());
}

Row server_row(ServerSession& server) {
  session::PoolPart& part = server.part();
  const Ends ends = ends_of(server.address(), server.stream().fd(), part.settings.database.port);
  const Instant asked = server.linked_at() == Instant() ? server.created_at : server.linked_at();
  const ClientSession* client = server.client();
  return row("S", part.user(), part.database(), "none", session::name_of(server.state()), ends.host,
             ends.port, ends.local_host, ends.local_port, time_of(server.created_at),
             time_of(asked), 0, 0, server.close_needed(), pointer(server.id()),
             client != nullptr ? pointer(client->id()) : cell(""), server.backend_pid(), "",
             application_name(server.parameters()), server.statements().size(), server.id());
}

}  // namespace

Outcome show_clients(Commands& commands, const Arguments& /*arguments*/) {
  Table table = session_table();
  commands.daemon().visit_workers([&table](daemon::Worker& worker) {
    worker.each_client([&table](ClientSession& client) {
      const bool known = client.part() != nullptr || client.state() == ClientState::Console;
      if (known && client.state() != ClientState::Closing) table.rows.push_back(client_row(client));
    });
  });
  return shown(std::move(table));
}

Outcome show_servers(Commands& commands, const Arguments& /*arguments*/) {
  Table table = session_table();
  commands.daemon().visit_workers([&table](daemon::Worker& worker) {
    worker.each_server([&table](ServerSession& server) {
      if (server.state() != ServerState::Closing) table.rows.push_back(server_row(server));
    });
  });
  return shown(std::move(table));
}

}  // namespace doorman::control
