// The life of a client connection.
//
//   Startup ─▶ Authenticating ─▶ Waiting ─▶ Preparing ─▶ Active ─▶ Idle
//                     │             ▲  └──────────┬────────▲        │
//                     │             └─────────────┼────────┼────────┤ first message of a
//                     └───────────────────────────┴────────┴──▶ Idle┘ transaction
//   every state ─▶ Closing
//
// A plain value on purpose: it is logged, counted, shown to the operator, and written out when
// the session is handed to the next process.
#pragma once

#include <cstdint>
#include <string_view>

#include "session/state_table.h"

namespace doorman::session {

enum class ClientState : std::uint8_t {
  Startup,         // reading SSLRequest, CancelRequest or StartupMessage
  Authenticating,  // in the middle of an auth exchange
  Idle,            // logged in, no server
  Waiting,         // queued for a server: has sent a query, or its login needs one
  Preparing,       // holds a server, which takes over its parameters, or hands over its channels
  Active,          // holds a server, messages flow
  Console,         // logged in to the local database
  Closing,         // nothing more is read; deleted at the end of the loop's turn
};

constexpr bool has_server(ClientState state) {
  return state == ClientState::Preparing || state == ClientState::Active;
}

constexpr bool is_successor(ClientState from, ClientState to) {
  using enum ClientState;
  if (to == Closing) return from != Closing;
  switch (from) {
    case Startup: return to == Authenticating;
    case Authenticating: return to == Idle || to == Waiting || to == Console;
    case Idle: return to == Waiting || to == Preparing || to == Active;
    case Waiting: return to == Preparing || to == Active || to == Idle;
    case Preparing: return to == Active || to == Idle;
    case Active: return to == Idle || to == Preparing;
    case Console:
    case Closing: return false;
  }
  return false;
}

inline constexpr auto kClientSuccessors = successors<ClientState>(is_successor);

constexpr bool may_follow(ClientState from, ClientState to) {
  return has_successor<ClientState>(kClientSuccessors, from, to);
}

constexpr std::string_view name_of(ClientState state) {
  using enum ClientState;
  switch (state) {
    case Startup:
    case Authenticating: return "login";
    case Waiting: return "waiting";
    case Preparing:
    case Active: return "active";
    case Idle:
    case Console: return "idle";
    case Closing: return "closing";
  }
  return "";
}

}  // namespace doorman::session
