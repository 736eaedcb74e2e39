// FdStore: who keeps descriptors for us while no process of ours does.
//
// systemd's FD store does, for a service that has FileDescriptorStoreMax=. Without a service
// manager nobody does: then a stash lives as long as the process, or its successor, holds it.
#pragma once

#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace doorman::handoff {

struct NamedFd {
  std::string name;
  int fd;  // somebody else's
};

struct PassedFd {
  std::string name;
  UniqueFd fd;
};

// All descriptors of a stash have names that begin so, and no others have.
inline constexpr std::string_view kStashPrefix = "stash.";

class FdStore {
 public:
  virtual void keep(const std::string& name, int fd) = 0;
  virtual void drop(const std::string& name) = 0;

 protected:
  ~FdStore() = default;
};

class NoFdStore final : public FdStore {
 public:
  void keep(const std::string& /*name*/, int /*fd*/) override {}
  void drop(const std::string& /*name*/) override {}
};

// The service manager's, through its notify socket. One descriptor per message: in a message with
// several their order is not kept. Unwatched (FDPOLL=0): it would drop what hangs up.
class SystemdFdStore final : public FdStore {
 public:
  void keep(const std::string& name, int fd) override;
  void drop(const std::string& name) override;
};

}  // namespace doorman::handoff
