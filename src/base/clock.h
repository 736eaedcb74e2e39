// Time as the program measures it: steady, in microseconds, read once per turn of a worker's loop.
#pragma once

#include <chrono>
#include <cstdint>

namespace doorman {

using Duration = std::chrono::microseconds;
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;

inline Instant clock_now() {
  return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
}

}  // namespace doorman
