// Prepared statements, told apart by their bytes and shared by all clients that prepared the same.
//
// Statement: text and parameter types, one object per process. ClientStatements: what one client
// has, by its own names and without a name. ServerStatements: what one server connection has: the
// shared ones, longest unused first; names of clients' own; the unnamed one.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pool/held_texts.h"
#include "session/parameters.h"
#include "session/sql_names.h"

namespace doorman::session {

class Live;
struct HotSlot;

struct Statement {
  std::uint64_t id = 0;
  std::string server_name = {};  // what servers know it by
  std::string settings = {};     // those that decide what the text means, as they were at its Parse
  std::string body = {};         // a Parse message behind its name: text, then types, as bytes
  bool shared = true;            // false: one client's, which nobody else may get
  bool kept = true;              // false: too long; only the server that got it has it
  std::vector<SqlName> names = {};  // that its text concerns, when it is executed
};
using StatementRef = std::shared_ptr<const Statement>;

// The text of such a body is the same in any client_encoding.
bool is_ascii_text(std::string_view body);

// The statements of the process. Thread-safe; used when a client prepares, not when it executes.
class StatementRegistry {
 public:
  StatementRef intern(std::string_view body, std::string_view settings = {});
  // A statement that nobody else gets, even with the same text.
  StatementRef add_private(Statement statement);
  // The statement that had this number before, in another owner's records. Null: a statement with
  // another text has the number. Where the text has got a new number since, both live on.
  StatementRef restore(Statement saved);
  StatementRef find(std::uint64_t id);  // null: there is none
  std::size_t size() const;
  // Numbers below are another process's, whose statements come one by one.
  std::uint64_t next_id() const;
  void begin_at(std::uint64_t id);

 private:
  struct Key {
    std::string_view body;  // both point into the statement
    std::string_view settings;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const {
      const std::hash<std::string_view> hash;
      return hash(key.body) ^ (hash(key.settings) << 1);
    }
  };
  struct Entry {
    const Statement* statement;
    std::weak_ptr<const Statement> shared;
  };
  template <class Map, class Id>
  static StatementRef find_locked(Map& map, const Id& id);
  StatementRef add_locked(Statement statement);
  void forget(const Statement* statement);

  mutable std::mutex mutex_;
  std::unordered_map<Key, Entry, Hash> entries_;
  std::unordered_map<std::uint64_t, Entry> by_id_;
  std::uint64_t next_id_ = 1;
};

// The statements that a worker met last, so that a text that comes again takes no lock.
class RecentStatements {
 public:
  StatementRef intern(StatementRegistry& all, std::string_view body, std::string_view settings);

 private:
  static constexpr std::size_t kPlaces = 128;
  static constexpr std::size_t kLongest = 4096;  // so that what is kept for nobody stays little
  std::array<StatementRef, kPlaces> places_;
};

// PostgreSQL tells names of statements apart by so many bytes.
constexpr std::string_view significant(std::string_view name) {
  return name.substr(0, wire::SqlTokens::kMaxName);
}

struct ClientStatement {
  std::uint64_t serial = 0;  // tells it from others of the same name, before and after
  std::string name = {};
  StatementRef statement = {};
};
using ClientStatementRef = std::shared_ptr<const ClientStatement>;

class ClientStatements {
 public:
  // Its texts count in `texts`, those of its pool.
  explicit ClientStatements(pool::HeldTexts* texts = nullptr) : texts_(texts) {}
  ClientStatements(const ClientStatements&) = delete;
  ClientStatements& operator=(const ClientStatements&) = delete;
  ~ClientStatements() { let_go_of_all(); }
  // Each change is told to `live` (null: to nobody), as one of the session with that slot.
  void watch(Live* live, HotSlot& slot) {
    live_ = live;
    slot_ = &slot;
  }
  ClientStatementRef find(std::string_view name) const;
  void add(ClientStatementRef statement);
  // Removes the name if it still stands for `statement`.
  void remove(const ClientStatement& statement);
  void remove(std::string_view name);
  // The name stands for another statement of the same text from now on.
  void replace(const ClientStatement& old, StatementRef statement);
  void clear();
  std::size_t size() const { return by_name_.size(); }
  std::size_t bytes() const { return bytes_; }  // names and texts
  // Whether its pool may have that much, names and each text once (0: without limit).
  bool pool_has_room(std::string_view name, const Statement& statement, std::size_t limit) const;
  static std::size_t bytes_of(std::string_view name, std::size_t body) {
    return significant(name).size() + body;
  }
  template <class Visit>
  void each(Visit visit) const {
    for (const auto& [name, statement] : by_name_) visit(*statement);
  }

