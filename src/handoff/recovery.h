// Recovery: clients that outlived a process which died, built again by the rules of a crash.
//
// A client that was idle goes on as if nothing had happened. One that was inside a query or a
// transaction, or waited for a server, gets one error and is closed where it is known which byte it
// has to get next; where that is not known it is closed without a word: never a wrong answer.
// Servers do not outlive the process; what they ran is cancelled, so that PostgreSQL rolls it back.
#pragma once

#include <vector>

#include "handoff/live_stash.h"
#include "handoff/stash.h"
#include "session/host.h"

namespace doorman::handoff {

enum class Fate : std::uint8_t {
  GoesOn,
  ToldUnknown,  // 08007: a commit may have been under way
  ToldLost,     // 57P01: nothing of it can have been committed meanwhile
  Closed,
};

// `server`: of the server that it was linked with; null: none, or nothing is known of it.
Fate fate_of(const session::HotSlot& client, const session::HotSlot* server);

struct Recovered {
  std::size_t clients = 0;  // that go on
  std::size_t told = 0;
  std::size_t closed = 0;
  std::size_t cancelled = 0;  // servers that ran something
};

// What becomes of the stash that is read: the hosts go on with it, or it is left as it is, for the
// case that this process dies meanwhile.
enum class ThisStash : std::uint8_t { GoesOn, IsLeft };

// On the main thread, while no worker runs; clients are spread over `hosts`.
Recovered recover(StashReader& reader, KeptStatements& statements,
                  const std::vector<session::Host*>& hosts, ThisStash then = ThisStash::GoesOn);

}  // namespace doorman::handoff
