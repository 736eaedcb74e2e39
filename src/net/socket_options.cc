#include "net/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <string>

#include "base/text.h"

namespace doorman::net {

namespace {

// Long enough for a slow client's first packet; after that the kernel stops holding it back.
constexpr std::chrono::seconds kDeferAccept{45};

std::optional<int> option_of(int fd, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(fd, SOL_SOCKET, option, &value, &length) != 0) return std::nullopt;
  return value;
}

// Sets options one by one and keeps the first failure.
class Setter {
 public:
  explicit Setter(int fd) : fd_(fd) {}

  void set(int level, int option, long long value, const char* name) {
    const int number = static_cast<int>(value);
    if (setsockopt(fd_, level, option, &number, sizeof number) == 0 || error_) return;
    error_ = Error{ErrorCode::System, errno_text(std::string("setting ") + name, errno)};
  }

  void set_unless_zero(int level, int option, long long value, const char* name) {
    if (value != 0) set(level, option, value, name);
  }

  Result<> result() const { return error_ ? Result<>(*error_) : Result<>(); }

 private:
  int fd_;
  std::optional<Error> error_;
};

}  // namespace

Result<> set_socket_options(int fd, const SocketOptions& options) {
  const std::optional<int> domain = option_of(fd, SO_DOMAIN);
  if (!domain) return Error{ErrorCode::System, errno_text("reading SO_DOMAIN", errno)};
  if (*domain != AF_INET && *domain != AF_INET6) return {};

  Setter setter(fd);
  setter.set(IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
  setter.set(SOL_SOCKET, SO_KEEPALIVE, options.keepalive ? 1 : 0, "SO_KEEPALIVE");
  if (options.keepalive) {
    setter.set_unless_zero(IPPROTO_TCP, TCP_KEEPCNT, options.keepcnt, "TCP_KEEPCNT");
    setter.set_unless_zero(IPPROTO_TCP, TCP_KEEPIDLE, options.keepidle.count(), "TCP_KEEPIDLE");
    setter.set_unless_zero(IPPROTO_TCP, TCP_KEEPINTVL, options.keepintvl.count(), "TCP_KEEPINTVL");
  }
  setter.set_unless_zero(SOL_SOCKET, SO_SNDBUF, options.buffer_bytes, "SO_SNDBUF");
  setter.set_unless_zero(SOL_SOCKET, SO_RCVBUF, options.buffer_bytes, "SO_RCVBUF");
  setter.set_unless_zero(IPPROTO_TCP, TCP_USER_TIMEOUT, options.user_timeout.count(),
                         "TCP_USER_TIMEOUT");
  if (option_of(fd, SO_ACCEPTCONN).value_or(0) != 0) {
    setter.set(IPPROTO_TCP, TCP_DEFER_ACCEPT, options.defer_accept ? kDeferAccept.count() : 0,
               "TCP_DEFER_ACCEPT");
  }
  return setter.result();
}

}  // namespace doorman::net
