// Several workers that share one pool, under a clock of the test's own: nobody gets a server before
// another who has waited more than kAcrossWorkers longer.
//
// Real Pools decide. What the daemon does between them is played here: a worker's turn, after which
// its pool serves; servers and pokes that reach another worker in one of its next turns; queries
// that last for a while and give their servers back. All of it is drawn from a seed, so that each
// run is the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "pool/pool.h"

namespace doorman::pool {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

struct World;

struct SimulatedServer final : Server {
  std::unique_ptr<ServerCharge> charge;
};

struct SimulatedClient final : Waiter {
  void served(Server& server) override;
  void refused(const std::string& /*error_message*/) override { FAIL() << "refused"; }
  void waited_too_long() override { FAIL() << "waited too long"; }

  World* world = nullptr;
  int worker = 0;
  Server* server = nullptr;
  Instant until{};  // its query's end, or its next query
};

struct SimulatedWorker final : Hands {
  SimulatedWorker(World& w, SharedPool& shared, int number)
      : world(w), pool(shared, number, *this) {}

  void connect(Pool& pool, ServerCharge charge, Charge connecting) override;
  bool usable(Server& /*server*/) override { return true; }
  void send_server(Pool& pool, Server& server, int worker) override;
  void poke(Pool& pool, int worker) override;
  void make_room(Pool& /*pool*/) override {}
  void give_up(Server& /*server*/) override { FAIL() << "no other pool starves"; }
  void touched(Pool& /*pool*/) override { is_touched = true; }

  World& world;
  Pool pool;
  bool is_touched = false;
  Instant next_turn{};
  std::deque<Server*> arriving;  // servers sent to this worker
  bool poked = false;
};

struct Plan {
  unsigned seed;
  int workers;
  int servers;
  int clients;
  int on_first;  // of a hundred clients, so many live on the first worker
};

struct World {
  explicit World(const Plan& p) : plan(p), draw(p.seed) {
    for (int i = 0; i < p.workers; ++i) {
      workers.push_back(std::make_unique<SimulatedWorker>(*this, shared, i));
      workers.back()->pool.limits.pool_size = p.servers;
      workers.back()->pool.limits.connect_parallel = p.servers;
    }
    for (int i = 0; i < p.clients; ++i) {
      clients.push_back(std::make_unique<SimulatedClient>());
      clients.back()->world = this;
      const bool first = upto(100) <= p.on_first;
      clients.back()->worker = first ? 0 : upto(p.workers) - 1;
      clients.back()->until = now + microseconds(upto(3000));
    }
  }

  int upto(int most) { return std::uniform_int_distribution<>(1, most)(draw); }
  SimulatedWorker& of(const SimulatedClient& client) {
    return *workers[static_cast<std::size_t>(client.worker)];
  }

  // Nobody may be passed over: those who have waited so much longer must have a server on its way.
  void check(const SimulatedClient& served) {
    ++grants;
    for (auto& worker : workers) {
      std::size_t on_their_way = worker->arriving.size();
      worker->pool.waiting().each([&](Waiter& other) {
        if (on_their_way > 0) {
          --on_their_way;
        } else {
          worst = std::max(worst, served.waiting_since - other.waiting_since);
        }
      });
    }
  }

  void turn(SimulatedWorker& worker, int number) {
    while (!worker.arriving.empty()) {
      Server* server = worker.arriving.front();
      worker.arriving.pop_front();
      worker.pool.add_idle(*server, now);
    }
    if (std::exchange(worker.poked, false)) worker.pool.touch();
    for (auto& client : clients) {
      if (client->worker == number && client->until <= now) go_on(*client);
    }
    if (worker.is_touched) {
      worker.is_touched = false;
      worker.pool.serve(now);
    }
    worker.next_turn = now + microseconds(20 + upto(180));
  }

  void go_on(SimulatedClient& client) {
    if (client.server != nullptr) {
      of(client).pool.add_idle(*std::exchange(client.server, nullptr), now);
      client.until = now + microseconds(upto(2000));
      return;
    }
    client.until = Instant::max();
    client.waiting_since = now;
    Server* server = of(client).pool.take_now(now);
    server != nullptr ? client.served(*server) : of(client).pool.wait(client, now);
  }

  void run(Duration length) {
    const Instant end = now + length;
    for (; now < end; now += microseconds(10)) {
      for (std::size_t i = 0; i < workers.size(); ++i) {
        if (workers[i]->next_turn <= now) turn(*workers[i], static_cast<int>(i));
      }
    }
  }

  const Plan plan;
  std::mt19937 draw;
  Instant now{std::chrono::hours(1)};
  SharedPool shared{std::make_shared<DatabaseShare>("shop"), std::make_shared<UserShare>("app"),
                    plan.workers};
  std::vector<std::unique_ptr<SimulatedServer>> servers;
  std::vector<std::unique_ptr<SimulatedClient>> clients;
  std::vector<std::unique_ptr<SimulatedWorker>> workers;
  int grants = 0;
  int moves = 0;
  Duration worst{};  // how much longer somebody had waited who was passed over
};

void SimulatedClient::served(Server& given) {
  world->check(*this);
  server = &given;
  // Short queries end together now and then, long ones keep a server busy.
  const int kind = world->upto(10);
  until = world->now + microseconds(kind <= 7 ? world->upto(300) : world->upto(6000));
}

void SimulatedWorker::connect(Pool& /*pool*/, ServerCharge charge, Charge /*connecting*/) {
  world.servers.push_back(std::make_unique<SimulatedServer>());
  world.servers.back()->charge = std::make_unique<ServerCharge>(std::move(charge));
  arriving.push_back(world.servers.back().get());
  pool.connect_ended();
}

void SimulatedWorker::send_server(Pool& /*pool*/, Server& server, int worker) {
  ++world.moves;
  world.workers[static_cast<std::size_t>(worker)]->arriving.push_back(&server);
}

void SimulatedWorker::poke(Pool& /*pool*/, int worker) {
  world.workers[static_cast<std::size_t>(worker)]->poked = true;
}

TEST(Fairness, NobodyIsPassedOverByMoreThanAMillisecond) {
  for (const Plan& plan : {Plan{1, 2, 1, 12, 0}, Plan{2, 2, 4, 40, 0}, Plan{3, 2, 4, 40, 80},
                           Plan{4, 4, 3, 40, 50}, Plan{5, 4, 8, 80, 0}, Plan{6, 2, 12, 90, 90}}) {
    World world(plan);
    world.run(std::chrono::seconds(1));
    EXPECT_LE(world.worst, Pool::kAcrossWorkers) << "seed " << plan.seed;
    EXPECT_GT(world.grants, 500) << "seed " << plan.seed;
    EXPECT_GT(world.moves, 10) << "seed " << plan.seed;
    EXPECT_LE(world.servers.size(), static_cast<std::size_t>(plan.servers));
  }
}

}  // namespace
}  // namespace doorman::pool
