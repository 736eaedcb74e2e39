// What a pool decides over, without sockets: servers, those who wait for them, and the hands of a
// worker, which only write down what they were asked for.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pool/pool.h"

namespace doorman::pool {

struct FakeServer final : Server {};

struct FakeWaiter final : Waiter {
  void served(Server& s) override { server = &s; }
  void refused(const std::string& error_message) override { refusal = error_message; }
  void waited_too_long() override {}
  Server* server = nullptr;
  std::string refusal;
};

struct Opened {
  ServerCharge charge;
  Charge connecting;
};

// One worker's part of a pool.
struct FakePart final : Hands {
  FakePart(SharedPool& shared, int worker) : pool(shared, worker, *this) {}

  void connect(Pool& /*pool*/, ServerCharge charge, Charge connecting) override {
    opened.push_back({std::move(charge), std::move(connecting)});
  }
  bool usable(Server& server) override { return &server != unusable; }
  void send_server(Pool& /*pool*/, Server& server, int worker) override {
    sent.emplace_back(&server, worker);
  }
  void poke(Pool& /*pool*/, int worker) override { poked.push_back(worker); }
  void make_room(Pool& /*pool*/) override { ++rooms_made; }
  void give_up(Server& server) override { given_up.push_back(&server); }
  void touched(Pool& /*pool*/) override { ++touches; }

  // The oldest attempt has ended well: its server keeps its slots.
  void one_is_connected() {
    for (Opened& each : opened) {
      if (!each.connecting) continue;
      each.connecting.reset();
      pool.connect_ended();
      return;
    }
  }
  // The newest attempt has failed.
  void one_has_failed(Instant retry_at, const std::string& error) {
    pool.shared().failed(error, retry_at);
    opened.pop_back();
    pool.connect_ended();
    pool.charge_returned();
  }
  void one_is_gone() {
    one_is_connected();
    opened.erase(opened.begin());
    pool.charge_returned();
  }

  Pool pool;
  std::vector<Opened> opened;
  std::vector<std::pair<Server*, int>> sent;
  std::vector<int> poked;
  std::vector<Server*> given_up;
  const Server* unusable = nullptr;
  int rooms_made = 0;
  int touches = 0;
};

struct OnePool {
  void serve() { part.pool.serve(now); }

  std::shared_ptr<DatabaseShare> database_share = std::make_shared<DatabaseShare>("shop");
  SharedPool shared{database_share, std::make_shared<UserShare>("app"), 1};
  DatabaseShare& database = shared.database;
  UserShare& user = shared.user;
  FakePart part{shared, 0};
  Instant now{std::chrono::hours(1)};
};

}  // namespace doorman::pool
