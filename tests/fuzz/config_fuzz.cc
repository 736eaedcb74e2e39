// Whatever the text, parse() ends with a Config or with problems that can be shown line by line;
// carriage returns and blanks at the ends of lines change nothing.

#include <string>
#include <string_view>

#include "config/config.h"

namespace {

using doorman::config::parse;

// All that was found, as text that can be compared.
std::string outcome(std::string_view text) {
  auto config = parse(text, "f");
  if (!config) return "error " + config.error().message;
  std::string all;
  for (const auto& shown : show(config->settings)) all += shown.key + "=" + shown.value + "\n";
  for (const auto& [name, database] : config->databases) {
    CHECK(name == database.name && !name.empty());
    all += name + " at " + database.dbname + " " + database.password.value_or("") + "\n";
  }
  for (const auto& [name, user] : config->users) all += name + "\n";
  for (const std::string& notice : config->notices) all += notice + "\n";
  return all;
}

std::string with_line_ends(std::string_view text, std::string_view end) {
  std::string changed;
  for (const char c : text) {
    if (c == '\n') changed += end;
    changed += c;
  }
  return changed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // Other files are not the fuzzer's to read.
  if (text.find("%include") != std::string_view::npos) return 0;
  const std::string expected = outcome(text);
  CHECK(expected != "error ");
  CHECK(outcome(with_line_ends(text, " \t\r")) == expected);
  return 0;
}
