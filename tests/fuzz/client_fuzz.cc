// A client that says anything at all, cut anywhere, to a worker with a server that answers whatever
// it is asked: the worker survives, and holds nothing when both are gone.
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "fuzz/pool_world.h"

using namespace doorman;

namespace {

constexpr std::size_t kMaxInput = 4096;

// One client's whole life: its pieces, whatever it is answered, and its end.
void talk(fuzz::PoolWorld& world, Bytes said, std::size_t step) {
  UniqueFd client = world.client();
  while (!said.empty()) {
    const Bytes piece = said.first(std::min(step, said.size()));
    if (::send(client.get(), piece.data(), piece.size(), MSG_NOSIGNAL) < 0) break;
    said = said.subspan(piece.size());
    world.turns(fuzz::PoolWorld::kTurns);
    char ignored[8192];
    if (::recv(client.get(), ignored, sizeof ignored, MSG_DONTWAIT) == 0) break;
  }
  client.reset();
  world.check_nothing_is_left();
}

}  // namespace

// The first byte: whether the client logs in by itself or the bytes do it; and how they are cut.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > kMaxInput) return 0;
  static fuzz::PoolWorld world;
  std::string said;
  if ((data[0] & 1U) != 0) said = wire::startup_message({{"user", "app"}, {"database", "shop"}});
  said += text_of(std::as_bytes(std::span(data + 1, size - 1)));
  const std::size_t step = std::size_t{1} << (data[0] >> 5U);
  talk(world, bytes_of(said), said.size() > 40 * step ? said.size() / 40 + 1 : step);
  return 0;
}
