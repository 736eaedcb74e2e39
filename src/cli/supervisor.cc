#include "cli/supervisor.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>

namespace doorman::cli {

namespace {

constexpr int kKilled = 128;  // and the signal, as shells have it

// A successor becomes our child when its upgrade is done, so this list is what the kernel says.
void pass_on(int number, pid_t first) {
  bool any = false;
  if (std::FILE* list = std::fopen("/proc/1/task/1/children", "re")) {
    for (int pid = 0; std::fscanf(list, "%d", &pid) == 1;) {  // NOLINT(cert-err34-c): the kernel's
      ::kill(pid, number);
      any = true;
    }
    std::fclose(list);
  }
  if (!any) ::kill(first, number);
}

}  // namespace

std::optional<int> supervise() {
  if (::getpid() != 1) return std::nullopt;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t first = ::fork();
  if (first == 0) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return std::nullopt;
  }
  if (first < 0) {
    std::fputs("pg_doorman: cannot fork\n", stderr);
    return 1;
  }
  int last = 0;
  for (;;) {
    siginfo_t info{};
    const int number = ::sigwaitinfo(&all, &info);
    if (number < 0) continue;
    if (number != SIGCHLD) {
      pass_on(number, first);
      continue;
    }
    for (;;) {
      int status = 0;
      const pid_t ended = ::waitpid(-1, &status, WNOHANG);
      if (ended < 0 && errno == ECHILD) return last;
      if (ended <= 0) break;
      last = WIFSIGNALED(status) ? kKilled + WTERMSIG(status) : WEXITSTATUS(status);
    }
  }
}

}  // namespace doorman::cli
