#include "handoff/passed.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include <cstdlib>

namespace doorman::handoff {

std::vector<PassedFd> take_passed_fds() {
  std::vector<PassedFd> all;
  char** names = nullptr;
  const int count = ::sd_listen_fds_with_names(/*unset_environment=*/1, &names);
  for (int i = 0; i < count; ++i) {
    const int fd = SD_LISTEN_FDS_START + i;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    all.push_back({.name = names[i], .fd = UniqueFd(fd)});
    std::free(names[i]);  // NOLINT(cppcoreguidelines-no-malloc): libsystemd's
  }
  std::free(static_cast<void*>(names));  // NOLINT(cppcoreguidelines-no-malloc)
  return all;
}

bool is_listening(int fd) {
  return ::sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, /*listening=*/1) > 0;
}

}  // namespace doorman::handoff
