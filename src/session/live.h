// Live: what is written down while the process runs, so that sessions outlive its death.
//
// A layer above implements it; a Host without one writes nothing. Called when what a session is
// has changed, before its client is told that it has, and never per query. Where a session stands
// at each moment is in its HotSlot.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "session/hot_slot.h"
#include "session/listen.h"
#include "session/statements.h"

namespace doorman::session {

class ClientSession;
class ServerSession;

class Live {
 public:
  // Its record is written, its socket is kept.
  virtual void logged_in(const ClientSession& client) = 0;
  virtual void logged_in(const ServerSession& server) = 0;
  virtual void parameters_changed(const ClientSession& client) = 0;
  virtual void statement_added(HotSlot& slot, const ClientStatement& statement) = 0;
  virtual void statement_removed(HotSlot& slot, const ClientStatement& statement) = 0;
  virtual void statements_cleared(HotSlot& slot) = 0;
  virtual void channels_added(const ClientSession& client, const Channels& added) = 0;
  virtual void channels_removed(const ClientSession& client, const Channels& gone) = 0;
  // Something else: the record is written anew.
  virtual void changed(const ClientSession& client) = 0;
  // A client's socket that is kept and has to end: a close alone would not end it.
  virtual void ended(UniqueFd fd) = 0;

  // From the worker.
  virtual void tick(Instant now) = 0;

 protected:
  ~Live() = default;
};

}  // namespace doorman::session
