#include "pool/shared_pool.h"

namespace doorman::pool {

SharedPool::SharedPool(DatabaseShare& d, UserShare& u, int workers)
    : database(d), user(u), workers_(workers), parts_(static_cast<std::size_t>(workers)) {}

ServerCharge SharedPool::charge(const ServerLimits& limits) {
  ServerCharge charge = {.pool = Charge(servers, limits.pool),
                         .database = Charge(database.servers, limits.database),
                         .user = Charge(user.servers, limits.user)};
  if (!charge) return {};
  return charge;
}

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

DatabaseShare& Registry::database_locked(const std::string& name) {
  auto& slot = databases_[name];
  if (!slot) {
    slot = std::make_unique<DatabaseShare>(name);
    slot->paused = all_paused();
  }
  return *slot;
}

UserShare& Registry::user_locked(const std::string& name) {
  auto& slot = users_[name];
  if (!slot) slot = std::make_unique<UserShare>(name);
  return *slot;
}

DatabaseShare& Registry::database(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return database_locked(name);
}

UserShare& Registry::user(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return user_locked(name);
}

SharedPool& Registry::pool(const std::string& database, const std::string& user) {
  const std::lock_guard lock(mutex_);
  auto& slot = pools_[{database, user}];
  if (!slot) {
    slot = std::make_unique<SharedPool>(database_locked(database), user_locked(user), workers_);
  }
  return *slot;
}

std::vector<DatabaseShare*> Registry::databases() {
  const std::lock_guard lock(mutex_);
  std::vector<DatabaseShare*> all;
  for (auto& [name, share] : databases_) all.push_back(share.get());
  return all;
}

std::vector<UserShare*> Registry::users() {
  const std::lock_guard lock(mutex_);
  std::vector<UserShare*> all;
  for (auto& [name, share] : users_) all.push_back(share.get());
  return all;
}

void Registry::pause_all(bool paused) {
  const std::lock_guard lock(mutex_);
  all_paused_ = paused;
  for (auto& [name, share] : databases_) share->paused = paused;
}

std::size_t Registry::pools() {
  const std::lock_guard lock(mutex_);
  return pools_.size();
}

}  // namespace doorman::pool
