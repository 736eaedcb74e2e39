// A startup packet's options: whatever is taken is given by its escaped form again.
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "wire/startup.h"

using namespace doorman;

namespace {

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == ' ' || (c >= '\t' && c <= '\r')) out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(text_of(std::as_bytes(std::span(data, size))));
  auto all = wire::parse_options(text);
  if (!all) {
    CHECK(!all.error().message.empty());
    return 0;
  }
  std::string again;
  for (const wire::Parameter& each : *all) {
    again += "-c " + escaped(each.name) + "=" + escaped(each.value) + " ";
  }
  auto twice = wire::parse_options(again);
  CHECK(twice && *twice == *all);
  return 0;
}
