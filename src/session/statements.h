// Prepared statements, told apart by their bytes and shared by all clients that prepared the same.
//
// Statement: text and parameter types, one object per process. ClientStatement: the name that one
// client gave it. ServerStatements: which of them one server connection has, longest unused first.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace doorman::session {

struct Statement {
  std::uint64_t id;
  std::string server_name;  // what servers know it by
  std::string body;         // a Parse message behind its name: text, then parameter types, as bytes
};
using StatementRef = std::shared_ptr<const Statement>;

// The statements of the process. Thread-safe; used when a client prepares, not when it executes.
class StatementRegistry {
 public:
  StatementRef intern(std::string_view body);
  // The statement that had this number before, in another owner's records. Null: a statement with
  // another text has the number. Where the text has got a new number since, both live on.
  StatementRef restore(std::uint64_t id, std::string_view body);
  std::size_t size() const;
  // Numbers below are another process's, whose statements come one by one.
  std::uint64_t next_id() const;
  void begin_at(std::uint64_t id);

 private:
  struct Entry {
    const Statement* statement;
    std::weak_ptr<const Statement> shared;
  };
  template <class Map, class Key>
  static StatementRef find_locked(Map& map, const Key& key);
  StatementRef add_locked(std::uint64_t id, std::string_view body);
  void forget(const Statement* statement);

  mutable std::mutex mutex_;
  std::unordered_map<std::string_view, Entry> entries_;  // keys point into the statements
  std::unordered_map<std::uint64_t, Entry> by_id_;
  std::uint64_t next_id_ = 1;
};

struct ClientStatement {
  std::uint64_t serial;  // tells it from others of the same name, before and after
  std::string name;
  StatementRef statement;
};
using ClientStatementRef = std::shared_ptr<const ClientStatement>;

class ClientStatements {
 public:
  ClientStatementRef find(std::string_view name) const;
  void add(ClientStatementRef statement);
  // Removes the name if it still stands for `statement`.
  void remove(const ClientStatement& statement);
  void clear() { by_name_.clear(); }
  std::size_t size() const { return by_name_.size(); }
  template <class Visit>
  void each(Visit visit) const {
    for (const auto& [name, statement] : by_name_) visit(*statement);
  }

 private:
  std::unordered_map<std::string_view, ClientStatementRef> by_name_;  // keys point into the values
};

class ServerStatements {
 public:
  // True if the server has it; it is then the last one to be evicted.
  bool use(const Statement& statement);
  bool has(const Statement& statement) const { return places_.contains(statement.id); }
  void add(StatementRef statement);
  void remove(const Statement& statement);
  // The longest unused one, out of the cache, while there are more than `limit`.
  StatementRef evict(std::size_t limit);
  void clear();
  std::size_t size() const { return places_.size(); }
  template <class Visit>
  void each(Visit visit) const {  // longest unused first
    for (const StatementRef& statement : order_) visit(statement);
  }

 private:
  std::list<StatementRef> order_;
  std::unordered_map<std::uint64_t, std::list<StatementRef>::iterator> places_;
};

}  // namespace doorman::session
