// A list of users that was read is the same list after it was written out and read again.

#include <string>

#include "auth/users.h"

namespace {

std::string quoted(std::string_view field) {
  std::string text = "\"";
  for (const char c : field) {
    text += c;
    if (c == '"') text += c;
  }
  return text + '"';
}

std::string written(const doorman::auth::Users& users) {
  std::string text;
  for (const auto name : users.names()) {
    const doorman::auth::Secret* secret = users.find(name);
    CHECK(secret != nullptr);
    text += quoted(name) + ' ' + quoted(secret->text) + '\n';
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto users = doorman::auth::Users::parse(text, "fuzz");
  if (!users) {
    CHECK(users.error().message.starts_with("fuzz:"));
    return 0;
  }
  const std::string once = written(*users);
  auto again = doorman::auth::Users::parse(once, "again");
  CHECK(again);
  CHECK(again->size() == users->size());
  CHECK(written(*again) == once);
  return 0;
}
