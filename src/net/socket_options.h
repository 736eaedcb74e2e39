// What the kernel shall do with a TCP connection: keepalive, buffers, how long to wait for a peer.
//
// Used for connections and for listening sockets, whose options new connections inherit on Linux.
#pragma once

#include <chrono>

#include "base/result.h"

namespace doorman::net {

// 0 leaves the kernel's own value as it is.
struct SocketOptions {
  bool keepalive = true;
  int keepcnt = 0;
  std::chrono::seconds keepidle{0};
  std::chrono::seconds keepintvl{0};
  int buffer_bytes = 0;
  std::chrono::milliseconds user_timeout{0};
  bool defer_accept =
      false;  // of a listener only: wake up for connections that have sent something

  bool operator==(const SocketOptions&) const = default;
};

// Also switches TCP_NODELAY on. All options are tried; the Error names the first that failed.
// Other sockets than TCP have none of this and are left alone.
Result<> set_socket_options(int fd, const SocketOptions& options);

}  // namespace doorman::net
