// Sockets for tests of what outlives a process: pairs, and whether a copy is the same socket.
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>

#include <map>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "handoff/fd_store.h"

namespace doorman::handoff {

inline UniqueFd a_socket() { return UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

inline ino_t identity(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

// Keeps what it is given, as systemd does.
class FakeFdStore final : public FdStore {
 public:
  void keep(const std::string& name, int fd) override { kept.emplace(name, ::dup(fd)); }
  void drop(const std::string& name) override { kept.erase(name); }
  // What the next process gets.
  std::vector<PassedFd> passed() const {
    std::vector<PassedFd> all;
    for (const auto& [name, fd] : kept) {
      all.push_back({.name = name, .fd = UniqueFd(::dup(fd.get()))});
    }
    return all;
  }

  std::map<std::string, UniqueFd> kept;
};

}  // namespace doorman::handoff
