// Time as the program measures it: steady, in microseconds, read once per turn of a worker's loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>

namespace doorman {

using Duration = std::chrono::microseconds;
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// What std::chrono::steady_clock reads, without a call through libstdc++.
inline Instant clock_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return Instant(std::chrono::duration_cast<Duration>(std::chrono::seconds(now.tv_sec) +
                                                      std::chrono::nanoseconds(now.tv_nsec)));
}

}  // namespace doorman
