#include "net/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "base/text.h"

namespace doorman::net {

namespace {

constexpr std::size_t kPathOffset = offsetof(sockaddr_un, sun_path);

// The address as its family's own structure: a copy, since the bytes were not written as one.
template <class T>
T copy_of(const sockaddr* address) {
  T copy = {};
  std::memcpy(&copy, address, sizeof copy);
  return copy;
}

template <class T>
Address made_of(const T& address) {
  return Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// The number of an interface from "eth0" or "2"; 0: there is none.
std::uint32_t scope_of(const std::string& interface) {
  std::uint32_t number = 0;
  const char* end = interface.data() + interface.size();
  const auto [rest, error] = std::from_chars(interface.data(), end, number);
  if (error == std::errc() && rest == end) return number;
  return if_nametoindex(interface.c_str());
}

using GetName = int (*)(int, sockaddr*, socklen_t*);

Result<Address> name_of(int fd, GetName get_name, std::string_view call) {
  sockaddr_storage storage = {};
  socklen_t length = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (get_name(fd, address, &length) != 0) {
    return Error{ErrorCode::System, errno_text(call, errno)};
  }
  return Address::from_sockaddr(address, length);
}

}  // namespace

std::optional<Address> Address::numeric(std::string_view host, std::uint16_t port) {
  sockaddr_in v4 = {};
  if (inet_pton(AF_INET, std::string(host).c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return made_of(v4);
  }
  sockaddr_in6 v6 = {};
  const std::size_t percent = std::min(host.find('%'), host.size());
  const std::string number(host.substr(0, percent));
  if (inet_pton(AF_INET6, number.c_str(), &v6.sin6_addr) != 1) return std::nullopt;
  if (percent < host.size()) {
    v6.sin6_scope_id = scope_of(std::string(host.substr(percent + 1)));
    if (v6.sin6_scope_id == 0) return std::nullopt;
  }
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  return made_of(v6);
}

Result<Address> Address::unix_path(std::string_view path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path == "@") {
    return Error{ErrorCode::Config, "the path of a unix socket is empty"};
  }
  // An abstract name has no final zero byte, a path has.
  const bool abstract = path.front() == '@';
  const std::size_t limit = sizeof address.sun_path - (abstract ? 0 : 1);
  if (path.size() > limit) {
    return Error{ErrorCode::Config,
                 fmt::format("the path of unix socket {} has {} bytes, the system allows {}", path,
                             path.size(), limit)};
  }
  if (path.find('\0') != std::string_view::npos) {
    return Error{ErrorCode::Config, "the path of a unix socket has a zero byte"};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (abstract) address.sun_path[0] = '\0';
  const std::size_t length = kPathOffset + path.size() + (abstract ? 0 : 1);
  return from_sockaddr(reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(length));
}

Address Address::from_sockaddr(const sockaddr* address, socklen_t length) {
  Address made;
  made.length_ = std::min<socklen_t>(length, sizeof made.storage_);
  std::memcpy(&made.storage_, address, made.length_);
  if (made.family() != AF_INET6) return made;

  const auto v6 = copy_of<sockaddr_in6>(made.get());
  if (!IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) return made;
  sockaddr_in v4 = {};
  v4.sin_family = AF_INET;
  v4.sin_port = v6.sin6_port;
  std::memcpy(&v4.sin_addr, &v6.sin6_addr.s6_addr[12], sizeof v4.sin_addr);
  return made_of(v4);
}

Result<Address> Address::local_of(int fd) { return name_of(fd, getsockname, "getsockname"); }

Result<Address> Address::peer_of(int fd) { return name_of(fd, getpeername, "getpeername"); }

std::string Address::text() const {
  switch (family()) {
    case AF_INET: return fmt::format("{}:{}", host(), port());
    case AF_INET6: return fmt::format("[{}]:{}", host(), port());
    case AF_UNIX: return path().empty() ? "unix" : "unix:" + path();
    default: return "unknown";
  }
}

std::string Address::host() const {
  char text[INET6_ADDRSTRLEN] = "";
  switch (family()) {
    case AF_INET: {
      const auto v4 = copy_of<sockaddr_in>(get());
      inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
      return text;
    }
    case AF_INET6: {
      const auto v6 = copy_of<sockaddr_in6>(get());
      inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
      if (v6.sin6_scope_id == 0) return text;
      return fmt::format("{}%{}", text, v6.sin6_scope_id);
    }
    case AF_UNIX: return "unix";
    default: return "unknown";
  }
}

std::string Address::path() const {
  if (!is_unix() || length_ <= kPathOffset) return "";
  const auto address = copy_of<sockaddr_un>(get());
  const std::size_t size = std::min<std::size_t>(length_ - kPathOffset, sizeof address.sun_path);
  if (address.sun_path[0] == '\0') return "@" + std::string(address.sun_path + 1, size - 1);
  return {address.sun_path, strnlen(address.sun_path, size)};
}

std::uint16_t Address::port() const {
  switch (family()) {
    case AF_INET: return ntohs(copy_of<sockaddr_in>(get()).sin_port);
    case AF_INET6: return ntohs(copy_of<sockaddr_in6>(get()).sin6_port);
    default: return 0;
  }
}

Address Address::with_port(std::uint16_t port) const {
  if (family() == AF_INET) {
    auto v4 = copy_of<sockaddr_in>(get());
    v4.sin_port = htons(port);
    return made_of(v4);
  }
  if (family() == AF_INET6) {
    auto v6 = copy_of<sockaddr_in6>(get());
    v6.sin6_port = htons(port);
    return made_of(v6);
  }
  return *this;
}

// By what the address means: other bytes (flow, padding) are as the kernel likes.
bool operator==(const Address& a, const Address& b) {
  if (a.family() != b.family()) return false;
  switch (a.family()) {
    case AF_INET: {
      const auto v4 = copy_of<sockaddr_in>(a.get());
      const auto other = copy_of<sockaddr_in>(b.get());
      return v4.sin_port == other.sin_port && v4.sin_addr.s_addr == other.sin_addr.s_addr;
    }
    case AF_INET6: {
      const auto v6 = copy_of<sockaddr_in6>(a.get());
      const auto other = copy_of<sockaddr_in6>(b.get());
      return v6.sin6_port == other.sin6_port && v6.sin6_scope_id == other.sin6_scope_id &&
             IN6_ARE_ADDR_EQUAL(&v6.sin6_addr, &other.sin6_addr);
    }
    case AF_UNIX: return a.path() == b.path();
    default: return true;
  }
}

}  // namespace doorman::net
