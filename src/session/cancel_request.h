// CancelRequest: a short connection to a server that tells it to cancel what one of its sessions
// runs. It is done when the server closes it: by then the signal has been sent.
//
// Protocol: PostgreSQL documentation, "Canceling Requests in Progress".
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/address.h"
#include "net/stream.h"
#include "session/host.h"

namespace doorman::session {

class CancelRequest final : private net::EventHandler {
 public:
  // `server`: which server is to be told when this is over; 0: none.
  CancelRequest(Host& host, const net::Address& address, std::string key, std::uint64_t server);

  // One that another process had begun, from its record.
  static Result<std::unique_ptr<CancelRequest>> restored(Host& host, std::string_view record,
                                                         UniqueFd fd);
  std::string save() const;
  int fd() const { return stream_.fd(); }
  // Another process goes on with it.
  void let_go() {
    stream_.release().reset();
    over_ = true;
  }

  // False: it could not even begin, and is over.
  bool start();
  bool over() const { return over_; }
  Instant started_at() const { return started_at_; }
  std::uint64_t server() const { return server_; }
  void give_up() { over_ = true; }

 private:
  void on_event(short what) override;

  Host& host_;
  const net::Address address_;
  const std::string key_;
  const std::uint64_t server_;
  Instant started_at_;
  net::Stream stream_{UniqueFd()};
  bool sent_ = false;
  bool over_ = false;
};

}  // namespace doorman::session
