#include "session/cancel_request.h"

#include <sys/socket.h>

#include <cerrno>

#include "session/record_fields.h"
#include "wire/message_writer.h"

namespace doorman::session {

namespace {

// Never use a number again for something else.
enum Tag : std::uint16_t { TagAddress = 1, TagKey = 2, TagServer = 3, TagSent = 4, TagSince = 5 };

}  // namespace

CancelRequest::CancelRequest(Host& host, const net::Address& address, std::string key,
                             std::uint64_t server)
    : host_(host),
      address_(address),
      key_(std::move(key)),
      server_(server),
      started_at_(host.now()) {}

std::string CancelRequest::save() const {
  RecordWriter out;
  out.text(TagAddress, save_address(address_));
  out.text(TagKey, key_);
  out.number(TagServer, server_);
  out.number(TagSent, sent_ ? 1 : 0);
  out.number(TagSince, to_number(started_at_));
  return out.take();
}

Result<std::unique_ptr<CancelRequest>> CancelRequest::restored(Host& host, std::string_view record,
                                                               UniqueFd fd) {
  net::Address address;
  std::string key;
  std::uint64_t server = 0;
  bool sent = false;
  Instant since = host.now();
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case TagAddress: address = load_address(field->value); break;
      case TagKey: key = field->value; break;
      case TagServer: server = field->number(); break;
      case TagSent: sent = field->number() != 0; break;
      case TagSince: since = to_instant(field->number()); break;
      default: break;
    }
  }
  auto request = std::make_unique<CancelRequest>(host, address, std::move(key), server);
  request->started_at_ = since;
  request->sent_ = sent;
  request->stream_.assign(std::move(fd));
  request->stream_.attach(host.loop, host.buffers, *request);
  sent ? request->stream_.want_read(true) : request->stream_.want_write();
  return request;
}

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
