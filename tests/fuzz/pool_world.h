// A worker in this process with one pool of one server, and the servers that it meets, which the
// fuzz target plays.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
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

namespace doorman::fuzz {

class PlayedServer {
 public:
  PlayedServer() = default;
  PlayedServer(const PlayedServer&) = delete;
  PlayedServer& operator=(const PlayedServer&) = delete;
  virtual ~PlayedServer() = default;
  virtual bool go_on() = 0;  // once per turn; false: it leaves
};

// Answers each message as a server in its simplest mood would.
class GoodServer final : public PlayedServer {
 public:
  explicit GoodServer(UniqueFd f) : fd(std::move(f)) {}

  bool go_on() override {
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

 private:
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

  UniqueFd fd;
  std::string seen;
  bool started = false;
};

class PoolWorld {
 public:
  PoolWorld() {
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
  PoolWorld(const PoolWorld&) = delete;
  PoolWorld& operator=(const PoolWorld&) = delete;
  ~PoolWorld() {
    worker_.reset();
    std::filesystem::remove_all(folder_);
  }

  void turns(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      worker_->turn(net::Wait::No);
      const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) servers_.push_back(next_server(UniqueFd(fd)));
      std::erase_if(servers_, [](const auto& each) { return !each->go_on(); });
    }
  }

  // All of them leave.
  void dismiss_servers() {
    servers_.clear();
    turns(kTurns);
  }

  UniqueFd client() {
    int both[2] = {-1, -1};
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) == 0);
    worker_->add_client(UniqueFd(both[1]), net::Address());
    return UniqueFd(both[0]);
  }

  // Until all clients have gone, who left nothing.
  void check_nothing_is_left() {
    for (int i = 0; i < 200 && worker_->client_count() > 0; ++i) turns(1);
    turns(kTurns);
    CHECK(worker_->client_count() == 0);
    CHECK(worker_->buffers.lent() == 0);
    CHECK(shared_.cancel_keys.size() == 0);
  }

  static constexpr std::size_t kTurns = 6;  // for what one of the others has said

  std::function<std::unique_ptr<PlayedServer>(UniqueFd)> next_server = [](UniqueFd fd) {
    return std::make_unique<GoodServer>(std::move(fd));
  };

 private:
  std::string folder_;
  UniqueFd listener_;
  HelperThreads helpers_{1, "helper"};
  net::Resolver resolver_{{}};
  pool::Registry registry_{1, session::CommonPart::maker(shared_)};
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
  std::vector<std::unique_ptr<PlayedServer>> servers_;
};

}  // namespace doorman::fuzz
