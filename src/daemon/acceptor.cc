#include "daemon/acceptor.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/listener.h"
#include "wire/error_response.h"

namespace doorman::daemon {

namespace {

UniqueFd spare_descriptor() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

Acceptor::Listener::Listener(Acceptor& a, UniqueFd f)
    : acceptor(a), fd(std::move(f)), event(a.home_.loop, fd.get(), EV_READ, *this) {
  event.enable();
}

Acceptor::Acceptor(Worker& home, std::vector<Worker*>& all, std::vector<UniqueFd> listeners)
    : home_(home),
      all_(all),
      of_listeners_(session::socket_options(home.settings())),
      retry_(*this),
      timer_(home.loop, retry_),
      reserve_(spare_descriptor()) {
  for (UniqueFd& fd : listeners) {
    listeners_.push_back(std::make_unique<Listener>(*this, std::move(fd)));
  }
}

Acceptor::~Acceptor() = default;

void Acceptor::set_options(const Listener& listener, int fd, const net::Address& peer) {
  const net::SocketOptions options = session::socket_options(home_.settings());
  if (listener.passes_options_on && options == of_listeners_) return;
  if (auto set = net::set_socket_options(fd, options); !set) {
    log(LogLevel::Warning, "{}: {}", peer.text(), set.error().message);
  }
}

void Acceptor::accept_from(Listener& listener) {
  const int fd = listener.fd.get();
  for (int i = 0; i < kPerTurn; ++i) {
    net::Address peer;
    auto accepted = net::accept_one(fd, &peer);
    if (!accepted) {
      out_of_descriptors(fd, accepted.error().message);
      return;
    }
    if (!*accepted) {
      listener.passes_options_on = true;
      return;
    }
    complained_ = false;
    set_options(listener, (*accepted)->get(), peer);
    Worker* least = &home_;
    for (Worker* each : all_) {
      if (each->client_count() < least->client_count()) least = each;
    }
    if (least == &home_) {
      home_.add_client(std::move(**accepted), peer, Worker::FirstPacket::MayBeThere);
      continue;
    }
    least->post([least, client = std::move(**accepted), peer]() mutable {
      least->add_client(std::move(client), peer);
    });
  }
}

void Acceptor::out_of_descriptors(int fd, const std::string& why) {
  if (!complained_) {
    log(LogLevel::Error,
        "cannot accept more clients: {}; raise LimitNOFILE or lower max_client_conn", why);
    complained_ = true;
  }
  reserve_.reset();
  net::Address peer;
  if (auto accepted = net::accept_one(fd, &peer); accepted && *accepted) {
    const std::string error = wire::error_response(
        wire::Severity::Fatal, wire::sqlstate::kTooManyConnections,
        "sorry, too many clients already", "The pooler has no file descriptor left.");
    // The client's start-up packet is read, so that closing does not reset the connection.
    char packet[512];
    ::recv((*accepted)->get(), packet, sizeof packet, MSG_DONTWAIT);
    ::send((*accepted)->get(), error.data(), error.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  reserve_ = spare_descriptor();
  for (auto& each : listeners_) each->event.disable();
  timer_.set(kPause);
}

void Acceptor::pause(bool paused) {
  paused_ = paused;
  if (!paused) {
    resume();
    return;
  }
  for (auto& each : listeners_) each->event.disable();
}

void Acceptor::resume() {
  if (!reserve_) reserve_ = spare_descriptor();
  if (paused_) return;
  for (auto& each : listeners_) each->event.enable();
}

}  // namespace doorman::daemon
