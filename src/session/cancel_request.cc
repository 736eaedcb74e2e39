#include "session/cancel_request.h"

#include <sys/socket.h>

#include <cerrno>

#include "wire/message_writer.h"

namespace doorman::session {

CancelRequest::CancelRequest(Host& host, const net::Address& address, std::string key,
                             std::uint64_t server)
    : host_(host),
      address_(address),
      key_(std::move(key)),
      server_(server),
      started_at_(host.now()) {}

bool CancelRequest::start() {
  UniqueFd fd(::socket(address_.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return false;
  if (::connect(fd.get(), address_.get(), address_.length()) != 0 && errno != EINPROGRESS &&
      errno != EAGAIN) {
    return false;
  }
  stream_.assign(std::move(fd));
  stream_.attach(host_.loop, host_.buffers, *this);
  stream_.want_write();
  return true;
}

void CancelRequest::on_event(short what) {
  if ((what & EV_WRITE) != 0 && !sent_) {
    sent_ = true;
    over_ = !stream_.write(bytes_of(wire::cancel_request(key_))) || !stream_.flush();
    stream_.want_read(!over_);
  } else if ((what & EV_WRITE) != 0) {
    over_ = !stream_.flush();
  }
  if ((what & EV_READ) != 0) {
    std::byte ignored[64];
    over_ = over_ || stream_.read(ignored).status == net::ReadStatus::Closed;
  }
  if (over_) stream_.close();
}

}  // namespace doorman::session
