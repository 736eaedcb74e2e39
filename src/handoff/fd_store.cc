#include "handoff/fd_store.h"

#include <systemd/sd-daemon.h>

#include "base/log.h"
#include "base/text.h"

namespace doorman::handoff {

void SystemdFdStore::keep(const std::string& name, int fd) {
  const std::string message = "FDSTORE=1\nFDNAME=" + name + "\nFDPOLL=0";
  const int sent = ::sd_pid_notify_with_fds(0, /*unset_environment=*/0, message.c_str(), &fd, 1);
  if (sent < 0) {
    log(LogLevel::Warning, "the service manager does not keep {}: {}", name, errno_text(-sent));
  }
}

void SystemdFdStore::drop(const std::string& name) {
  const std::string message = "FDSTOREREMOVE=1\nFDNAME=" + name;
  const int sent = ::sd_notify(/*unset_environment=*/0, message.c_str());
  if (sent < 0) {
    log(LogLevel::Warning, "the service manager does not let go of {}: {}", name,
        errno_text(-sent));
  }
}

}  // namespace doorman::handoff
