// Listening sockets: opening them, and taking connections from them.
//
// Knows no event loop: all descriptors are non-blocking and close-on-exec, and who owns them waits
// for readiness. Opening blocks (names are looked up), so it belongs to start and reload, not to a
// worker. Does not remove the file of a unix socket at the end: only the daemon knows whether
// systemd or a successor still listens there.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "net/address.h"

namespace doorman::net {

enum class ReusePort { No, Yes };  // Yes: several processes may listen on the same port

struct ListenAddress {
  Address address;
  bool may_be_missing = false;  // nobody asked for IPv6 by number, so a machine without it will do
};

Result<UniqueFd> listen_tcp(const Address& address, int backlog,
                            ReusePort reuse_port = ReusePort::No);

// All addresses of `names`, a comma-separated list of numbers, host names and "*", which is
// 0.0.0.0 and ::. Each once. Looks names up.
Result<std::vector<ListenAddress>> listen_addresses(const std::string& names, std::uint16_t port);

// nullopt: it may be missing, and this machine has no such address.
Result<std::optional<UniqueFd>> listen_tcp(const ListenAddress& where, int backlog);

struct UnixListen {
  std::string path;  // "@name": an abstract socket, which has neither mode nor group
  mode_t mode = 0777;
  std::string group;  // a name or a number; empty: left as it is
  int backlog = 128;
};

// A file that a dead process left at the path is replaced; one where somebody answers, or that is
// no socket, is an Error and stays.
Result<UniqueFd> listen_unix(const UnixListen& what);

// nullopt: no one is waiting any more, or those who were waiting have gone. `peer` is set if there
// is a connection. ErrorCode::Limit: out of descriptors or memory; the connection stays in the
// queue and the socket stays readable, so stop watching it for a while.
Result<std::optional<UniqueFd>> accept_one(int listen_fd, Address* peer);

}  // namespace doorman::net
