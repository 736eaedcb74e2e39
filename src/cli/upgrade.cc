#include "cli/upgrade.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <string_view>

#include "base/text.h"
#include "base/unique_fd.h"
#include "net/address.h"

namespace doorman::cli {

namespace {

int complain(const std::string& message) {
  std::fprintf(stderr, "pg_doorman: %s\n", message.c_str());
  return 1;
}

}  // namespace

int upgrade(const std::string& socket_path) {
  auto address = net::Address::unix_path(socket_path);
  if (!address) return complain(address.error().message);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), address->get(), address->length()) != 0) {
    return complain("no running pg_doorman answers at " + socket_path + ": " + errno_text(errno));
  }
  static constexpr std::string_view kRequest = "pg_doorman 1 upgrade\n";
  if (::send(fd.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0) {
    return complain("cannot ask at " + socket_path + ": " + errno_text(errno));
  }
  std::string input;
  char bytes[4096];
  for (;;) {
    const std::size_t end = input.find('\n');
    if (end == std::string::npos) {
      const ssize_t got = ::recv(fd.get(), bytes, sizeof bytes, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return complain("the running pg_doorman ended without a verdict");
      input.append(bytes, static_cast<std::size_t>(got));
      continue;
    }
    const std::string line = input.substr(0, end);
    input.erase(0, end + 1);
    const std::size_t blank = line.find(' ');
    const std::string word = line.substr(0, blank);
    const std::string text = blank == std::string::npos ? "" : line.substr(blank + 1);
    if (word == "failed") return complain("upgrade failed: " + text);
    if (word != "done") continue;  // a note, or what a later release says
    std::printf("%s\n", text.c_str());
    return 0;
  }
}

}  // namespace doorman::cli
