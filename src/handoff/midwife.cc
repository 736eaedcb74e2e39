#include "handoff/midwife.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/text.h"

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace doorman::handoff {

namespace {

// What the midwife says.
struct Word {
  enum What : int { Born, CannotStart, Ended } what;
  int number;  // its process id, an errno, a wait status
};

// ---- In the midwife: a fork of a program with threads, so only what is safe in a signal handler.

void say(int line, Word word, int fd) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  iovec slice = {.iov_base = &word, .iov_len = sizeof word};
  msghdr message{};
  message.msg_iov = &slice;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  [[maybe_unused]] const ssize_t sent = ::sendmsg(line, &message, MSG_NOSIGNAL);
}

int pidfd_open(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

[[noreturn]] void become_successor(const char* path, char** arguments, char** environment) {
  // A request that comes before it listens to signals must not end it.
  sigset_t blocked;
  sigemptyset(&blocked);
  for (const int number : {SIGUSR2, SIGHUP}) sigaddset(&blocked, number);
  pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  ::fcntl(Midwife::kSuccessorsFd + 1, F_SETFD, FD_CLOEXEC);  // the line
  ::execve(path, arguments, environment);
  say(Midwife::kSuccessorsFd + 1, {.what = Word::CannotStart, .number = errno}, -1);
  ::_exit(127);
}

[[noreturn]] void attend(int fd, int line, const char* path, char** arguments, char** environment) {
  // Both above the places where they are to be, so that neither falls on the other.
  fd = ::fcntl(fd, F_DUPFD, 16);
  line = ::fcntl(line, F_DUPFD, 16);
  ::dup2(fd, Midwife::kSuccessorsFd);
  ::dup2(line, Midwife::kSuccessorsFd + 1);
  line = Midwife::kSuccessorsFd + 1;
  ::close_range(static_cast<unsigned>(line) + 1, UINT_MAX, 0);
  const pid_t child = ::fork();
  if (child == 0) become_successor(path, arguments, environment);
  ::close(Midwife::kSuccessorsFd);
  if (child < 0) {
    say(line, {.what = Word::CannotStart, .number = errno}, -1);
    ::_exit(1);
  }
  const int pidfd = pidfd_open(child);
  say(line, {.what = Word::Born, .number = child}, pidfd);
  pollfd waited[2] = {{.fd = line, .events = POLLIN, .revents = 0},
                      {.fd = pidfd, .events = POLLIN, .revents = 0}};
  while (::poll(waited, 2, -1) < 0 && errno == EINTR) {
  }
  if (waited[1].revents != 0) {
    int status = 0;
    ::waitpid(child, &status, 0);
    say(line, {.what = Word::Ended, .number = status}, -1);
  }
  ::_exit(0);
}

// ---- In the process that upgrades.

bool wait_readable(int fd, Instant by) {
  for (;;) {
    const Duration left = by - clock_now();
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    pollfd waited = {.fd = fd, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&waited, 1, static_cast<int>(std::clamp<long long>(ms, 0, 60'000)));
    if (ready > 0) return true;
    if (ready == 0 && left <= Duration::zero()) return false;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// False: it has nothing to say, or is gone.
bool hear(int line, Word& word, UniqueFd& fd, Instant by) {
  if (!wait_readable(line, by)) return false;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  iovec slice = {.iov_base = &word, .iov_len = sizeof word};
  msghdr message{};
  message.msg_iov = &slice;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(line, &message, MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(sizeof word))
    return false;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int got = -1;
    std::memcpy(&got, CMSG_DATA(header), sizeof got);
    fd.reset(got);
  }
  return true;
}

// The service manager's variables that were for the process that it started, and for it only.
bool is_for_us_only(std::string_view variable) {
  return variable.starts_with("LISTEN_") || variable.starts_with("WATCHDOG_PID=");
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& each : texts) out.push_back(each.data());
  out.push_back(nullptr);
  return out;
}

std::string text_of_status(int status) {
  if (WIFSIGNALED(status)) {
    return "was killed by signal " + std::to_string(WTERMSIG(status)) + " (" +
           ::strsignal(WTERMSIG(status)) + ")";  // NOLINT(concurrency-mt-unsafe): known signals
  }
  return "exited with status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

std::string installed_path(const char* argv0) {
  std::string name = argv0 != nullptr ? argv0 : "";
  if (name.starts_with('/')) return name;
  if (name.find('/') != std::string::npos) {
    std::array<char, PATH_MAX> folder{};
    if (::getcwd(folder.data(), folder.size()) == nullptr) return name;
    return std::string(folder.data()) + "/" + name;
  }
  const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): at start
  std::string_view rest = path != nullptr ? path : "/usr/sbin:/usr/bin:/sbin:/bin";
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    std::string candidate = std::string(rest.substr(0, end)) + "/" + name;
    if (!name.empty() && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return name;
}

Midwife::Midwife(Midwife&& other) noexcept { *this = std::move(other); }

Midwife& Midwife::operator=(Midwife&& other) noexcept {
  leave();
  midwife_ = std::exchange(other.midwife_, -1);
  successor_ = std::exchange(other.successor_, -1);
  pidfd_ = std::move(other.pidfd_);
  line_ = std::move(other.line_);
  return *this;
}

Result<Midwife> Midwife::start(const Program& program, int fd, Instant by) {
  std::vector<std::string> arguments = program.arguments;
  std::vector<std::string> environment;
  for (char** each = environ; *each != nullptr; ++each) {
    if (!is_for_us_only(*each)) environment.emplace_back(*each);
  }
  std::vector<char*> argument_list = pointers(arguments);
  std::vector<char*> environment_list = pointers(environment);
  int lines[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, lines) != 0) {
    return Error{ErrorCode::System, "socketpair: " + errno_text(errno)};
  }
  Midwife midwife;
  midwife.line_.reset(lines[0]);
  UniqueFd her_line(lines[1]);
  // She takes no signals: those are for the two processes that she stands between.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  midwife.midwife_ = ::fork();
  const int error = errno;
  if (midwife.midwife_ == 0) {
    attend(fd, her_line.get(), program.path.c_str(), argument_list.data(), environment_list.data());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  her_line.reset();
  if (midwife.midwife_ < 0) return Error{ErrorCode::System, "cannot fork: " + errno_text(error)};
  Word word{};
  if (!hear(midwife.line_.get(), word, midwife.pidfd_, by)) {
    return Error{ErrorCode::System, "the new process was not started in time"};
  }
  // The successor may have failed before the midwife could say that it was born.
  while (word.what == Word::Born) {
    midwife.successor_ = word.number;
    if (!wait_readable(midwife.line_.get(), clock_now())) return midwife;
    if (!hear(midwife.line_.get(), word, midwife.pidfd_, by)) return midwife;
  }
  if (word.what == Word::CannotStart) {
    return Error{ErrorCode::System,
                 "cannot execute " + program.path + ": " + errno_text(word.number)};
  }
  return Error{ErrorCode::System, "the new process " + text_of_status(word.number)};
}

std::string Midwife::how_it_ended(Instant by) {
  Word word{};
  UniqueFd none;
  while (line_ && hear(line_.get(), word, none, by)) {
    if (word.what == Word::CannotStart) return "cannot be executed: " + errno_text(word.number);
    if (word.what == Word::Ended) return text_of_status(word.number);
  }
  return {};
}

void Midwife::kill() {
  if (!pidfd_) return;
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  static constexpr Duration kEnough = std::chrono::seconds(10);
  wait_readable(pidfd_.get(), clock_now() + kEnough);
}

void Midwife::leave() {
  line_.reset();
  if (midwife_ > 0) {
    while (::waitpid(midwife_, nullptr, 0) < 0 && errno == EINTR) {
    }
    midwife_ = -1;
  }
}

}  // namespace doorman::handoff
