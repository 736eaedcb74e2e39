#include "net/listener.h"

#include <fmt/format.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include "base/text.h"

namespace doorman::net {

namespace {

constexpr int kSocketFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

Error system_error(const Address& address, std::string_view step, int error) {
  return {ErrorCode::System,
          errno_text(fmt::format("listening on {}: {}", address.text(), step), error)};
}

// A socket, or which call failed and why.
struct Attempt {
  UniqueFd fd;
  const char* step = "";
  int error = 0;
};

Attempt failed(const char* step) { return {.fd = UniqueFd(), .step = step, .error = errno}; }

bool switch_on(int fd, int level, int option) {
  const int on = 1;
  return setsockopt(fd, level, option, &on, sizeof on) == 0;
}

Attempt try_tcp(const Address& address, int backlog, ReusePort reuse_port) {
  UniqueFd fd(socket(address.family(), kSocketFlags, 0));
  if (!fd) return failed("socket");
  if (!switch_on(fd.get(), SOL_SOCKET, SO_REUSEADDR)) return failed("SO_REUSEADDR");
  if (reuse_port == ReusePort::Yes && !switch_on(fd.get(), SOL_SOCKET, SO_REUSEPORT)) {
    return failed("SO_REUSEPORT");
  }
  // Else [::] would want the port of 0.0.0.0 too, and "*" could not have both.
  if (address.family() == AF_INET6 && !switch_on(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY)) {
    return failed("IPV6_V6ONLY");
  }
  if (bind(fd.get(), address.get(), address.length()) != 0) return failed("bind");
  if (listen(fd.get(), backlog) != 0) return failed("listen");
  return {.fd = std::move(fd), .step = "", .error = 0};
}

// What one item of a list stands for.
Result<std::vector<ListenAddress>> addresses_of(const std::string& name, std::uint16_t port) {
  if (name == "*") {
    return std::vector<ListenAddress>{{*Address::numeric("0.0.0.0", port), true},
                                      {*Address::numeric("::", port), true}};
  }
  if (const auto numeric = Address::numeric(name, port)) {
    return std::vector<ListenAddress>{{*numeric, false}};
  }
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(name.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return Error{ErrorCode::Config, "listening on " + name + ": " + gai_strerror(error)};
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, freeaddrinfo);
  std::vector<ListenAddress> all;
  for (const addrinfo* item = list.get(); item != nullptr; item = item->ai_next) {
    const Address address = Address::from_sockaddr(item->ai_addr, item->ai_addrlen);
    all.push_back({.address = address.with_port(port), .may_be_missing = true});
  }
  return all;
}

bool means_no_ipv6(const Address& address, int error) {
  return address.family() == AF_INET6 && (error == EAFNOSUPPORT || error == EADDRNOTAVAIL);
}

// Makes way for a new socket at `address`: removes what a dead process left.
Result<> remove_stale(const Address& address) {
  const std::string path = address.path();
  struct stat status = {};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return system_error(address, "stat", errno);
  }
  if (!S_ISSOCK(status.st_mode)) {
    return Error{ErrorCode::Config,
                 "listening on " + address.text() + ": there is a file that is not a socket"};
  }
  const UniqueFd probe(socket(AF_UNIX, kSocketFlags, 0));
  if (!probe) return system_error(address, "socket", errno);
  const bool connected = connect(probe.get(), address.get(), address.length()) == 0;
  // EAGAIN: a living listener with a full queue.
  if (connected || errno == EAGAIN) {
    return Error{ErrorCode::System, "listening on " + address.text() + ": in use, it is answered"};
  }
  if (errno != ECONNREFUSED) return system_error(address, "trying who is there", errno);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return system_error(address, "unlink", errno);
  return {};
}

Result<gid_t> group_id(const std::string& name) {
  gid_t number = 0;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data(), end, number);
  if (error == std::errc() && rest == end) return number;

  std::vector<char> buffer(1024);
  group entry = {};
  group* found = nullptr;
  while (getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == ERANGE) {
    buffer.resize(buffer.size() * 2);  // a group of many members
  }
  if (found == nullptr) return Error{ErrorCode::Config, "there is no group " + name};
  return entry.gr_gid;
}

Result<> set_group_and_mode(const Address& address, const UnixListen& what) {
  if (!what.group.empty()) {
    const gid_t group = TRY(group_id(what.group));
    if (chown(what.path.c_str(), static_cast<uid_t>(-1), group) != 0) {
      return system_error(address, "changing its group to " + what.group, errno);
    }
  }
  if (chmod(what.path.c_str(), what.mode) != 0) {
    return system_error(address, "changing its mode", errno);
  }
  return {};
}

}  // namespace

Result<UniqueFd> listen_tcp(const Address& address, int backlog, ReusePort reuse_port) {
  Attempt attempt = try_tcp(address, backlog, reuse_port);
  if (!attempt.fd) return system_error(address, attempt.step, attempt.error);
  return std::move(attempt.fd);
}

Result<std::vector<ListenAddress>> listen_addresses(const std::string& names, std::uint16_t port) {
  std::vector<ListenAddress> all;
  for (const std::string_view name : split_list(names)) {
    for (const ListenAddress& each : TRY(addresses_of(std::string(name), port))) {
      const bool known = std::any_of(all.begin(), all.end(), [&](const ListenAddress& other) {
        return other.address == each.address;
      });
      if (!known) all.push_back(each);
    }
  }
  return all;
}

Result<std::optional<UniqueFd>> listen_tcp(const ListenAddress& where, int backlog) {
  Attempt attempt = try_tcp(where.address, backlog, ReusePort::No);
  if (attempt.fd) return std::optional(std::move(attempt.fd));
  if (where.may_be_missing && means_no_ipv6(where.address, attempt.error)) {
    return std::optional<UniqueFd>();
  }
  return system_error(where.address, attempt.step, attempt.error);
}

Result<UniqueFd> listen_unix(const UnixListen& what) {
  const Address address = TRY(Address::unix_path(what.path));
  if (!address.is_abstract()) TRY(remove_stale(address));
  UniqueFd fd(socket(AF_UNIX, kSocketFlags, 0));
  if (!fd) return system_error(address, "socket", errno);
  if (bind(fd.get(), address.get(), address.length()) != 0) {
    return system_error(address, "bind", errno);
  }
  // Nobody can connect before listen(), so there is no moment with too open a mode.
  if (!address.is_abstract()) {
    if (auto set = set_group_and_mode(address, what); !set) {
      unlink(what.path.c_str());
      return set.take_error();
    }
  }
  if (listen(fd.get(), what.backlog) != 0) return system_error(address, "listen", errno);
  return fd;
}

Result<std::optional<UniqueFd>> accept_one(int listen_fd, Address* peer) {
  static constexpr int kMostFailed = 64;  // at once; the socket stays readable
  sockaddr_storage storage = {};
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  for (int i = 0; i < kMostFailed; ++i) {
    socklen_t length = sizeof storage;
    UniqueFd fd(accept4(listen_fd, address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      *peer = Address::from_sockaddr(address, length);
      return std::optional(std::move(fd));
    }
    switch (errno) {
      case EAGAIN: return std::optional<UniqueFd>();
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM: return Error{ErrorCode::Limit, errno_text("accept", errno)};
      // Not a listening socket. All else is what Linux tells about a new connection that has
      // failed, behind which there may be others.
      case EBADF:
      case EINVAL:
      case ENOTSOCK: return Error{ErrorCode::System, errno_text("accept", errno)};
      default: break;
    }
  }
  return std::optional<UniqueFd>();
}

}  // namespace doorman::net
