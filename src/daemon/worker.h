// Worker: one thread, one event loop, and the sessions that live there.
//
// The order of its turn is the order of the program (run()): sessions read, parse and decide; those
// whose server became ready go on; free servers meet those who wait; what has closed is deleted,
// here and nowhere else. Other threads reach a worker through post() only.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/mailbox.h"
#include "net/event.h"
#include "pool/pool.h"
#include "session/cancel.h"
#include "session/cancel_request.h"
#include "session/client.h"
#include "session/host.h"
#include "session/pool_part.h"
#include "session/server.h"

namespace doorman::daemon {

class Worker final : public session::Host, private pool::Hands, private net::EventHandler {
 public:
  Worker(session::Shared& shared, int index, std::vector<Worker*>& all, session::RulesRef first);
  ~Worker();

  // Until stop() has been called. On a thread of its own, or the caller's.
  void run();
  // One turn of it, for tests.
  void turn(net::Wait wait);
  void stop();  // any thread
  // How many turns there have been; at least one per kTick, unless the loop hangs.
  std::uint64_t turns() const { return turns_.load(std::memory_order_relaxed); }

  // Called at the end of each turn, when sessions may be taken out; for tests that move them.
  void (*after_turn)(Worker& worker) = nullptr;

  // Runs `work` once, at the end of this turn, when nothing is under way in any session; on this
  // worker's thread.
  void at_end_of_turn(Task work) { last_of_turn_ = std::move(work); }
  // Runs what others have posted; for who stands still.
  void take_mail();

  // A connection that was accepted; on this worker's thread. Its first packet can be read at once
  // by the loop only, whose turn takes up what was read.
  using FirstPacket = session::ClientSession::FirstPacket;
  void add_client(UniqueFd fd, const net::Address& peer, FirstPacket first = FirstPacket::ToCome);
  std::size_t client_count() const { return client_count_.load(std::memory_order_relaxed); }

  // New rules are in force; on this worker's thread.
  void apply(session::RulesRef changed);
  // Ends idle clients now, the others at the end of their transactions.
  void drain();
  // Ends everybody with 57P01.
  void end_all(std::string_view reason);

  template <class Visit>
  void each_pool(Visit visit) {
    for (auto& [name, part] : parts_) visit(*part);
  }
  template <class Visit>
  void each_client(Visit visit) {
    for (auto& [id, client] : clients_) visit(*client);
  }
  template <class Visit>
  void each_server(Visit visit) {
    for (auto& [id, server] : servers_) visit(*server);
  }
  template <class Visit>
  void each_cancel(Visit visit) {
    for (auto& request : cancel_requests_) visit(*request);
  }
  // Without those of the console.
  std::size_t pool_clients() const;
  std::size_t cancel_requests() const { return cancel_requests_.size(); }
  std::size_t server_count() const { return servers_.size(); }

  // session::Host
  session::PoolPart* pool_part(const std::string& database, const std::string& user) override;
  void adopt(std::unique_ptr<session::ServerSession> server) override;
  void adopt(std::unique_ptr<session::ClientSession> client) override;
  void adopt(std::unique_ptr<session::CancelRequest> request) {
    cancel_requests_.push_back(std::move(request));
  }
  void reap(session::ClientSession& client) override { dead_clients_.push_back(client.id()); }
  void reap(session::ServerSession& server) override { dead_servers_.push_back(server.id()); }
  void wake(session::ClientSession& client) override;
  void post(Task task) override { mailbox_.post(std::move(task)); }
  session::ClientSession* find_client(std::uint64_t id) override;
  session::ServerSession* find_server(std::uint64_t id) override;
  void cancel(const std::string& key) override;
  void send_cancel(const net::Address& address, std::string key, std::uint64_t server) override;

 private:
  static constexpr Duration kTick = std::chrono::milliseconds(100);
  static constexpr Duration kBetweenRoomRequests = std::chrono::milliseconds(10);

  // pool::Hands
  void connect(pool::Pool& pool, pool::ServerCharge charge, pool::Charge connecting) override;
  bool usable(pool::Server& server) override;
  void send_server(pool::Pool& pool, pool::Server& server, int worker) override;
  void poke(pool::Pool& pool, int worker) override;
  void make_room(pool::Pool& pool) override;
  void give_up(pool::Server& server) override {
    static_cast<session::ServerSession&>(server).retire("its slot is needed by another pool");
  }
  void touched(pool::Pool& pool) override { touched_.push_back(&pool); }

  void on_event(short what) override;
  void tick();
  void warm_pools();
  bool work_left() const {
    return !touched_.empty() || !ready_.empty() || !dead_clients_.empty() || !outbox.empty();
  }
  bool someone_died() const {
    return !dead_clients_.empty() || !dead_servers_.empty() || !cancel_requests_.empty();
  }
  void go_on();
  void serve();
  void reap_dead();
  void forget_unused_parts();
  void receive_server(std::unique_ptr<session::ServerSession> server, const std::string& database,
                      const std::string& user);
  void ask_next_for_room(std::shared_ptr<const pool::SharedPool> wants, Worker& asker);
  bool close_one_idle(const pool::SharedPool& wants);
  session::PoolPart& part_of(pool::Pool& pool);
  session::PoolPart* find_part(const std::string& database, const std::string& user);

  std::vector<Worker*>& all_;
  Mailbox mailbox_;
  net::IoEvent mail_;
  Instant next_room_request_{};
  struct Ticker final : net::EventHandler {
    explicit Ticker(Worker& w) : worker(w) {}
    void on_event(short /*what*/) override { worker.tick(); }
    Worker& worker;
  } ticker_;
  net::Timer tick_timer_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<session::PoolPart>> parts_;
  std::unordered_map<const pool::Pool*, session::PoolPart*> part_of_;
  std::unordered_map<std::uint64_t, std::unique_ptr<session::ClientSession>> clients_;
  std::unordered_map<std::uint64_t, std::unique_ptr<session::ServerSession>> servers_;
  std::vector<std::unique_ptr<session::CancelRequest>> cancel_requests_;
  IntrusiveList<session::ClientSession, session::InReady> ready_;
  std::vector<pool::Pool*> touched_;
  Task last_of_turn_;
  bool ticked_ = false;  // in this turn
  std::vector<std::uint64_t> dead_clients_;
  std::vector<std::uint64_t> dead_servers_;
  std::atomic<std::size_t> client_count_ = 0;
  std::atomic<bool> stopped_ = false;
  std::atomic<std::uint64_t> turns_ = 0;
};

}  // namespace doorman::daemon
