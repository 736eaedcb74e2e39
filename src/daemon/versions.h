// What the two processes of an upgrade tell each other besides sessions, as records.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace doorman::daemon {

// What a program says of itself; of the form of records see base/record.h.
struct Versions {
  std::string program;
  std::uint64_t records = 0;      // the newest version: what it writes
  std::uint64_t oldest = 0;       // the oldest version that it reads
  std::uint64_t readable_by = 0;  // the oldest version that may read what it writes
};
Versions our_versions();
std::string save(const Versions& versions);
Result<Versions> load_versions(std::string_view record);
// An Error says why one cannot read what the other writes.
Result<> can_read(const Versions& reader, const Versions& writer);

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
