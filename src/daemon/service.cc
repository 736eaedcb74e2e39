#include "daemon/service.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "base/log.h"

namespace doorman::daemon {

namespace {

// The launcher's count of starts that came to nothing (systemd/launcher.c).
constexpr const char* kStarts = "starts";

// NOLINTBEGIN(concurrency-mt-unsafe): while there is one thread, or of what nobody changes.
std::string take_environment(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  return text;
}

void forget_failed_starts() {
  const char* folder = std::getenv("RUNTIME_DIRECTORY");
  if (folder != nullptr) ::unlink(fmt::format("{}/{}", folder, kStarts).c_str());
}
// NOLINTEND(concurrency-mt-unsafe)

}  // namespace

Service::Service()
    : fallback_(take_environment("PG_DOORMAN_FALLBACK")),
      watchdog_(notifier_, Watchdog::limit_of_environment()) {
  for (handoff::PassedFd& each : handoff::take_passed_fds()) {
    if (each.name == handoff::kLastGood) continue;  // the launcher's; it stays in the store
    auto& to = handoff::is_listening(each.fd.get()) ? listening_ : stored_;
    to.push_back(std::move(each));
  }
}

std::vector<handoff::PassedFd> Service::take_listening() { return std::move(listening_); }

void Service::be_successor() { notifier_.mute(true); }

void Service::began(Instant now) {
  notifier_.mute(false);
  notifier_.ready();
  forget_failed_starts();
  if (notifier_.active()) proven_at_ = now + kProven;
  if (fallback_.empty()) return;
  log(LogLevel::Error, "this is the last good executable, not the installed one: {}", fallback_);
}

void Service::stopping() {
  if (!stopping_) notifier_.stopping();
  stopping_ = true;
}

void Service::tick(Instant now, const Figures& figures) {
  if (!notifier_.active()) return;
  watchdog_.look(now, figures.turns);
  if (stopping_ && now >= next_extension_) {
    next_extension_ = now + kBetweenExtensions;
    notifier_.extend_timeout(3 * kBetweenExtensions);
  }
  if (proven_at_ && now >= *proven_at_) {
    proven_at_.reset();
    store_executable();
  }
  if (now < next_status_) return;
  next_status_ = now + kBetweenStatus;
  std::string text =
      fmt::format("{}: {} client{}, {} server{} in {} pool{}", stopping_ ? "Ending" : "Serving",
                  figures.clients, figures.clients == 1 ? "" : "s", figures.servers,
                  figures.servers == 1 ? "" : "s", figures.pools, figures.pools == 1 ? "" : "s");
  if (!note_.empty()) text += "; " + note_;
  if (!fallback_.empty()) text += "; runs the last good executable: " + fallback_;
  if (text == said_) return;
  notifier_.status(text);
  said_ = std::move(text);
}

// The file itself and not its name, which may soon be another's. After a fall-back it is in the
// store already.
void Service::store_executable() {
  if (!fallback_.empty()) return;
  const UniqueFd self(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!self) return;
  notifier_.remove(std::string(handoff::kLastGood));
  notifier_.store(std::string(handoff::kLastGood), self.get());
  log(LogLevel::Info, "this executable is kept as the last good one");
}

}  // namespace doorman::daemon
