// What the two processes of an upgrade tell each other besides sessions, as records.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace doorman::daemon {

// The format of records: raised when one changes so that an older reader would misread it. New
// fields do not raise it, since readers skip what they do not know.
inline constexpr std::uint64_t kRecords = 1;
inline constexpr std::uint64_t kOldestRecords = 1;  // that we read, and that may read ours

struct Versions {
  std::string program;
  std::uint64_t records = 0;  // the newest that it writes
  std::uint64_t oldest = 0;   // the oldest that it reads
};
std::string save(const Versions& versions);
Result<Versions> load_versions(std::string_view record);
// An Error says why the two cannot work together.
Result<> compatible(const Versions& other);

struct Loss {
  std::size_t count = 0;
  std::string reason;  // of the first
};
std::string save(const Loss& loss);
Result<Loss> load_loss(std::string_view record);

// Descriptors that come with a message, by name.
std::string save_names(const std::vector<std::string>& names);
Result<std::vector<std::string>> load_names(std::string_view record);

struct Taken {
  std::size_t clients = 0;
  std::size_t servers = 0;
  std::set<std::uint64_t> refused;  // these stay
  std::string reason;
  std::string trial;  // names of the descriptors that come with it
};
std::string save(const Taken& taken);
Result<Taken> load_taken(std::string_view record);

}  // namespace doorman::daemon
