#include "base/log.h"

#include <cstdio>

namespace doorman::log_detail {

void write(LogLevel level, std::string line) {
  static constexpr const char* kNames[] = {"ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"};
  std::fprintf(stderr, "%s %s\n", kNames[static_cast<int>(level)], line.c_str());
}

}  // namespace doorman::log_detail
