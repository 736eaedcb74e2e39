#include "base/secret.h"

#include <cstring>

namespace doorman {

void wipe(std::span<std::byte> bytes) {
  if (!bytes.empty()) ::explicit_bzero(bytes.data(), bytes.size());
}

void wipe(std::string& text) {
  text.resize(text.capacity());  // never reallocates, so these are still the bytes of the secret
  wipe(std::as_writable_bytes(std::span(text)));
  text.clear();
}

}  // namespace doorman
