// What a client in transaction mode listens to.
#pragma once

#include <memory>
#include <string>

#include "session/listen.h"
#include "session/listen_steps.h"

namespace doorman::session {

class ClientListening {
 public:
  ClientListening(ListenHub& hub, SubscriberRef s)
      : subscriber(std::move(s)), pool_(hub.pool.shared_from_this()), hub_(hub) {}
  ~ClientListening() {
    if (subscriber) hub_.leave(*subscriber);
  }
  ClientListening(const ClientListening&) = delete;
  ClientListening& operator=(const ClientListening&) = delete;

  ListenHub& hub() const { return hub_; }

  SubscriberRef subscriber;  // null: it has gone elsewhere
  Channels channels;         // those of which the client knows that it listens to them
  ListenTransaction transaction;
  ListenStepsRef of_unnamed;  // of the unnamed statement
  ListenStepsRef of_portal;   // of what was bound last

  // Ends what the transaction has unlistened, but for what the server listens to nevertheless: that
  // was listened to again. Returns what has ended.
  Channels unlisten(const std::vector<std::string>& listened_anew);

 private:
  const std::shared_ptr<pool::SharedPool> pool_;  // the hub ends with it
  ListenHub& hub_;
};

}  // namespace doorman::session
