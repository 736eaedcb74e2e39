// The startup packet: its length is known from four bytes, and what is taken can be written again.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"
#include "wire/startup.h"

using namespace doorman;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  auto length = wire::startup_length(input);
  if (!length || !*length) return 0;
  CHECK(**length >= 8 && **length <= wire::kMaxStartupLength);
  if (input.size() < **length) return 0;
  // Of its exact size, so that a sanitizer sees every byte that is read too far.
  const std::unique_ptr<std::byte[]> exact(new std::byte[**length]);
  std::copy_n(input.begin(), **length, exact.get());
  auto packet = wire::parse_startup({exact.get(), **length});
  if (!packet) {
    CHECK(!packet.error().message.empty());
    return 0;
  }
  if (auto* startup = std::get_if<wire::Startup>(&*packet)) {
    wire::negotiate_protocol_version(wire::kNewestMinor, startup->unknown_options);
    const std::string again = wire::startup_message(startup->parameters);
    auto twice = wire::parse_startup(bytes_of(again));
    CHECK(twice && std::get<wire::Startup>(*twice).parameters == startup->parameters);
  }
  return 0;
}
