#include "pool/pool.h"

#include <algorithm>

namespace doorman::pool {

Server* Pool::take_idle() {
  while (Server* server = idle_.first()) {
    if (!hands_.usable(*server)) {
      server->unlink();
      continue;
    }
    server->unlink();
    return server;
  }
  return nullptr;
}

Server* Pool::take_now(Instant now) {
  if (!waiting_.empty() || idle_.empty() || paused() || shared_.others_starve()) return nullptr;
  if (shared_.workers() > 1 && shared_.longest_waiting(worker_, now - kAcrossWorkers) >= 0) {
    return nullptr;
  }
  Server* server = take_idle();
  publish();
  return server;
}

void Pool::wait(Waiter& waiter, Instant now) {
  waiter.waiting_since = now;
  waiting_.push_back(waiter);
  touch();
}

void Pool::rejoin(Waiter& waiter) {
  Waiter* before = waiting_.first();
  while (before != nullptr && before->waiting_since <= waiter.waiting_since) {
    before = waiting_.after(*before);
  }
  before != nullptr ? waiting_.insert_before(*before, waiter) : waiting_.push_back(waiter);
  touch();
}

void Pool::forget(Waiter& waiter) {
  static_cast<ListNode<InQueue>&>(waiter).unlink();
  if (waiting_.empty()) shared_.asks_no_more();
  publish();
}

void Pool::add_idle(Server& server, Instant now) {
  server.idle_since = now;
  limits.round_robin ? idle_.push_back(server) : idle_.push_front(server);
  if (!waiting_.empty() || shared_.workers() > 1) touch();
}

void Pool::charge_returned() {
  if (!waiting_.empty()) touch();
  const int elsewhere = shared_.longest_waiting(worker_, Instant::max());
  if (elsewhere >= 0) hands_.poke(*this, elsewhere);
}

void Pool::touch() {
  if (touched_) return;
  touched_ = true;
  hands_.touched(*this);
}

void Pool::publish() {
  if (shared_.workers() == 1) return;
  SharedPool::Waits waits;
  Waiter* next = waiting_.first();
  for (std::int64_t& wait : waits) {
    wait =
        next != nullptr ? next->waiting_since.time_since_epoch().count() : SharedPool::kNobodyWaits;
    if (next != nullptr) next = waiting_.after(*next);
  }
  shared_.publish(worker_, waits, static_cast<int>(idle_.size()));
}

void Pool::withdraw() {
  SharedPool::Waits nobody;
  nobody.fill(SharedPool::kNobodyWaits);
  shared_.publish(worker_, nobody, 0);
}

void Pool::serve(Instant now) {
  touched_ = false;
  publish();
  if (paused()) return;
  SharedPool::Sent sent{};
  while (!waiting_.empty()) {
    Server* server = take_idle();
    if (server == nullptr) break;
    if (shared_.take_for_others()) {
      hands_.give_up(*server);
      continue;
    }
    const Instant mine = waiting_.front().waiting_since;
    const int elsewhere = longest_elsewhere(mine - kAcrossWorkers, sent);
    if (elsewhere >= 0) {
      send(*server, elsewhere, sent);
      continue;
    }
    Waiter& waiter = waiting_.front();
    static_cast<ListNode<InQueue>&>(waiter).unlink();
    waiter.served(*server);
  }
  if (waiting_.empty()) {
    shared_.asks_no_more();
    share_idle(sent);
    publish();
  } else {
    publish();
    open_more(now);
    refuse_if_down(now);
  }
}

// The other worker where somebody has waited longest, since before `since`, or -1.
int Pool::longest_elsewhere(Instant since, const SharedPool::Sent& sent) const {
  return shared_.workers() > 1 ? shared_.longest_waiting(worker_, since, sent) : -1;
}

void Pool::send(Server& server, int worker, SharedPool::Sent& sent) {
  ++sent[static_cast<std::size_t>(worker)];
  hands_.send_server(*this, server, worker);
}

// Whoever waits gets one: also who has come after the time that this turn knows of.
void Pool::share_idle(SharedPool::Sent& sent) {
  while (!idle_.empty()) {
    const int elsewhere = longest_elsewhere(Instant::max(), sent);  // asked once: it may be gone
    if (elsewhere < 0) return;
    Server* server = take_idle();
    if (server == nullptr) return;
    send(*server, elsewhere, sent);
  }
}

bool Pool::open_one(int pool_size, Instant now) {
  if (!shared_.may_try(now) || shared_.others_starve()) return false;
  Charge connecting = shared_.charge_attempt(limits.connect_parallel);
  if (!connecting) return false;
  const ServerLimits slots = {.pool = pool_size,
                              .database = limits.max_db_connections,
                              .user = limits.max_user_connections};
  ServerCharge charge = shared_.charge(slots);
  if (!charge) {
    const bool pool_is_full = pool_size > 0 && shared_.servers.used() >= pool_size;
    if (pool_is_full) return false;
    hands_.make_room(*this);
    // A pool that has servers of its own is served by them in its turn.
    const bool has_none = shared_.servers.used() == 0;
    if (has_none && !waiting_.empty() && now - waiting_.front().waiting_since >= kStarving) {
      shared_.ask_others(slots);
    }
    return false;
  }
  shared_.asks_no_more();
  ++connecting_;
  hands_.connect(*this, std::move(charge), std::move(connecting));
  return true;
}

void Pool::open_more(Instant now) {
  if (shared_.workers() > 1) {
    const int spare = shared_.with_idle(worker_);
    if (spare >= 0) hands_.poke(*this, spare);
  }
  const bool late = limits.reserve_pool_timeout > Duration::zero() && limits.pool_size > 0 &&
                    now - waiting_.front().waiting_since >= limits.reserve_pool_timeout;
  const int size = limits.pool_size + (late ? limits.reserve_pool_size : 0);
  while (static_cast<int>(waiting_.size()) > connecting_ && open_one(size, now)) {
  }
}

void Pool::fill_if_used(Instant now, bool used) {
  if (!used || paused()) return;
  while (shared_.servers.used() < limits.min_pool_size && open_one(limits.pool_size, now)) {
  }
}

void Pool::refuse_if_down(Instant now) {
  if (shared_.may_try(now) || shared_.servers.used() > 0) return;
  refuse_all(shared_.last_error());
}

void Pool::refuse_all(const std::string& error_message) {
  while (!waiting_.empty()) {
    Waiter& waiter = waiting_.front();
    static_cast<ListNode<InQueue>&>(waiter).unlink();
    waiter.refused(error_message);
  }
  shared_.asks_no_more();
  publish();
}

}  // namespace doorman::pool
