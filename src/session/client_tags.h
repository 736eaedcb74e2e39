// The fields of a client's record, for the files that write and read it.
#pragma once

#include <cstdint>

namespace doorman::session {

// Never use a number again for something else.
enum ClientTag : std::uint16_t {
  TagId = 1,
  TagState = 2,
  TagDatabase = 3,
  TagUser = 4,
  TagFramer = 5,
  TagDiscarding = 6,
  TagSkippingToSync = 7,
  TagInbox = 8,
  TagUnsent = 9,
  TagPeer = 10,
  TagCancelKey = 11,
  TagParameters = 12,
  TagStatement = 13,
  TagConnectedAt = 14,
  TagStateSince = 15,
  TagRequestAt = 16,
  TagTransactionAt = 17,
  TagQueryAt = 18,
  TagWaitingSince = 19,
  TagToldOfWaiting = 20,
  TagLoginUser = 40,  // as whom it came
  TagLogin = 41,      // behind its proof
  TagKeys = 42,       // what its user has proven
  // What it listens to.
  TagEncoding = 60,  // of the hub
  TagChannel = 61,   // in an idle client's record since version 2
  TagQueued = 62,    // a NotificationResponse; empty: a gap
  TagTransaction = 63,
  TagOfUnnamed = 64,
  TagOfPortal = 65,
  // Statements without a name, and what may be said again.
  TagUnnamed = 80,
  TagPortal = 81,
  TagSaid = 82,  // of a batch that may be said again; since version 2
  TagSaidWhole = 83,
};

}  // namespace doorman::session
