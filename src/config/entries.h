// Lines of [databases], [users] and [peers]: from name and connection string to checked values.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace doorman::config {

// What there is to say about one line; whoever knows where it stands adds that.
struct Remarks {
  std::vector<std::string> problems;  // it cannot be accepted
  std::vector<std::string> notices;   // it can, but for these keys nothing is done
};

Database read_database(const std::string& name, std::string_view text, Remarks& remarks);
User read_user(const std::string& name, std::string_view text, Remarks& remarks);
void check_peer(const std::string& name, std::string_view text, Remarks& remarks);

// Their keys, for the check of the manual page.
std::span<const std::string_view> database_keys();
std::span<const std::string_view> user_keys();
std::span<const std::string_view> peer_keys();

}  // namespace doorman::config
