#include "daemon/listeners.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "base/log.h"
#include "net/listener.h"
#include "net/socket_options.h"
#include "session/host.h"

namespace doorman::daemon {

namespace {

using handoff::PassedFd;
using net::Address;
using net::ListenAddress;

struct Bound {
  Address address;
  UniqueFd fd;
};

std::string unix_path(const config::Settings& settings) {
  if (settings.unix_socket_dir.empty()) return {};
  return settings.unix_socket_dir + "/.s.PGSQL." + std::to_string(settings.listen_port);
}

Result<std::vector<ListenAddress>> wanted(const config::Settings& settings) {
  std::string names;
  for (const std::string& each : settings.listen_addr) names += each + ",";
  auto all = TRY(net::listen_addresses(names, settings.listen_port));
  if (const std::string path = unix_path(settings); !path.empty()) {
    all.push_back({.address = TRY(Address::unix_path(path)), .may_be_missing = false});
  }
  return all;
}

std::string text_of(const std::vector<Address>& addresses) {
  std::string text;
  for (const Address& each : addresses) text += (text.empty() ? "" : ", ") + each.text();
  return text.empty() ? "nothing" : text;
}

// A socket of [::] that takes IPv4 as well stands for 0.0.0.0 too.
bool takes_ipv4(int fd) {
  int only = 1;
  socklen_t length = sizeof only;
  return ::getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &length) == 0 && only == 0;
}

void prepare(int fd, const Address& address, const config::Settings& settings) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  if (address.is_unix()) return;
  if (auto set = net::set_socket_options(fd, session::socket_options(settings)); !set) {
    log(LogLevel::Warning, "{}: {}", address.text(), set.error().message);
  }
}

bool contains(const std::vector<Address>& list, const Address& one) {
  return std::find(list.begin(), list.end(), one) != list.end();
}

bool covers(const std::vector<Address>& list, const std::vector<Address>& others) {
  return std::all_of(others.begin(), others.end(),
                     [&](const Address& each) { return contains(list, each); });
}

// Says where the service manager's idea of the sockets and the configuration's differ.
void compare(const std::vector<Bound>& passed, const config::Settings& settings) {
  auto addresses = wanted(settings);
  if (!addresses) {
    log(LogLevel::Warning, "{}", addresses.error().message);
    return;
  }
  std::vector<Address> want;
  for (const ListenAddress& each : *addresses) want.push_back(each.address);
  std::vector<Address> have;
  for (const Bound& each : passed) {
    have.push_back(each.address);
    const auto any = Address::numeric("::", each.address.port());
    if (any && *any == each.address && takes_ipv4(each.fd.get())) {
      have.push_back(*Address::numeric("0.0.0.0", each.address.port()));
    }
  }
  if (covers(have, want) && covers(want, have)) return;
  log(LogLevel::Warning,
      "the service manager's sockets are used ({}), not those of the configuration ({}): make "
      "listen_addr, listen_port and unix_socket_dir agree with the socket unit",
      text_of(have), text_of(want));
}

// Kept from an earlier process, and clients still find it: the file of a unix socket may be gone.
UniqueFd take(std::vector<Bound>& from, const Address& address) {
  const auto found = std::find_if(from.begin(), from.end(),
                                  [&](const Bound& each) { return each.address == address; });
  if (found == from.end()) return {};
  if (address.is_unix() && !address.is_abstract()) {
    struct stat file = {};
    if (::lstat(address.path().c_str(), &file) != 0 || !S_ISSOCK(file.st_mode)) return {};
  }
  return std::move(found->fd);
}

Result<std::optional<UniqueFd>> open_one(const ListenAddress& where,
                                         const config::Settings& settings) {
  if (!where.address.is_unix()) return net::listen_tcp(where, settings.listen_backlog);
  return std::optional(TRY(net::listen_unix({.path = where.address.path(),
                                             .mode = settings.unix_socket_mode,
                                             .group = settings.unix_socket_group,
                                             .backlog = settings.listen_backlog})));
}

Result<Listeners> open_own(const config::Settings& settings, std::vector<Bound> kept,
                           handoff::Notifier& notifier) {
  Listeners all;
  for (const ListenAddress& where : TRY(wanted(settings))) {
    const Address& address = where.address;
    UniqueFd fd = take(kept, address);
    if (fd) {
      log(LogLevel::Notice, "listening on {} again", address.text());
    } else {
      std::optional<UniqueFd> opened = TRY(open_one(where, settings));
      if (!opened) continue;
      fd = std::move(*opened);
      log(LogLevel::Notice, "listening on {}", address.text());
    }
    prepare(fd.get(), address, settings);
    if (address.is_unix() && !address.is_abstract()) all.unix_paths.push_back(address.path());
    all.fds.push_back(std::move(fd));
  }
  if (all.fds.empty()) {
    return Error{ErrorCode::Config, "nothing to listen on: set listen_addr or unix_socket_dir"};
  }
  all.ours = true;
  // All of them anew: what the configuration does not name any more leaves the store.
  notifier.remove(std::string(handoff::kOwnListener));
  for (const UniqueFd& fd : all.fds) {
    notifier.store(std::string(handoff::kOwnListener), fd.get());
  }
  return all;
}

}  // namespace

Result<Listeners> open_listeners(const config::Settings& settings, std::vector<PassedFd> passed,
                                 handoff::Notifier& notifier) {
  std::vector<Bound> theirs;
  std::vector<Bound> kept;
  for (PassedFd& each : passed) {
    auto address = Address::local_of(each.fd.get());
    if (!address) continue;
    auto& to = each.name == handoff::kOwnListener ? kept : theirs;
    to.push_back({.address = address.take(), .fd = std::move(each.fd)});
  }
  if (theirs.empty()) return open_own(settings, std::move(kept), notifier);
  if (!kept.empty()) notifier.remove(std::string(handoff::kOwnListener));
  compare(theirs, settings);
  Listeners all;
  for (Bound& each : theirs) {
    log(LogLevel::Notice, "listening on {}, passed by the service manager", each.address.text());
    prepare(each.fd.get(), each.address, settings);
    all.fds.push_back(std::move(each.fd));
  }
  return all;
}

}  // namespace doorman::daemon
