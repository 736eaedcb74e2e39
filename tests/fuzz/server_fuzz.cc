// A server that says anything at all, cut anywhere, at its login or after it, and leaves: the
// worker survives and holds nothing, and another client is answered through another server.
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "fuzz/pool_world.h"

using namespace doorman;

namespace {

constexpr std::size_t kMaxInput = 4096;
constexpr std::size_t kMostTurns = 120;  // in which the server says all it has to say

// Begins when it has been told something, and then does not listen.
class BadServer final : public fuzz::PlayedServer {
 public:
  BadServer(UniqueFd fd, std::string says, std::size_t step)
      : fd_(std::move(fd)), says_(std::move(says)), step_(step) {}

  bool go_on() override {
    char ignored[8192];
    const ssize_t got = ::recv(fd_.get(), ignored, sizeof ignored, MSG_DONTWAIT);
    if (got == 0) return false;
    begun_ = begun_ || got > 0;
    if (!begun_) return true;
    if (said_ == says_.size()) return false;
    const std::size_t size = std::min(step_, says_.size() - said_);
    const ssize_t sent = ::send(fd_.get(), says_.data() + said_, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return false;
    said_ += static_cast<std::size_t>(sent);
    return true;
  }

 private:
  UniqueFd fd_;
  std::string says_;
  std::size_t said_ = 0;
  std::size_t step_;
  bool begun_ = false;
};

void read_and_forget(const UniqueFd& fd) {
  char into[8192];
  while (::recv(fd.get(), into, sizeof into, MSG_DONTWAIT) > 0) {
  }
}

// By the end of a query or of the connection; what a bad server reported may make the good one
// refuse.
bool is_answered(const UniqueFd& fd) {
  std::string all(65536, '\0');
  const ssize_t got = ::recv(fd.get(), all.data(), all.size(), MSG_DONTWAIT | MSG_PEEK);
  all.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  const std::string ready = conversation::ready();
  const std::size_t welcomed = all.find(ready);
  const bool failed = all.find("SFATAL") != std::string::npos;
  return got == 0 || failed ||
         (welcomed != std::string::npos && all.find(ready, welcomed + 1) != std::string::npos);
}

void send_all(const UniqueFd& fd, const std::string& bytes) {
  CHECK(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(bytes.size()));
}

std::string login() { return wire::startup_message({{"user", "app"}, {"database", "shop"}}); }

// What the client asks of a bad server: each kind of reply is owed to it.
std::string questions() {
  using namespace conversation;
  return query("select 1") + parse("s", "select 2") + describe("s") + bind("s") + execute() +
         wire::sync() + query("copy t from stdin") + copy_data("1\n") + copy_done() +
         parse("", "select 3") + bind("") + execute() + wire::sync();
}

}  // namespace

// The first byte: whether the server logs its client in before it says the rest; and how that is
// cut.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > kMaxInput) return 0;
  fuzz::PoolWorld world;  // a new one, since what a server reports at its login is remembered
  std::string says;
  if ((data[0] & 1U) != 0) {
    says = wire::authentication(0, {}) + wire::parameter_status("client_encoding", "UTF8") +
           wire::backend_key_data("12345678") + wire::ready_for_query('I');
  }
  says += text_of(std::as_bytes(std::span(data + 1, size - 1)));
  const std::size_t step =
      std::max(std::size_t{1} << (data[0] >> 5U), says.size() / (kMostTurns / 2) + 1);

  const auto good = world.next_server;
  world.next_server = [&](UniqueFd fd) {
    return std::make_unique<BadServer>(std::move(fd), says, step);
  };
  {
    const UniqueFd client = world.client();
    send_all(client, login());
    world.turns(fuzz::PoolWorld::kTurns);
    ::send(client.get(), questions().data(), questions().size(),
           MSG_NOSIGNAL);  // it may have ended
    for (std::size_t i = 0; i < kMostTurns; ++i) {
      world.turns(1);
      read_and_forget(client);
    }
  }
  world.next_server = good;
  world.dismiss_servers();
  world.check_nothing_is_left();

  {
    const UniqueFd next = world.client();
    send_all(next, login() + conversation::query("select 1"));
    for (std::size_t i = 0; i < kMostTurns && !is_answered(next); ++i) world.turns(1);
    CHECK(is_answered(next));
  }
  world.check_nothing_is_left();
  return 0;
}
