// Pool: one worker's part of a pool. Who gets which server, and when; no sockets, no wire format.
//
// Waiters are served first come, first served: strictly on one worker, and across workers to within
// kAcrossWorkers, since a server that changes workers costs two wake-ups. The worker calls serve()
// once per turn for each pool that changed; nothing else pairs, so a client that lets go of a
// server never runs another client's code.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/intrusive_list.h"
#include "pool/shared_pool.h"

namespace doorman::pool {

struct InQueue {};
struct InIdle {};

class Server;

// Someone who needs a server. Must stay alive until it is served, refused or has left the queue.
class Waiter : public ListNode<InQueue> {
 public:
  Instant waiting_since{};

  virtual void served(Server& server) = 0;
  // There is no server and there will be none soon; `error_message` is a whole ErrorResponse.
  virtual void refused(const std::string& error_message) = 0;
  // It has waited for query_wait_timeout: it leaves the queue.
  virtual void waited_too_long() = 0;
  // Said to who waits at each tick of the worker.
  virtual void waits_still(Instant /*now*/) {}

 protected:
  ~Waiter() = default;
};

class Server : public ListNode<InIdle> {
 public:
  Instant created_at{};
  Instant idle_since{};

 protected:
  ~Server() = default;
};

struct Limits {
  int pool_size = 20;
  int min_pool_size = 0;
  int reserve_pool_size = 0;
  Duration reserve_pool_timeout{};  // 0: the reserve is never used
  int max_db_connections = 0;
  int max_user_connections = 0;
  int connect_parallel = 4;
  bool round_robin = false;  // the server idle longest is next; else the one idle shortest
};

class Pool;

// What a pool asks of its worker.
class Hands {
 public:
  virtual void connect(Pool& pool, ServerCharge charge, Charge connecting) = 0;
  // False: the server must be looked at first (it left the idle list for that, or for good).
  virtual bool usable(Server& server) = 0;
  virtual void send_server(Pool& pool, Server& server, int worker) = 0;
  virtual void poke(Pool& pool, int worker) = 0;  // its part of this pool should serve again
  virtual void make_room(Pool& pool) = 0;    // another pool of the same database or user is idle
  virtual void give_up(Server& server) = 0;  // closes an idle server, for another pool
  virtual void touched(Pool& pool) = 0;      // serve this pool at the end of the turn

 protected:
  ~Hands() = default;
};

class Pool {
 public:
  static constexpr Duration kAcrossWorkers = std::chrono::milliseconds(1);
  // Who has waited so long for a slot that other pools keep busy gets the next one that comes free.
  static constexpr Duration kStarving = std::chrono::milliseconds(250);

  Pool(SharedPool& shared, int worker, Hands& hands)
      : shared_(shared), worker_(worker), hands_(hands) {}
  ~Pool() { withdraw(); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  Limits limits;

  // A server for someone who comes now, if nobody waits who came before; else null.
  Server* take_now(Instant now);
  void wait(Waiter& waiter, Instant now);
  void forget(Waiter& waiter);
  // One that has waited elsewhere already, since waiter.waiting_since: it keeps its place.
  void rejoin(Waiter& waiter);

  void add_idle(Server& server, Instant now);
  // A connection attempt that serve() asked for has ended.
  void connect_ended() {
    CHECK(connecting_ > 0);
    --connecting_;
    touch();
  }
  void charge_returned();  // a server of this part is gone: others may open one

  void serve(Instant now);
  void touch();

  // Opens servers until there are `limits.min_pool_size`, if the pool is in use.
  void fill_if_used(Instant now, bool used);
  // Refuses all who wait when there is no server and the last attempt failed.
  void refuse_if_down(Instant now);
  void refuse_all(const std::string& error_message);

  bool is_touched() const { return touched_; }
  bool paused() const { return shared_.database.paused.load(std::memory_order_relaxed); }
  SharedPool& shared() const { return shared_; }
  int connecting() const { return connecting_; }
  IntrusiveList<Waiter, InQueue>& waiting() { return waiting_; }
  IntrusiveList<Server, InIdle>& idle() { return idle_; }

 private:
  friend class PoolSet;
  Server* take_idle();
  void publish();
  void withdraw();
  void open_more(Instant now);
  bool open_one(int pool_size, Instant now);
  int longest_elsewhere(Instant since, const SharedPool::Sent& sent) const;
  void send(Server& server, int worker, SharedPool::Sent& sent);
  void share_idle(SharedPool::Sent& sent);

  SharedPool& shared_;
  const int worker_;
  Hands& hands_;
  IntrusiveList<Waiter, InQueue> waiting_;  // longest first
  IntrusiveList<Server, InIdle> idle_;      // next first
  int connecting_ = 0;
  bool touched_ = false;
};

}  // namespace doorman::pool
