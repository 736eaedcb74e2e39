#include "pool/shared_pool.h"

namespace doorman::pool {

SharedPool::SharedPool(std::shared_ptr<DatabaseShare> d, std::shared_ptr<UserShare> u, int workers)
    : database(*d),
      user(*u),
      database_(std::move(d)),
      user_(std::move(u)),
      workers_(workers),
      parts_(static_cast<std::size_t>(workers)) {}

SharedPool::~SharedPool() {
  companion.reset();  // it may look at the rest
  asks_no_more();
}

ServerCharge SharedPool::charge(const ServerLimits& limits) {
  ServerCharge charge = {.pool = Charge(own(servers), limits.pool),
                         .database = Charge({database_, &database.servers}, limits.database),
                         .user = Charge({user_, &user.servers}, limits.user)};
  if (!charge) return {};
  return charge;
}

Charge SharedPool::charge_attempt(int limit) { return {own(connecting), limit}; }

Charge SharedPool::charge_client(int limit) { return {{database_, &database.clients}, limit}; }

void SharedPool::ask_others(const ServerLimits& limits) {
  if (limits.database > 0 && database.servers.used() >= limits.database)
    database.starved.ask(*this);
  if (limits.user > 0 && user.servers.used() >= limits.user) user.starved.ask(*this);
}

void SharedPool::asks_no_more() {
  database.starved.done(*this);
  user.starved.done(*this);
}

void SharedPool::publish(int worker, const Waits& waits, int idle) {
  Part& part = parts_[static_cast<std::size_t>(worker)];
  for (std::size_t i = kSeen - 1; i > 0; --i) {
    if (part.waits[i].load(std::memory_order_relaxed) != waits[i]) {
      part.waits[i].store(waits[i], std::memory_order_relaxed);
    }
  }
  part.waits[0].store(waits[0]);
  part.idle.store(idle);
}

int SharedPool::longest_waiting(int self, Instant since, const Sent& sent) const {
  int found = -1;
  std::int64_t oldest = since.time_since_epoch().count();
  for (int i = 0; i < workers_; ++i) {
    const std::size_t place = sent[static_cast<std::size_t>(i)];
    if (i == self || place >= kSeen) continue;
    const std::int64_t waiting = parts_[static_cast<std::size_t>(i)].waits[place].load();
    if (waiting < oldest) {
      oldest = waiting;
      found = i;
    }
  }
  return found;
}

int SharedPool::with_idle(int self) const {
  for (int i = 0; i < workers_; ++i) {
    if (i != self && parts_[static_cast<std::size_t>(i)].idle.load() > 0) return i;
  }
  return -1;
}

void SharedPool::failed(std::string error_message, Instant retry_at) {
  const std::lock_guard lock(error_mutex_);
  error_ = std::move(error_message);
  retry_at_.store(retry_at.time_since_epoch().count());
}

void SharedPool::recovered() {
  if (retry_at_.load() == INT64_MIN) return;
  const std::lock_guard lock(error_mutex_);
  error_.clear();
  retry_at_.store(INT64_MIN);
}

std::string SharedPool::last_error() const {
  const std::lock_guard lock(error_mutex_);
  return error_;
}

// ---- Registry ---------------------------------------------------------------------------------

// An object ends with its last owner, and takes its entry along. Meanwhile another one may have got
// the same name.
template <class Key, class T, class Make>
std::shared_ptr<T> Registry::find_locked(Entries<Key, T>& entries, const Key& key,
                                         const Make& make) {
  std::weak_ptr<T>& entry = entries[key];
  std::shared_ptr<T> object = entry.lock();
  if (object) return object;
  std::unique_ptr<T> made = make();
  object = std::shared_ptr<T>(made.release(), [this, &entries, key](T* ended) {
    {
      const std::lock_guard lock(mutex_);
      const auto found = entries.find(key);
      if (found != entries.end() && found->second.expired()) entries.erase(found);
    }
    delete ended;
  });
  entry = object;
  return object;
}

// The caller drops them without the lock: each may be the last owner.
template <class Key, class T>
std::vector<std::shared_ptr<T>> Registry::all_locked(const Entries<Key, T>& entries) const {
  std::vector<std::shared_ptr<T>> all;
  for (const auto& [key, entry] : entries) {
    if (auto object = entry.lock()) all.push_back(std::move(object));
  }
  return all;
}

std::shared_ptr<DatabaseShare> Registry::database_locked(const std::string& name) {
  return find_locked(databases_, name, [&] {
    auto made = std::make_unique<DatabaseShare>(name);
    made->paused = all_paused();
    return made;
  });
}

std::shared_ptr<UserShare> Registry::user_locked(const std::string& name) {
  return find_locked(users_, name, [&] { return std::make_unique<UserShare>(name); });
}

std::shared_ptr<DatabaseShare> Registry::database(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return database_locked(name);
}

std::shared_ptr<UserShare> Registry::user(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return user_locked(name);
}

std::shared_ptr<SharedPool> Registry::pool(const std::string& database, const std::string& user) {
  const std::lock_guard lock(mutex_);
  return find_locked(pools_, std::pair(database, user), [&] {
    auto made =
        std::make_unique<SharedPool>(database_locked(database), user_locked(user), workers_);
    if (make_companion_) made->companion = make_companion_(*made);
    return made;
  });
}

Charge Registry::charge_client_of_user(const std::string& name, int limit) {
  const std::shared_ptr<UserShare> share = user(name);
  return {{share, &share->clients}, limit};
}

std::vector<std::shared_ptr<DatabaseShare>> Registry::databases() {
  const std::lock_guard lock(mutex_);
  return all_locked(databases_);
}

std::vector<std::shared_ptr<UserShare>> Registry::users() {
  const std::lock_guard lock(mutex_);
  return all_locked(users_);
}

std::size_t Registry::pools() {
  const std::lock_guard lock(mutex_);
  return pools_.size();
}

void Registry::keep_locked(const std::shared_ptr<DatabaseShare>& database) {
  if (database->disabled || database->paused != all_paused()) {
    kept_.insert_or_assign(database->name, database);
  } else {
    kept_.erase(database->name);
  }
}

void Registry::set_paused(const std::shared_ptr<DatabaseShare>& database, bool paused) {
  const std::lock_guard lock(mutex_);
  database->paused = paused;
  keep_locked(database);
}

void Registry::set_disabled(const std::shared_ptr<DatabaseShare>& database, bool disabled) {
  const std::lock_guard lock(mutex_);
  database->disabled = disabled;
  keep_locked(database);
}

bool Registry::is_disabled(const std::string& database) {
  const std::lock_guard lock(mutex_);
  const auto found = kept_.find(database);
  return found != kept_.end() && found->second->disabled;
}

void Registry::pause_all(bool paused) {
  std::vector<std::shared_ptr<DatabaseShare>> all;
  const std::lock_guard lock(mutex_);
  all = all_locked(databases_);
  all_paused_ = paused;
  for (const auto& each : all) {
    each->paused = paused;
    keep_locked(each);
  }
}

}  // namespace doorman::pool
