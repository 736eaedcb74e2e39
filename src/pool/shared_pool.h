// What the workers share of a pool (database, user): numbers, no sockets.
//
// Every worker has its own part of a pool (pool/pool.h) with its idle servers and its waiters; a
// part looks at what is shared only when it has no idle server, has one to spare, or opens or
// closes one. Registry finds or makes the shared objects; they live until the process ends, so
// plain references to them stay valid.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "pool/budget.h"
#include "pool/held_texts.h"

namespace doorman::pool {

inline constexpr int kMaxWorkers = 64;

class SharedPool;

// The one pool that gets no server since others of the same database or user hold all slots of the
// limit and are never idle. The others open nothing meanwhile, and close what comes free for it:
// one server each time that it asks.
class Starved {
 public:
  void ask(const SharedPool& pool) {
    const SharedPool* nobody = nullptr;
    if (pool_.compare_exchange_strong(nobody, &pool) || nobody == &pool) given_ = false;
  }
  void done(const SharedPool& pool) {
    const SharedPool* expected = &pool;
    if (pool_.load(std::memory_order_relaxed) == &pool)
      pool_.compare_exchange_strong(expected, nullptr);
  }
  bool is_other_than(const SharedPool& pool) const {
    const SharedPool* starved = pool_.load(std::memory_order_relaxed);
    return starved != nullptr && starved != &pool;
  }
  // True for one caller per ask(): whose server is to be closed.
  bool take_from(const SharedPool& pool) { return is_other_than(pool) && !given_.exchange(true); }

 private:
  std::atomic<const SharedPool*> pool_ = nullptr;
  std::atomic<bool> given_ = false;
};

struct DatabaseShare {
  explicit DatabaseShare(std::string n) : name(std::move(n)) {}
  const std::string name;
  Budget servers;
  Budget clients;
  Starved starved;
  std::atomic<bool> paused = false;
  std::atomic<bool> disabled = false;
};

struct UserShare {
  explicit UserShare(std::string n) : name(std::move(n)) {}
  const std::string name;
  Budget servers;
  Budget clients;
  Starved starved;
};

// The slots that one server connection takes: of its pool, its database and its user.
struct ServerCharge {
  Charge pool;
  Charge database;
  Charge user;
  explicit operator bool() const { return pool && database && user; }
};

struct ServerLimits {
  int pool = 0;
  int database = 0;
  int user = 0;
};

class SharedPool {
 public:
  static constexpr std::int64_t kNobodyWaits = INT64_MAX;
  // So many of those who wait on a worker are seen by the others, longest first. They decide how
  // many servers that come free in one turn of another worker go there in their right order.
  static constexpr std::size_t kSeen = 6;
  using Waits = std::array<std::int64_t, kSeen>;       // since when, in microseconds of our clock
  using Sent = std::array<std::uint8_t, kMaxWorkers>;  // servers sent to each worker in this turn

  SharedPool(DatabaseShare& d, UserShare& u, int workers);

  DatabaseShare& database;
  UserShare& user;
  Budget servers;
  Budget connecting;
  HeldTexts texts;  // of its clients' prepared statements

  // Empty where one of the limits is reached.
  ServerCharge charge(const ServerLimits& limits);

  // Another pool is starved by this one, see Starved.
  bool others_starve() const {
    return database.starved.is_other_than(*this) || user.starved.is_other_than(*this);
  }
  bool take_for_others() {
    return database.starved.take_from(*this) || user.starved.take_from(*this);
  }
  // What starves it is a limit that is reached.
  void ask_others(const ServerLimits& limits);
  void asks_no_more();

  // What each worker publishes of its part. Publish first, then look at the others: so of two
  // workers that change at the same moment at least one sees the other.
  void publish(int worker, const Waits& waits, int idle);
  // The other worker whose waiter has waited longest, if it has since before `since`; else -1.
  // Those for whom a server is on its way are left out: the first ones of each worker.
  int longest_waiting(int self, Instant since, const Sent& sent = {}) const;
  int with_idle(int self) const;  // another worker that has an idle server, or -1
  int workers() const { return workers_; }

  // Health: after a failed connection or login nobody tries again before `retry_at`.
  void failed(std::string error_message, Instant retry_at);
  void recovered();
  bool may_try(Instant now) const { return retry_at_.load() <= now.time_since_epoch().count(); }
  std::string last_error() const;  // a whole ErrorResponse; empty after a success

 private:
  struct alignas(64) Part {
    Part() {
      for (auto& wait : waits) wait = kNobodyWaits;
    }
    std::array<std::atomic<std::int64_t>, kSeen> waits;
    std::atomic<int> idle = 0;
  };

  const int workers_;
  std::vector<Part> parts_;
  std::atomic<std::int64_t> retry_at_ = INT64_MIN;
  mutable std::mutex error_mutex_;
  std::string error_;  // guarded by error_mutex_
};

class Registry {
 public:
  explicit Registry(int workers) : workers_(workers) {}

  DatabaseShare& database(const std::string& name);
  UserShare& user(const std::string& name);
  SharedPool& pool(const std::string& database, const std::string& user);
  std::vector<DatabaseShare*> databases();
  std::vector<UserShare*> users();
  std::size_t pools();

  // PAUSE and RESUME of everything: also of databases that nobody has used yet.
  void pause_all(bool paused);
  bool all_paused() const { return all_paused_.load(std::memory_order_relaxed); }

  Budget clients;  // of the whole process, for max_client_conn

 private:
  DatabaseShare& database_locked(const std::string& name);
  UserShare& user_locked(const std::string& name);

  const int workers_;
  std::atomic<bool> all_paused_ = false;
  std::mutex mutex_;  // taken at login and by the console, never per query
  std::map<std::string, std::unique_ptr<DatabaseShare>> databases_;
  std::map<std::string, std::unique_ptr<UserShare>> users_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<SharedPool>> pools_;
};

}  // namespace doorman::pool
