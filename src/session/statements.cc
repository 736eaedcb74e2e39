#include "session/statements.h"

namespace doorman::session {

template <class Map, class Key>
StatementRef StatementRegistry::find_locked(Map& map, const Key& key) {
  const auto found = map.find(key);
  if (found == map.end()) return nullptr;
  if (StatementRef shared = found->second.shared.lock()) return shared;
  map.erase(found);  // its last user has just let go of it
  return nullptr;
}

StatementRef StatementRegistry::add_locked(std::uint64_t id, std::string_view body) {
  auto fresh = std::make_unique<Statement>(Statement{
      .id = id, .server_name = "PGDOORMAN_" + std::to_string(id), .body = std::string(body)});
  StatementRef shared(fresh.release(), [this](const Statement* dead) {
    forget(dead);
    const std::unique_ptr<const Statement> owned(dead);
  });
  const Entry entry = {.statement = shared.get(), .shared = shared};
  entries_.emplace(shared->body, entry);  // unless the text has a statement already
  by_id_.emplace(id, entry);
  return shared;
}

StatementRef StatementRegistry::intern(std::string_view body) {
  const std::lock_guard lock(mutex_);
  if (StatementRef known = find_locked(entries_, body)) return known;
  return add_locked(next_id_++, body);
}

StatementRef StatementRegistry::restore(std::uint64_t id, std::string_view body) {
  const std::lock_guard lock(mutex_);
  if (StatementRef known = find_locked(by_id_, id)) return known->body == body ? known : nullptr;
  if (id == 0) return nullptr;
  find_locked(entries_, body);  // makes room where the text's statement has just gone
  next_id_ = std::max(next_id_, id + 1);
  return add_locked(id, body);
}

void StatementRegistry::forget(const Statement* statement) {
  const std::lock_guard lock(mutex_);
  const auto text = entries_.find(statement->body);
  if (text != entries_.end() && text->second.statement == statement) entries_.erase(text);
  const auto number = by_id_.find(statement->id);
  if (number != by_id_.end() && number->second.statement == statement) by_id_.erase(number);
}

std::size_t StatementRegistry::size() const {
  const std::lock_guard lock(mutex_);
  return by_id_.size();
}

std::uint64_t StatementRegistry::next_id() const {
  const std::lock_guard lock(mutex_);
  return next_id_;
}

void StatementRegistry::begin_at(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  next_id_ = std::max(next_id_, id);
}

ClientStatementRef ClientStatements::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

void ClientStatements::add(ClientStatementRef statement) {
  const std::string_view name = statement->name;
  by_name_.emplace(name, std::move(statement));
}

void ClientStatements::remove(const ClientStatement& statement) {
  const auto found = by_name_.find(statement.name);
  if (found != by_name_.end() && found->second->serial == statement.serial) by_name_.erase(found);
}

bool ServerStatements::use(const Statement& statement) {
  const auto found = places_.find(statement.id);
  if (found == places_.end()) return false;
  order_.splice(order_.end(), order_, found->second);
  return true;
}

void ServerStatements::add(StatementRef statement) {
  if (use(*statement)) return;
  const std::uint64_t id = statement->id;
  order_.push_back(std::move(statement));
  places_.emplace(id, std::prev(order_.end()));
}

void ServerStatements::remove(const Statement& statement) {
  const auto found = places_.find(statement.id);
  if (found == places_.end()) return;
  order_.erase(found->second);
  places_.erase(found);
}

StatementRef ServerStatements::evict(std::size_t limit) {
  if (places_.size() <= limit) return nullptr;
  StatementRef oldest = order_.front();
  remove(*oldest);
  return oldest;
}

void ServerStatements::clear() {
  order_.clear();
  places_.clear();
}

}  // namespace doorman::session
