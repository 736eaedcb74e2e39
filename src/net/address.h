// Where a socket is or is to be: IPv4, IPv6 or unix. A plain value.
//
// Resolves no names (net/resolver.h does). An IPv4 address that the kernel shows as IPv6
// (::ffff:10.0.0.5, from a socket that listens for both) is turned into the IPv4 address that it
// is, so that rules and logs see one form.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace doorman::net {

class Address {
 public:
  Address() = default;  // of no family: equal to nothing but its like

  // "10.0.0.5", "::1", "fe80::1%eth0"; nullopt: not a number, so perhaps a name.
  static std::optional<Address> numeric(std::string_view host, std::uint16_t port);

  // "/path", or "@name" for Linux's abstract sockets. An Error when it is empty or too long.
  static Result<Address> unix_path(std::string_view path);

  static Address from_sockaddr(const sockaddr* address, socklen_t length);
  static Result<Address> local_of(int fd);
  static Result<Address> peer_of(int fd);

  int family() const { return storage_.ss_family; }
  bool is_unix() const { return family() == AF_UNIX; }
  bool is_abstract() const { return path().starts_with('@'); }

  // For connect() and bind().
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t length() const { return length_; }

  // "10.0.0.5:51234", "[::1]:5", "unix:/path", "unix:@name"; a client's end of a unix socket has
  // no name: "unix".
  std::string text() const;
  std::string host() const;    // without the port; "unix" for unix sockets
  std::string path() const;    // of a unix socket, "@name" if abstract; "" for others
  std::uint16_t port() const;  // 0 for unix sockets
  Address with_port(std::uint16_t port) const;

  friend bool operator==(const Address& a, const Address& b);

 private:
  sockaddr_storage storage_ = {};
  socklen_t length_ = 0;
};

}  // namespace doorman::net
