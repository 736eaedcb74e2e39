// A client that says anything at all, cut anywhere, to a worker with a server that answers whatever
// it is asked: the worker survives, and holds nothing when both are gone.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "conversation/messages.h"
#include "daemon/worker.h"
#include "net/listener.h"
#include "net/resolver.h"
#include "session/cancel.h"
#include "session/passwords.h"
#include "wire/framer.h"

using namespace doorman;

namespace {

constexpr std::size_t kMaxInput = 4096;
constexpr std::size_t kTurns = 6;  // after each piece of the client's

// Answers each message as a server in its simplest mood would.
struct FakeServer {
  UniqueFd fd;
  std::string seen;
  bool started = false;

  bool answer() {
    char into[8192];
    const ssize_t got = ::recv(fd.get(), into, sizeof into, MSG_DONTWAIT);
    if (got == 0) return false;
    if (got > 0) seen.append(into, static_cast<std::size_t>(got));
    std::string out;
    if (!started && seen.size() >= 4 && seen.size() >= read_u32(bytes_of(seen).data())) {
      seen.erase(0, read_u32(bytes_of(seen).data()));
      started = true;
      out = wire::authentication(0, {}) + wire::parameter_status("client_encoding", "UTF8") +
            wire::backend_key_data("12345678") + wire::ready_for_query('I');
    }
    wire::Header header{};
    while (started && wire::peek(bytes_of(seen), header) == wire::Cut::Ready &&
           seen.size() >= header.total()) {
      out += answer_to(header.type);
      seen.erase(0, header.total());
    }
    return out.empty() ||
           ::send(fd.get(), out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
  }
  static std::string answer_to(char type) {
    using namespace conversation;
    switch (type) {
      case 'Q': return result("1") + ready();
      case 'F': return message('V', std::string("\xff\xff\xff\xff")) + ready();
      case 'P': return parse_complete();
      case 'B': return bind_complete();
      case 'C': return close_complete();
      case 'D': return no_data();
      case 'E': return executed("1");
      case 'S': return ready();
      default: return {};
    }
  }
};

class World {
 public:
  World() {
    log_detail::threshold = LogLevel::Error;
    std::string name = std::filesystem::temp_directory_path() / "doorman-fuzz-XXXXXX";
    CHECK(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
    const net::UnixListen where = {
        .path = folder_ + "/.s.PGSQL.5432", .mode = 0700, .group = {}, .backlog = 64};
    listener_ = net::listen_unix(where).take();
    auto config = config::parse("[databases]\nshop = host=" + folder_ +
                                    "\n[pg_doorman]\nauth_type=trust\npool_mode=transaction\n"
                                    "default_pool_size=1\nmax_prepared_statements=2\n"
                                    "listen_addr=*\nserver_login_retry=0\n",
                                "fuzz.ini");
    CHECK(config);
    auto rules = std::make_shared<session::Rules>();
    rules->config = std::make_shared<const config::Config>(config.take());
    rules->users = std::make_shared<const auth::Users>();
    worker_ = std::make_unique<daemon::Worker>(shared_, 0, all_, rules);
    all_.push_back(worker_.get());
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    worker_.reset();
    std::filesystem::remove_all(folder_);
  }

  void turns(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      worker_->turn(net::Wait::No);
      const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) servers_.push_back({.fd = UniqueFd(fd), .seen = {}});
      std::erase_if(servers_, [](FakeServer& each) { return !each.answer(); });
    }
  }

  // One client's whole life: its pieces, whatever it is answered, and its end.
  void talk(Bytes said, std::size_t step) {
    int both[2] = {-1, -1};
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) == 0);
    worker_->add_client(UniqueFd(both[1]), net::Address());
    UniqueFd client(both[0]);
    while (!said.empty()) {
      const Bytes piece = said.first(std::min(step, said.size()));
      if (::send(client.get(), piece.data(), piece.size(), MSG_NOSIGNAL) < 0) break;
      said = said.subspan(piece.size());
      turns(kTurns);
      char ignored[8192];
      if (::recv(client.get(), ignored, sizeof ignored, MSG_DONTWAIT) == 0) break;
    }
    client.reset();
    for (int i = 0; i < 200 && worker_->client_count() > 0; ++i) turns(1);
    turns(kTurns);
    CHECK(worker_->client_count() == 0);
    CHECK(worker_->buffers.lent() == 0);
    CHECK(shared_.cancel_keys.size() == 0);
  }

 private:
  std::string folder_;
  UniqueFd listener_;
  HelperThreads helpers_{1, "helper"};
  net::Resolver resolver_{{}};
  pool::Registry registry_{1};
  session::StatementRegistry statements_;
  session::CancelKeys cancel_keys_;
  session::PasswordWork passwords_{helpers_};
  session::Shared shared_{.registry = registry_,
                          .statements = statements_,
                          .cancel_keys = cancel_keys_,
                          .passwords = passwords_,
                          .resolver = resolver_};
  std::vector<daemon::Worker*> all_;
  std::unique_ptr<daemon::Worker> worker_;
  std::vector<FakeServer> servers_;
};

}  // namespace

// The first byte: whether the client logs in by itself or the bytes do it; and how they are cut.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > kMaxInput) return 0;
  static World world;
  std::string said;
  if ((data[0] & 1U) != 0) said = wire::startup_message({{"user", "app"}, {"database", "shop"}});
  said += text_of(std::as_bytes(std::span(data + 1, size - 1)));
  const std::size_t step = std::size_t{1} << (data[0] >> 5U);
  world.talk(bytes_of(said), said.size() > 40 * step ? said.size() / 40 + 1 : step);
  return 0;
}
