// What we read of a server's errors, and the reader below it: never past the end, whatever comes.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"
#include "wire/error_response.h"
#include "wire/framer.h"
#include "wire/message_reader.h"

using namespace doorman;

namespace {

// Reads fields as the bytes of `script` say.
void read_fields(Bytes body, Bytes script) {
  wire::MessageReader reader(body);
  for (const std::byte each : script) {
    const auto kind = std::to_integer<unsigned>(each);
    const std::size_t before = reader.rest().size();
    switch (kind % 5) {
      case 0: reader.byte(); break;
      case 1: reader.u16(); break;
      case 2: reader.u32(); break;
      case 3: reader.text(); break;
      default: reader.raw(kind / 5);
    }
    CHECK(reader.rest().size() <= before);
    CHECK(!reader.failed() || reader.at_end());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::unique_ptr<std::byte[]> exact(new std::byte[size]);
  std::copy_n(std::as_bytes(std::span(data, size)).begin(), size, exact.get());
  const Bytes body(exact.get(), size);
  read_fields(body.subspan(size / 2), body.first(size / 2));

  const std::string fatal = wire::as_fatal(body);
  wire::Header header{};
  CHECK(wire::peek(bytes_of(fatal), header) == wire::Cut::Ready && header.total() == fatal.size());
  const Bytes made = bytes_of(fatal).subspan(wire::kHeaderSize);
  for (const char field : {'C', 'M', 'D'}) {
    CHECK(wire::error_field(made, field) == wire::error_field(body, field));
  }
  CHECK(wire::as_fatal(made) == fatal);
  return 0;
}