  const StatementRef& unnamed() const { return unnamed_; }  // null: none
  void set_unnamed(StatementRef statement) { unnamed_ = std::move(statement); }
  StatementRef exchange_unnamed(StatementRef statement) {
    return std::exchange(unnamed_, std::move(statement));
  }

  // True: it was made with settings that mean the same as these. Compared once for each pair.
  bool fits(const Statement& statement, const Parameters& parameters) {
    if (statement.id == fitting_ && parameters == fits_) return true;
    if (statement.settings != parameters->meaning()) return false;
    fitting_ = statement.id;
    fits_ = parameters;
    return true;
  }

  // Portals of statements whose text concerns names.
  bool has_portals() const { return !portals_.empty(); }
  void bind_portal(std::string_view portal, const StatementRef& statement);
  const Statement* portal(std::string_view portal) const;
  void clear_portals() { portals_.clear(); }
  template <class Visit>
  void each_portal(Visit visit) const {
    for (const auto& [name, statement] : portals_) visit(name, statement);
  }

 private:
  void let_go_of_all();

  pool::HeldTexts* texts_;
  Live* live_ = nullptr;
  HotSlot* slot_ = nullptr;
  std::unordered_map<std::string_view, ClientStatementRef> by_name_;  // keys point into the values
  std::size_t bytes_ = 0;
  StatementRef unnamed_;
  std::uint64_t fitting_ = 0;  // the statement that fits() has found to fit `fits_`
  Parameters fits_;
  std::map<std::string, StatementRef, std::less<>> portals_;
};

// What a name of a client's own stands for on a server.
struct OwnName {
  StatementRef statement = {};  // null: an empty text, or what SQL prepared
  bool sql = false;             // SQL's PREPARE made it: its client keeps the server
};

// When a statement was last given to a server: counts of messages and of batches.
struct Given {
  std::uint32_t sequence = 0;
  std::uint32_t batch = 0;
  bool doubtful = false;  // it may be there or not: close it before it is given again
};

class ServerStatements {
 public:
  // True if the server has it without doubt; it is then the last one to be evicted.
  bool use(const Statement& statement);
  bool has(const Statement& statement) const {
    const auto found = given(statement);
    return found && !found->doubtful;
  }
  std::optional<Given> given(const Statement& statement) const;
  void add(StatementRef statement, Given given = {});
  void set_given(const Statement& statement, Given given);
  void remove(const Statement& statement);
  struct Evicted {
    StatementRef statement;  // null: there are no more than `limit`
    bool doubtful = false;
  };
  // The longest unused one, out of the cache, while there are more than `limit`.
  Evicted evict(std::size_t limit);
  StatementRef by_server_name(std::string_view name) const;
  void clear();  // all but the unnamed one
  std::size_t size() const { return places_.size(); }
  template <class Visit>
  void each(Visit visit) const {  // longest unused first
    for (const StatementRef& statement : order_) visit(statement);
  }

  const OwnName* own(std::string_view name) const;
  void set_own(std::string_view name, OwnName own);
  void remove_own(std::string_view name);
  std::size_t own_count() const { return own_.size(); }
  bool pins() const { return pins_ > 0; }  // one of them is SQL's
  template <class Visit>
  void each_own(Visit visit) const {
    for (const auto& [name, own] : own_) visit(name, own);
  }

  enum class Unnamed : std::uint8_t { Unknown, None, Known };
  Unnamed unnamed() const { return unnamed_state_; }
  bool is_unnamed(const Statement& statement) const {
    return unnamed_ && unnamed_->id == statement.id;
  }
  const StatementRef& unnamed_statement() const { return unnamed_; }
  void set_unnamed(const StatementRef& statement) {
    if (unnamed_ != statement) unnamed_ = statement;  // clients often say the same
    unnamed_state_ = Unnamed::Known;
  }
  void set_unnamed(Unnamed state) {
    if (unnamed_) unnamed_.reset();
    unnamed_state_ = state;
  }

 private:
  struct Place {
    std::list<StatementRef>::iterator at;
    Given given;
  };
  std::list<StatementRef> order_;
  std::unordered_map<std::uint64_t, Place> places_;
  std::map<std::string, OwnName, std::less<>> own_;
  std::size_t pins_ = 0;
  StatementRef unnamed_;
  Unnamed unnamed_state_ = Unnamed::None;
};

}  // namespace doorman::session
