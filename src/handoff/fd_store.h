// FdStore: who keeps descriptors for us while no process of ours does.
//
// systemd's FD store does, for a service that has FileDescriptorStoreMax=. Without a service
// manager nobody does: then a stash lives as long as the process, or its successor, holds it.
#pragma once

#include <string>
#include <string_view>

#include "handoff/notifier.h"
#include "handoff/passed.h"

namespace doorman::handoff {

struct NamedFd {
  std::string name;
  int fd;  // somebody else's
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

// The service manager's. One descriptor per message: in a message with several their order is not
// kept. Unwatched: it would drop what hangs up.
class SystemdFdStore final : public FdStore {
 public:
  explicit SystemdFdStore(Notifier& notifier) : notifier_(notifier) {}
  void keep(const std::string& name, int fd) override { notifier_.store(name, fd); }
  void drop(const std::string& name) override { notifier_.remove(name); }

 private:
  Notifier& notifier_;
};

}  // namespace doorman::handoff
