#include "session/statements.h"

#include <algorithm>
#include <charconv>

#include "session/live.h"

namespace doorman::session {

namespace {

constexpr std::string_view kServerNames = "PGDOORMAN_";

}  // namespace

bool is_ascii_text(std::string_view body) {
  const std::string_view text = body.substr(0, body.find('\0'));
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

// ---- The process ------------------------------------------------------------------------------

template <class Map, class Id>
StatementRef StatementRegistry::find_locked(Map& map, const Id& id) {
  const auto found = map.find(id);
  if (found == map.end()) return nullptr;
  if (StatementRef shared = found->second.shared.lock()) return shared;
  map.erase(found);  // its last user has just let go of it
  return nullptr;
}

StatementRef StatementRegistry::add_locked(Statement statement) {
  statement.server_name = std::string(kServerNames) + std::to_string(statement.id);
  auto fresh = std::make_unique<Statement>(std::move(statement));
  StatementRef shared(fresh.release(), [this](const Statement* dead) {
    forget(dead);
    const std::unique_ptr<const Statement> owned(dead);
  });
  const Entry entry = {.statement = shared.get(), .shared = shared};
  if (shared->shared) {  // unless the text has a statement already
    entries_.emplace(Key{.body = shared->body, .settings = shared->settings}, entry);
  }
  by_id_.emplace(shared->id, entry);
  return shared;
}

StatementRef StatementRegistry::intern(std::string_view body, std::string_view settings) {
  const std::lock_guard lock(mutex_);
  if (StatementRef known = find_locked(entries_, Key{.body = body, .settings = settings})) {
    return known;
  }
  return add_locked(
      Statement{.id = next_id_++, .settings = std::string(settings), .body = std::string(body)});
}

StatementRef StatementRegistry::add_private(Statement statement) {
  const std::lock_guard lock(mutex_);
  statement.id = next_id_++;
  statement.shared = false;
  return add_locked(std::move(statement));
}

StatementRef StatementRegistry::restore(Statement saved) {
  const std::lock_guard lock(mutex_);
  if (StatementRef known = find_locked(by_id_, saved.id)) {
    const bool same = known->body == saved.body && known->settings == saved.settings &&
                      known->shared == saved.shared;
    return same ? known : nullptr;
  }
  if (saved.id == 0) return nullptr;
  // Makes room where the text's statement has just gone.
  find_locked(entries_, Key{.body = saved.body, .settings = saved.settings});
  next_id_ = std::max(next_id_, saved.id + 1);
  return add_locked(std::move(saved));
}

void StatementRegistry::forget(const Statement* statement) {
  const std::lock_guard lock(mutex_);
  const auto text = entries_.find(Key{.body = statement->body, .settings = statement->settings});
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

StatementRef StatementRegistry::find(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  return find_locked(by_id_, id);
}

StatementRef RecentStatements::intern(StatementRegistry& all, std::string_view body,
                                      std::string_view settings) {
  if (body.size() > kLongest) return all.intern(body, settings);
  StatementRef& place = places_[std::hash<std::string_view>()(body) % kPlaces];
  if (!place || place->body != body || place->settings != settings) {
    place = all.intern(body, settings);
  }
  return place;
}

// ---- A client ---------------------------------------------------------------------------------

ClientStatementRef ClientStatements::find(std::string_view name) const {
  const auto found = by_name_.find(significant(name));
  return found == by_name_.end() ? nullptr : found->second;
}

void ClientStatements::add(ClientStatementRef statement) {
  const std::string_view name = significant(statement->name);
  const std::size_t bytes = bytes_of(name, statement->statement->body.size());
  const auto [place, added] = by_name_.emplace(name, std::move(statement));
  if (!added) return;
  bytes_ += bytes;
  const Statement& text = *place->second->statement;
  if (texts_ != nullptr) texts_->hold(text.id, text.body.size(), name.size());
  if (live_ != nullptr) live_->statement_added(*slot_, *place->second);
}

void ClientStatements::remove(const ClientStatement& statement) {
  const auto found = by_name_.find(significant(statement.name));
  if (found == by_name_.end() || found->second->serial != statement.serial) return;
  const ClientStatementRef removed = found->second;
  const Statement& text = *removed->statement;
  bytes_ -= bytes_of(found->first, text.body.size());
  if (texts_ != nullptr) texts_->let_go(text.id, text.body.size(), found->first.size());
  by_name_.erase(found);
  if (live_ != nullptr) live_->statement_removed(*slot_, *removed);
}

void ClientStatements::remove(std::string_view name) {
  if (const ClientStatementRef found = find(name)) remove(*found);
}

void ClientStatements::replace(const ClientStatement& old, StatementRef statement) {
  auto changed = std::make_shared<ClientStatement>(old);
  changed->statement = std::move(statement);
  remove(old);
  add(std::move(changed));
}

void ClientStatements::clear() {
  const bool any = !by_name_.empty();
  let_go_of_all();
  by_name_.clear();
  bytes_ = 0;
  if (any && live_ != nullptr) live_->statements_cleared(*slot_);
}

void ClientStatements::let_go_of_all() {
  if (texts_ == nullptr) return;
  for (const auto& [name, each] : by_name_) {
    texts_->let_go(each->statement->id, each->statement->body.size(), name.size());
  }
}

bool ClientStatements::pool_has_room(std::string_view name, const Statement& statement,
                                     std::size_t limit) const {
  return texts_ == nullptr ||
         texts_->has_room(statement.id, statement.body.size(), significant(name).size(), limit);
}

void ClientStatements::bind_portal(std::string_view portal, const StatementRef& statement) {
  if (statement && !statement->names.empty()) {
    portals_.insert_or_assign(std::string(portal), statement);
  } else if (const auto found = portals_.find(portal); found != portals_.end()) {
    portals_.erase(found);
  }
}

const Statement* ClientStatements::portal(std::string_view portal) const {
  const auto found = portals_.find(portal);
  return found == portals_.end() ? nullptr : found->second.get();
}

// ---- A server ---------------------------------------------------------------------------------

bool ServerStatements::use(const Statement& statement) {
  const auto found = places_.find(statement.id);
  if (found == places_.end() || found->second.given.doubtful) return false;
  order_.splice(order_.end(), order_, found->second.at);
  return true;
}

std::optional<Given> ServerStatements::given(const Statement& statement) const {
  const auto found = places_.find(statement.id);
  if (found == places_.end()) return std::nullopt;
  return found->second.given;
}

void ServerStatements::add(StatementRef statement, Given given) {
  const std::uint64_t id = statement->id;
  if (const auto found = places_.find(id); found != places_.end()) {
    order_.splice(order_.end(), order_, found->second.at);
    found->second.given = given;
    return;
  }
  order_.push_back(std::move(statement));
  places_.emplace(id, Place{.at = std::prev(order_.end()), .given = given});
}

void ServerStatements::set_given(const Statement& statement, Given given) {
  const auto found = places_.find(statement.id);
  if (found != places_.end()) found->second.given = given;
}

void ServerStatements::remove(const Statement& statement) {
  const auto found = places_.find(statement.id);
  if (found == places_.end()) return;
  order_.erase(found->second.at);
  places_.erase(found);
}

ServerStatements::Evicted ServerStatements::evict(std::size_t limit) {
  if (places_.size() <= limit) return {};
  Evicted oldest = {.statement = order_.front(), .doubtful = !has(*order_.front())};
  remove(*oldest.statement);
  return oldest;
}

StatementRef ServerStatements::by_server_name(std::string_view name) const {
  if (!name.starts_with(kServerNames)) return nullptr;
  std::uint64_t id = 0;
  const char* end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + kServerNames.size(), end, id);
  if (read.ec != std::errc() || read.ptr != end) return nullptr;
  const auto found = places_.find(id);
  return found == places_.end() ? nullptr : *found->second.at;
}

void ServerStatements::clear() {
  order_.clear();
  places_.clear();
  own_.clear();
  pins_ = 0;
}

const OwnName* ServerStatements::own(std::string_view name) const {
  if (own_.empty()) return nullptr;
  const auto found = own_.find(significant(name));
  return found == own_.end() ? nullptr : &found->second;
}

void ServerStatements::set_own(std::string_view name, OwnName own) {
  remove_own(name);
  if (own.sql) ++pins_;
  own_.emplace(significant(name), std::move(own));
}

void ServerStatements::remove_own(std::string_view name) {
  const auto found = own_.find(significant(name));
  if (found == own_.end()) return;
  if (found->second.sql) --pins_;
  own_.erase(found);
}

}  // namespace doorman::session
