// Between a client's ReadyForQuery and its client: what the server listens to for it becomes the
// business of a hub. The client waits meanwhile.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "session/listen.h"

namespace doorman::session {

struct Handover {
  enum class Phase : std::uint8_t {
    Asks,   // which channels the server listens to
    Joins,  // a mark is awaited on both connections
    Notes,  // a mark is awaited on the ear: what the client notified itself has been heard by then
  };
  Phase phase = Phase::Asks;
  std::vector<std::string> channels;  // that the server listens to
  std::vector<std::string> added;     // those of them that are new
  std::string mark;                   // its number
  bool mark_is_here = false;          // on the server
  bool mark_is_there = false;         // on the ear
  bool failed = false;                // the question
  int questions = 0;
  Instant since{};
};

}  // namespace doorman::session
