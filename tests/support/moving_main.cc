// pg_doorman whose sessions move: after every turn of a worker, clients are taken out with the
// servers that they hold, in the middle of whatever they do, written as records, and built again on
// another worker. Clients must not notice; the integration tests run through it.
#include <atomic>
#include <cstdio>
#include <random>
#include <vector>

#include "base/log.h"
#include "control/console.h"
#include "daemon/daemon.h"
#include "session/records.h"

namespace {

using namespace doorman;

daemon::Daemon* the_daemon = nullptr;
std::atomic<unsigned> moves = 0;
std::atomic<unsigned> busy_moves = 0;

void move_some(daemon::Worker& worker) {
  thread_local std::minstd_rand random(static_cast<unsigned>(worker.worker) + 1);
  const std::vector<daemon::Worker*>& workers = the_daemon->workers();
  std::vector<session::ClientSession*> chosen;
  worker.each_client([&](session::ClientSession& client) {
    const bool idle = client.state() == session::ClientState::Idle;
    if (random() % (idle ? 50 : 2) == 0) chosen.push_back(&client);
  });
  for (session::ClientSession* client : chosen) {
    const bool busy = client->server() != nullptr;
    auto image = session::SessionRecords::take_out(*client);
    if (!image) continue;  // it logs in, or ends
    ++moves;
    if (busy) ++busy_moves;
    daemon::Worker* to = workers[random() % workers.size()];
    to->post([to, taken = image.take()]() mutable {
      if (auto done = session::SessionRecords::put_in(*to, std::move(taken)); !done) {
        log(LogLevel::Error, "CHECK failed: a session could not be moved: {}",
            done.error().message);
      }
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 1;
  auto rules = daemon::load_rules(argv[1]);
  if (!rules) {
    std::fprintf(stderr, "%s\n", rules.error().message.c_str());
    return 1;
  }
  daemon::Daemon daemon({.config_path = argv[1]}, rules.take());
  the_daemon = &daemon;
  control::Console console(daemon);
  if (auto opened = daemon.open(console); !opened) {
    std::fprintf(stderr, "%s\n", opened.error().message.c_str());
    return 1;
  }
  daemon.visit_workers([](daemon::Worker& worker) { worker.after_turn = move_some; });
  const int status = daemon.run();
  log(LogLevel::Notice, "{} sessions were moved, {} of them with their servers", moves.load(),
      busy_moves.load());
  stop_log();
  return status;
}
