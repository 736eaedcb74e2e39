// The life of a server connection.
//
//   Resolving ─▶ Connecting ─▶ LoggingIn ─▶ Idle ◀──────────────┐
//                                  │         │ ▲               │
//                                  ▼         ▼ │ came back     │ clean
//                               Cleaning ─▶ Active ─▶ Cleaning ┘ dirty, or in need of a check
//   Idle, Active ─▶ Listening ─▶ Cleaning, as a hub's ear
//   every state ─▶ Closing
#pragma once

#include <cstdint>
#include <string_view>

#include "session/state_table.h"

namespace doorman::session {

enum class ServerState : std::uint8_t {
  Resolving,   // the host's name is being looked up
  Connecting,  // connect() is under way
  LoggingIn,   // start-up and authentication, up to the first ReadyForQuery
  Idle,        // in its pool, for anyone
  Active,      // linked with a client
  Cleaning,    // runs queries of our own: a reset, a check, connect_query
  Cancelling,  // clean, but a cancel request for its last query may still arrive
  Closing,     // deleted at the end of the loop's turn
  Listening,   // hears the notifications for a hub's clients
};

constexpr bool is_successor(ServerState from, ServerState to) {
  using enum ServerState;
  if (to == Closing) return from != Closing;
  switch (from) {
    case Resolving: return to == Connecting;
    case Connecting: return to == LoggingIn || to == Connecting || to == Resolving;
    case LoggingIn: return to == Idle || to == Cleaning || to == Connecting || to == Resolving;
    case Idle: return to == Active || to == Cleaning || to == Listening;
    case Active: return to == Idle || to == Cleaning || to == Cancelling || to == Listening;
    case Listening: return to == Idle || to == Cleaning;
    case Cleaning: return to == Idle || to == Cancelling;
    case Cancelling: return to == Idle;
    case Closing: return false;
  }
  return false;
}

constexpr bool logged_in(ServerState state) {
  using enum ServerState;
  return state == Idle || state == Active || state == Cleaning || state == Cancelling ||
         state == Listening;
}

inline constexpr auto kServerSuccessors = successors<ServerState>(is_successor);

constexpr bool may_follow(ServerState from, ServerState to) {
  return has_successor<ServerState>(kServerSuccessors, from, to);
}

constexpr std::string_view name_of(ServerState state) {
  using enum ServerState;
  switch (state) {
    case Resolving:
    case Connecting:
    case LoggingIn: return "new";
    case Idle: return "idle";
    case Active: return "active";
    case Cleaning: return "tested";
    case Cancelling: return "being_canceled";
    case Closing: return "closing";
    case Listening: return "listening";
  }
  return "";
}

}  // namespace doorman::session
