#include "auth/saslprep.h"

#include <stringprep.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/secret.h"

namespace doorman::auth {

namespace {

// libidn's profile with the normalisation last: PostgreSQL looks for what is forbidden before it
// normalises, and RFC 4013 afterwards. They differ for U+0340, say; PostgreSQL made the verifiers.
// Known to be left: five ideographs (U+2F868, U+2F874, U+2F91F, U+2F95F, U+2F9BF) whose normal form
// Unicode corrected (Corrigendum 4) after the version that libidn keeps to.
std::vector<Stringprep_table> make_profile() {
  std::vector<Stringprep_table> steps;
  Stringprep_table normalise = {};
  const Stringprep_table* step = stringprep_saslprep;
  for (; step->operation != 0; ++step) {
    if (step->operation == STRINGPREP_NFKC) {
      normalise = *step;
    } else {
      steps.push_back(*step);
    }
  }
  steps.push_back(normalise);
  steps.push_back(*step);
  return steps;
}

bool plain_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// `text` with SASLprep applied; empty if it is refused.
std::string prepared(std::string_view text) {
  static const std::vector<Stringprep_table> profile = make_profile();
  for (std::size_t room = text.size() * 2 + 64;; room *= 2) {
    std::string buffer(room, '\0');
    std::copy(text.begin(), text.end(), buffer.begin());
    const int code =
        stringprep(buffer.data(), buffer.size(), STRINGPREP_NO_UNASSIGNED, profile.data());
    if (code == STRINGPREP_OK) {
      buffer.resize(std::strlen(buffer.c_str()));
      return buffer;
    }
    wipe(buffer);
    if (code != STRINGPREP_TOO_SMALL_BUFFER) return {};
  }
}

}  // namespace

std::string prepare_password(std::string_view password) {
  // Nothing to do for ASCII: its control characters are refused and so stay as they are.
  if (plain_ascii(password) || password.find('\0') != std::string_view::npos)
    return std::string(password);
  std::string result = prepared(password);
  if (result.empty()) result = password;
  return result;
}

}  // namespace doorman::auth
