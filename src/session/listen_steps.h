// What a client's statements do to its subscriptions, as far as the server's own connection cannot
// tell: UNLISTEN of a channel that the pooler listens to, and what a rollback takes back.
//
// LISTEN needs none of this: which channels it has brought, the server itself is asked.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/sql_tokens.h"

namespace doorman::session {

struct ListenStep {
  enum class Kind : std::uint8_t {
    Unlisten,     // `name`: the channel
    UnlistenAll,  //
    Savepoint,
    RollbackTo,
    Release,
    End,  // COMMIT, END, ROLLBACK, ABORT
  };
  Kind kind;
  std::string name = {};
  bool operator==(const ListenStep&) const = default;
};
using ListenSteps = std::vector<ListenStep>;
using ListenStepsRef = std::shared_ptr<const ListenSteps>;

// Null: there are none.
ListenStepsRef listen_steps(std::string_view sql, wire::SqlDialect dialect);

std::string save_steps(const ListenSteps& steps);
Result<ListenSteps> load_steps(std::string_view record);

// The steps of a transaction as their command tags come, until it is known how it ends.
class ListenTransaction {
 public:
  // A CommandComplete. `steps`: of the Query that it belongs to, or of the Execute.
  void completed(std::string_view tag, const ListenSteps* steps, bool of_query);
  void failed() { failed_ = true; }  // an ErrorResponse
  void ready(char status);           // ReadyForQuery

  // What has been committed and not been taken yet: all channels, or those of `unlistened`.
  bool unlistens_all() const { return unlistens_all_; }
  const std::vector<std::string>& unlistened() const { return unlistened_; }
  bool notified() const { return notified_; }  // NOTIFY was among it
  void taken();

  std::string save() const;
  Result<> load(std::string_view record);

 private:
  void take(const ListenStep& step);
  void commit();

  ListenSteps open_;      // Unlisten, UnlistenAll and Savepoint, in order
  std::size_t next_ = 0;  // of the Query's steps
  bool failed_ = false;   // since the last ReadyForQuery
  bool unlistens_all_ = false;
  bool notified_ = false;
  std::vector<std::string> unlistened_;
};

}  // namespace doorman::session
