// What the workers share of a pool (database, user): numbers, no sockets.
//
// Every worker has its own part of a pool (pool/pool.h) with its idle servers and its waiters; a
// part looks at what is shared only when it has no idle server, has one to spare, or opens or
// closes one. Registry finds or makes the shared objects; they live as long as anybody has them: a
// worker's part, or a place under a limit that was taken.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
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

// What the layer above shares of a pool; it ends with the pool.
class Companion {
 public:
  Companion() = default;
  Companion(const Companion&) = delete;
  Companion& operator=(const Companion&) = delete;
  virtual ~Companion() = default;
};

class SharedPool : public std::enable_shared_from_this<SharedPool> {
 public:
  static constexpr std::int64_t kNobodyWaits = INT64_MAX;
  // So many of those who wait on a worker are seen by the others, longest first. They decide how
  // many servers that come free in one turn of another worker go there in their right order.
  static constexpr std::size_t kSeen = 6;
  using Waits = std::array<std::int64_t, kSeen>;       // since when, in microseconds of our clock
  using Sent = std::array<std::uint8_t, kMaxWorkers>;  // servers sent to each worker in this turn

  SharedPool(std::shared_ptr<DatabaseShare> d, std::shared_ptr<UserShare> u, int workers);
  SharedPool(const SharedPool&) = delete;
  SharedPool& operator=(const SharedPool&) = delete;
  ~SharedPool();

  DatabaseShare& database;
  UserShare& user;
  Budget servers;
  Budget connecting;
  HeldTexts texts;  // of its clients' prepared statements
  std::unique_ptr<Companion> companion;

  // Empty where one of the limits is reached.
  ServerCharge charge(const ServerLimits& limits);
  Charge charge_attempt(int limit);  // to connect
  Charge charge_client(int limit);   // of the database

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

  std::shared_ptr<Budget> own(Budget& budget) { return {weak_from_this().lock(), &budget}; }

  const std::shared_ptr<DatabaseShare> database_;
  const std::shared_ptr<UserShare> user_;
  const int workers_;
  std::vector<Part> parts_;
  std::atomic<std::int64_t> retry_at_ = INT64_MIN;
  mutable std::mutex error_mutex_;
  std::string error_;  // guarded by error_mutex_
};

// Everything that somebody has, by name. Nothing stays of a name that nobody uses any more: clients
// may make them up.
class Registry {
 public:
  using MakeCompanion = std::function<std::unique_ptr<Companion>(SharedPool&)>;
  explicit Registry(int workers, MakeCompanion make_companion = nullptr)
      : workers_(workers), make_companion_(std::move(make_companion)) {}

  std::shared_ptr<DatabaseShare> database(const std::string& name);
  std::shared_ptr<UserShare> user(const std::string& name);
  std::shared_ptr<SharedPool> pool(const std::string& database, const std::string& user);
  Charge charge_client_of_user(const std::string& name, int limit);
  std::vector<std::shared_ptr<DatabaseShare>> databases();
  std::vector<std::shared_ptr<UserShare>> users();
  std::size_t pools();

  // What an administrator said of a database is kept, whether anybody uses it or not.
  void set_paused(const std::shared_ptr<DatabaseShare>& database, bool paused);
  void set_disabled(const std::shared_ptr<DatabaseShare>& database, bool disabled);
  bool is_disabled(const std::string& database);
  // PAUSE and RESUME of everything: also of databases that nobody has used yet.
  void pause_all(bool paused);
  bool all_paused() const { return all_paused_.load(std::memory_order_relaxed); }

  Budget clients;  // of the whole process, for max_client_conn

 private:
  template <class Key, class T>
  using Entries = std::map<Key, std::weak_ptr<T>>;

  template <class Key, class T, class Make>
  std::shared_ptr<T> find_locked(Entries<Key, T>& entries, const Key& key, const Make& make);
  template <class Key, class T>
  std::vector<std::shared_ptr<T>> all_locked(const Entries<Key, T>& entries) const;
  std::shared_ptr<DatabaseShare> database_locked(const std::string& name);
  std::shared_ptr<UserShare> user_locked(const std::string& name);
  void keep_locked(const std::shared_ptr<DatabaseShare>& database);

  const int workers_;
  const MakeCompanion make_companion_;
  std::atomic<bool> all_paused_ = false;
  std::mutex mutex_;  // taken at login and by the console, never per query
  Entries<std::string, DatabaseShare> databases_;
  Entries<std::string, UserShare> users_;
  Entries<std::pair<std::string, std::string>, SharedPool> pools_;
  // Databases that are not as a new one would be.
  std::map<std::string, std::shared_ptr<DatabaseShare>> kept_;
};

}  // namespace doorman::pool
