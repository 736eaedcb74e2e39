#include "auth/saslprep.h"

#include <idn-free.h>
#include <stringprep.h>

#include <algorithm>
#include <cstring>

#include "base/secret.h"

namespace doorman::auth {

namespace {

bool plain_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

std::string prepare_password(std::string_view password) {
  // Nothing to do for ASCII: its control characters are refused and so stay as they are.
  std::string original(password);
  if (plain_ascii(original) || original.find('\0') != std::string::npos) return original;

  char* prepared = nullptr;
  const int code =
      stringprep_profile(original.c_str(), &prepared, "SASLprep", STRINGPREP_NO_UNASSIGNED);
  if (code != STRINGPREP_OK || prepared == nullptr) return original;

  const std::size_t size = std::strlen(prepared);
  std::string result(prepared, size);
  wipe(std::as_writable_bytes(std::span(prepared, size)));
  idn_free(prepared);
  if (result.empty()) return original;
  wipe(original);
  return result;
}

}  // namespace doorman::auth
