// The steps of an upgrade by name, so that tests can make a process fail at exactly one of them.
#pragma once

namespace doorman::handoff {

// Null in the program; the test program pg_doorman_faulty sets it.
inline void (*at_step)(const char* step) = nullptr;

inline void reached(const char* step) {
  if (at_step != nullptr) at_step(step);
}

}  // namespace doorman::handoff
