#include "daemon/worker.h"

#include <algorithm>

#include "base/log.h"
#include "session/live.h"
#include "wire/error_response.h"

namespace doorman::daemon {

using session::CancelRequest;
using session::ClientSession;
using session::ClientState;
using session::PoolPart;
using session::ServerSession;
using session::ServerState;

Worker::Worker(session::Shared& s, int index, std::vector<Worker*>& all, session::RulesRef first)
    : Host(s, index),
      all_(all),
      mail_(loop, mailbox_.fd(), EV_READ, *this),
      ticker_(*this),
      tick_timer_(loop, ticker_) {
  rules = std::move(first);
  mail_.enable();
  tick_timer_.set(kTick);
}

// Sessions end with their worker, without a word: whoever wants to be polite has drained before.
Worker::~Worker() {
  for (auto& [id, client] : clients_) client->close("");
  for (auto& [id, server] : servers_) {
    if (server->state() != ServerState::Closing) server->fail("", "the worker ends");
  }
  ready_.each(
      [](ClientSession& client) { static_cast<ListNode<session::InReady>&>(client).unlink(); });
  clients_.clear();
  servers_.clear();
}

// ---- The turn ---------------------------------------------------------------------------------

void Worker::run() {
  warm_pools();
  while (!stopped_.load(std::memory_order_relaxed)) {
    turn(work_left() ? net::Wait::No : net::Wait::Yes);
  }
}

void Worker::turn(net::Wait wait) {
  loop.run_once(wait);             // sessions read
  take_up();                       // and parse, decide and write
  if (!ready_.empty()) go_on();    // those that waited for something of their own
  if (!touched_.empty()) serve();  // free servers meet those who wait
  outbox.flush();
  if (after_turn != nullptr) after_turn(*this);
  if (someone_died()) reap_dead();  // what has closed is deleted, here and nowhere else
  if (std::exchange(ticked_, false)) forget_unused_parts();
  if (last_of_turn_) {
    Task last = std::move(last_of_turn_);
    last();
    reap_dead();
  }
  turn_ends();
  turns_.store(turns() + 1, std::memory_order_relaxed);
}

void Worker::stop() {
  stopped_ = true;
  mailbox_.post([] {});
}

void Worker::on_event(short /*what*/) { mailbox_.drain(); }

void Worker::take_mail() {
  turn_ends();  // the time is read again
  mailbox_.drain();
  outbox.flush();
  reap_dead();
}

void Worker::wake(ClientSession& client) {
  auto& node = static_cast<ListNode<session::InReady>&>(client);
  if (!node.linked()) ready_.push_back(client);
}

void Worker::go_on() {
  // Whoever becomes ready meanwhile has its turn in the next one.
  for (std::size_t left = ready_.size(); left > 0 && !ready_.empty(); --left) {
    ClientSession& client = ready_.front();
    static_cast<ListNode<session::InReady>&>(client).unlink();
    client.woken();
  }
}

void Worker::serve() {
  for (std::size_t i = 0; i < touched_.size(); ++i) touched_[i]->serve(now());
  touched_.clear();
}

void Worker::reap_dead() {
  for (const std::uint64_t id : dead_clients_) clients_.erase(id);
  for (const std::uint64_t id : dead_servers_) servers_.erase(id);
  dead_clients_.clear();
  dead_servers_.clear();
  client_count_.store(clients_.size(), std::memory_order_relaxed);
  for (std::size_t i = 0; i < cancel_requests_.size();) {
    if (!cancel_requests_[i]->over()) {
      ++i;
      continue;
    }
    const std::uint64_t server = cancel_requests_[i]->server();
    cancel_requests_[i] = std::move(cancel_requests_.back());
    cancel_requests_.pop_back();
    if (ServerSession* found = find_server(server)) found->cancel_done();
  }
}

void Worker::tick() {
  tick_timer_.set(kTick);
  const Instant at = now();
  for (auto& [name, part] : parts_) part->tick(at);
  ticked_ = true;
  logins.each([at](ClientSession& client) { client.tick(at); });
  if (live != nullptr) live->tick(at);
  const Duration limit = settings().cancel_wait_timeout;
  for (auto& request : cancel_requests_) {
    if (limit > Duration::zero() && at - request->started_at() >= limit) request->give_up();
  }
}

// At the end of a turn: what closed in it is gone, and nobody else has a part's address.
void Worker::forget_unused_parts() {
  const Instant at = now();
  std::vector<std::unique_ptr<PoolPart>> unused;
  for (auto part = parts_.begin(); part != parts_.end();) {
    const bool forget = part->second->unused(at) && !part->second->pool.is_touched();
    if (forget) {
      part_of_.erase(&part->second->pool);
      unused.push_back(std::move(part->second));
    }
    part = forget ? parts_.erase(part) : std::next(part);
  }
  reap_dead();  // servers that have been idle there
}

// ---- Sessions ---------------------------------------------------------------------------------

void Worker::add_client(UniqueFd fd, const net::Address& peer, FirstPacket first) {
  auto client = std::make_unique<ClientSession>(*this, std::move(fd), peer);
  ClientSession& added = *client;
  clients_.emplace(added.id(), std::move(client));
  client_count_.store(clients_.size(), std::memory_order_relaxed);
  added.start(first);
}

void Worker::adopt(std::unique_ptr<ServerSession> server) {
  const std::uint64_t id = server->id();
  servers_.emplace(id, std::move(server));
}

void Worker::adopt(std::unique_ptr<ClientSession> client) {
  const std::uint64_t id = client->id();
  clients_.emplace(id, std::move(client));
  client_count_.store(clients_.size(), std::memory_order_relaxed);
}

ClientSession* Worker::find_client(std::uint64_t id) {
  const auto found = clients_.find(id);
  if (found == clients_.end() || found->second->state() == ClientState::Closing) return nullptr;
  return found->second.get();
}

ServerSession* Worker::find_server(std::uint64_t id) {
  const auto found = servers_.find(id);
  if (found == servers_.end() || found->second->state() == ServerState::Closing) return nullptr;
  return found->second.get();
}

PoolPart* Worker::find_part(const std::string& database, const std::string& user) {
  const auto found = parts_.find({database, user});
  return found == parts_.end() ? nullptr : found->second.get();
}

PoolPart* Worker::pool_part(const std::string& database, const std::string& user) {
  PoolPart* known = find_part(database, user);
  if (known != nullptr && !known->removed) return known;
  const auto target = config::find_database(*rules->config, database);
  if (!target) return nullptr;
  auto part_settings = session::pool_settings(*rules->config, *target, user);
  if (known != nullptr) {
    known->configure(std::move(part_settings));
    return known;
  }
  pool::Hands& hands = *this;
  auto part = std::make_unique<PoolPart>(*this, hands, shared.registry.pool(database, user),
                                         std::move(part_settings));
  part_of_.emplace(&part->pool, part.get());
  return parts_.emplace(std::pair(database, user), std::move(part)).first->second.get();
}

void Worker::cancel(const std::string& key) {
  const auto target = shared.cancel_keys.find(key);
  if (!target) {
    if (shared.cancel_elsewhere && !shared.cancel_keys.knows(key)) shared.cancel_elsewhere(key);
    return;
  }
  Worker* owner = all_[static_cast<std::size_t>(target->worker)];
  owner->post([owner, id = target->client, key] {
    if (ClientSession* client = owner->find_client(id)) {
      client->request_cancel();
    } else if (!owner->clients_.contains(id)) {
      owner->cancel(key);  // it has moved since
    }
  });
}

void Worker::send_cancel(const net::Address& address, std::string key, std::uint64_t server) {
  auto request = std::make_unique<CancelRequest>(*this, address, std::move(key), server);
  if (!request->start()) {
    if (ServerSession* found = find_server(server)) found->cancel_done();
    return;
  }
  cancel_requests_.push_back(std::move(request));
}

// ---- What pools ask for -----------------------------------------------------------------------

PoolPart& Worker::part_of(pool::Pool& pool) { return *part_of_.at(&pool); }

void Worker::connect(pool::Pool& pool, pool::ServerCharge charge, pool::Charge connecting) {
  part_of(pool).open_server(std::move(charge), std::move(connecting));
}

bool Worker::usable(pool::Server& server) {
  return static_cast<ServerSession&>(server).usable(now());
}

void Worker::send_server(pool::Pool& pool, pool::Server& server, int to) {
  auto& session = static_cast<ServerSession&>(server);
  auto found = servers_.find(session.id());
  std::unique_ptr<ServerSession> owned = std::move(found->second);
  servers_.erase(found);
  session.leave_worker();
  Worker* other = all_[static_cast<std::size_t>(to)];
  other->post([other, owned = std::move(owned), database = pool.shared().database.name,
               user = pool.shared().user.name]() mutable {
    other->receive_server(std::move(owned), database, user);
  });
}

void Worker::receive_server(std::unique_ptr<ServerSession> server, const std::string& database,
                            const std::string& user) {
  ServerSession& joined = *server;
  PoolPart* part = pool_part(database, user);
  if (part == nullptr) part = find_part(database, user);
  if (part == nullptr) return;  // the database was removed: the connection ends with its owner
  servers_.emplace(joined.id(), std::move(server));
  joined.join_worker(*this, *part);
  part->pool.add_idle(joined, now());
}

void Worker::poke(pool::Pool& pool, int to) {
  Worker* other = all_[static_cast<std::size_t>(to)];
  other->post([other, database = pool.shared().database.name, user = pool.shared().user.name] {
    if (PoolPart* part = other->find_part(database, user)) part->pool.touch();
  });
}

// A limit of the database or the user is reached by other pools: one of their idle servers goes,
// or, where there is none here, one of another worker. Those are asked now and then only: when all
// servers are busy, each turn would ask.
void Worker::make_room(pool::Pool& pool) {
  if (close_one_idle(pool.shared())) {
    pool.touch();
    return;
  }
  if (all_.size() == 1 || now() < next_room_request_) return;
  next_room_request_ = now() + kBetweenRoomRequests;
  ask_next_for_room(pool.shared().shared_from_this(), *this);
}

void Worker::ask_next_for_room(std::shared_ptr<const pool::SharedPool> wants, Worker& asker) {
  Worker* next = all_[(static_cast<std::size_t>(worker) + 1) % all_.size()];
  if (next == &asker) return;  // nobody had one
  next->post([next, wants = std::move(wants), &asker]() mutable {
    if (!next->close_one_idle(*wants)) {
      next->ask_next_for_room(std::move(wants), asker);
      return;
    }
    asker.post([wants = std::move(wants), &asker] {
      PoolPart* part = asker.find_part(wants->database.name, wants->user.name);
      if (part != nullptr) part->pool.touch();
    });
  });
}

// Of another pool than `wants` that counts under one of its limits.
bool Worker::close_one_idle(const pool::SharedPool& wants) {
  for (auto& [name, part] : parts_) {
    const pool::SharedPool& has = part->pool.shared();
    if (&has == &wants) continue;
    if (&has.database != &wants.database && &has.user != &wants.user) continue;
    if (part->pool.waiting().empty() && part->close_one_idle()) return true;
  }
  return false;
}

// ---- Rules and ends ---------------------------------------------------------------------------

// With a forced user it is known before the first client comes which pool has a minimum.
void Worker::warm_pools() {
  if (worker != 0) return;
  for (const auto& [name, database] : rules->config->databases) {
    const int least = database.min_pool_size.value_or(settings().min_pool_size);
    if (database.user && least > 0) pool_part(name, *database.user);
  }
}

void Worker::apply(session::RulesRef changed) {
  rules = std::move(changed);
  warm_pools();
  for (auto& [name, part] : parts_) {
    const auto target = config::find_database(*rules->config, name.first);
    if (target) {
      const std::string user = target->user.value_or(name.second);
      part->configure(session::pool_settings(*rules->config, *target, user));
      continue;
    }
    part->removed = true;
    part->recycle_servers();
    part->clients.each([&name = name](ClientSession& client) {
      if (client.state() != ClientState::Idle && client.state() != ClientState::Waiting) return;
      client.fail(wire::sqlstate::kAdminShutdown,
                  "database \"" + name.first + "\" was removed from the pooler's configuration");
    });
  }
}

void Worker::drain() {
  for (auto& [id, client] : clients_) {
    if (client->state() == ClientState::Closing || client->in_transaction()) continue;
    const bool goes_to_successor =
        shared.handed_over && (client->part() == nullptr || client->logging_in());
    if (goes_to_successor) continue;
    client->fail(wire::sqlstate::kAdminShutdown,
                 "terminating connection due to administrator command");
  }
}

std::size_t Worker::pool_clients() const {
  std::size_t count = 0;
  for (const auto& [id, client] : clients_) {
    if (client->state() != ClientState::Closing && client->state() != ClientState::Console) ++count;
  }
  return count;
}

void Worker::end_all(std::string_view reason) {
  for (auto& [id, client] : clients_) {
    if (client->state() != ClientState::Closing)
      client->fail(wire::sqlstate::kAdminShutdown, reason);
  }
  for (auto& [id, server] : servers_) {
    if (server->at_rest()) server->retire("shutting down");
  }
}

}  // namespace doorman::daemon
