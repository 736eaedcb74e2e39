// Whatever the text, it is a command, no command, or refused with words; blanks and semicolons
// around it change nothing; and a command that was understood is understood again when each of its
// arguments stands in quotes.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "control/command.h"
#include "control/courtesy.h"

namespace {

using namespace doorman::control;

std::string outcome(std::string_view text, const Parsed** understood = nullptr) {
  static Parsed last;
  auto words = words_of(text);
  if (!words) return "error " + words.error().message;
  std::string out = courtesy(*words) ? "courtesy " : "";
  auto found = parse_command(*words);
  if (const auto* refusal = std::get_if<Refusal>(&found)) {
    CHECK(!refusal->message.empty() && refusal->sqlstate.size() == 5);
    return out + refusal->message;
  }
  last = *std::get_if<Parsed>(&found);
  if (last.command == nullptr) return out + "nothing";
  for (const std::string& argument : last.arguments) {
    out += std::to_string(argument.size()) + ":" + argument;
  }
  if (understood != nullptr) *understood = &last;
  return out + std::string(last.command->name);
}

std::string quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote) out += quote;
    out += c;
  }
  return out + quote;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const Parsed* understood = nullptr;
  const std::string first = outcome(text, &understood);
  if (understood != nullptr) {
    const Parsed command = *understood;
    std::string again(command.command->name);
    for (std::size_t i = 0; i < command.arguments.size(); ++i) {
      if (i == 1) again += " =";
      again += " " + quoted(command.arguments[i], i == 0 ? '"' : '\'');
    }
    const Parsed* second = nullptr;
    outcome(again, &second);
    CHECK(second != nullptr && second->command == command.command);
    CHECK(second->arguments == command.arguments);
  }
  // A comment or a quote that is open at the end would take in what is added there.
  CHECK(outcome(" \n" + text) == first);
  if (!first.starts_with("error ")) CHECK(outcome(text + "\n ; ") == first);
  return 0;
}
