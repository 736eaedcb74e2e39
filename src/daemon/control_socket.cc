#include "daemon/control_socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/log.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "net/listener.h"

namespace doorman::daemon {

namespace {

constexpr std::string_view kGreeting = "pg_doorman ";
constexpr std::size_t kMaxLine = 256;
constexpr std::size_t kMaxAskers = 16;

// A peer that is us or root may ask; the socket's mode says the same.
bool may_ask(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid();
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

std::string control_path(const config::Settings& settings) {
  if (!settings.control_socket.empty()) return settings.control_socket;
  const char* folder = std::getenv("RUNTIME_DIRECTORY");  // NOLINT(concurrency-mt-unsafe)
  if (folder != nullptr && *folder != '\0') {
    const std::string_view all = folder;  // several are separated by colons
    return std::string(all.substr(0, all.find(':'))) + "/control.sock";
  }
  if (settings.unix_socket_dir.empty()) return {};
  return settings.unix_socket_dir + "/.s.pg_doorman." + std::to_string(settings.listen_port);
}

ControlSocket::~ControlSocket() {
  if (fd_ && !path_.starts_with('@')) ::unlink(path_.c_str());
}

Result<> ControlSocket::open(const std::string& path) {
  fd_ = TRY(net::listen_unix({.path = path, .mode = 0600, .group = {}, .backlog = kMaxAskers}));
  path_ = path;
  return {};
}

void ControlSocket::adopt(UniqueFd fd, std::string path) {
  fd_ = std::move(fd);
  path_ = std::move(path);
}

void ControlSocket::serve() {
  if (!fd_ || event_) return;
  net::EventHandler& handler = *this;
  event_ = std::make_unique<net::IoEvent>(loop_, fd_.get(), EV_READ, handler);
  event_->enable();
}

void ControlSocket::hand_on() {
  event_.reset();
  fd_.reset();
}

ControlSocket::Asker::Asker(ControlSocket& o, UniqueFd f)
    : owner(o), fd(std::move(f)), event(o.loop_, fd.get(), EV_READ, *this) {
  event.enable();
}

// Short, and to someone who waits for it: if it cannot be written at once, it is lost.
void ControlSocket::Asker::say(const std::string& line) {
  const std::string text = one_line(line) + "\n";
  [[maybe_unused]] const ssize_t sent =
      ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void ControlSocket::on_event(short /*what*/) {
  forget_those_that_are_over();
  net::Address peer;
  auto accepted = net::accept_one(fd_.get(), &peer);
  if (!accepted || !*accepted) return;
  if (askers_.size() >= kMaxAskers || !may_ask((**accepted).get())) return;
  askers_.push_back(std::make_shared<Asker>(*this, std::move(**accepted)));
}

void ControlSocket::on_input(Asker& asker) {
  char bytes[kMaxLine];
  const ssize_t got = ::recv(asker.fd.get(), bytes, sizeof bytes, MSG_DONTWAIT);
  if (got <= 0) {  // it does not wait for the verdict
    asker.event.disable();
    asker.over = true;
    return;
  }
  asker.input.append(bytes, static_cast<std::size_t>(got));
  const std::size_t end = asker.input.find('\n');
  if (end == std::string::npos && asker.input.size() < kMaxLine) return;
  asker.event.disable();
  const auto found = std::find_if(askers_.begin(), askers_.end(),
                                  [&](const auto& each) { return each.get() == &asker; });
  answer(*found, asker.input.substr(0, end));
}

void ControlSocket::answer(const std::shared_ptr<Asker>& asker, const std::string& line) {
  const auto ends = [](const std::shared_ptr<Asker>& who, const std::string& text) {
    who->say(text);
    ::shutdown(who->fd.get(), SHUT_WR);
    who->over = true;
  };
  if (!line.starts_with(kGreeting) || !line.ends_with(" upgrade")) {
    ends(asker, "failed this pg_doorman (" PG_DOORMAN_VERSION ") does not know that request");
    return;
  }
  auto begun = daemon_.upgrade([asker, ends](const Verdict& verdict) {
    ends(asker, (verdict.done ? "done " : "failed ") + verdict.text);
  });
  if (!begun) {
    ends(asker, "failed " + begun.error().message);
    return;
  }
  asker->say("note the upgrade has begun");
}

void ControlSocket::forget_those_that_are_over() {
  std::erase_if(askers_, [](const auto& each) { return each->over; });
}

}  // namespace doorman::daemon
