// What a server has of statements: what it is given in line, and what becomes of that.
//
// Protocol: PostgreSQL documentation, "Extended Query" and "Pipelining".
#include <utility>

#include "session/client.h"
#include "session/server.h"
#include "wire/error_response.h"
#include "wire/message_writer.h"

namespace doorman::session {

// ---- Shared ones ------------------------------------------------------------------------------

// An error of an earlier batch may still undo what was sent of them.
bool ServerSession::statements_unsettled() const {
  return statements_sent_ != statements_settled_ && statements_batch_ != batch_;
}

// Before a Parse: true where the server may have the name already, so it is told to close it.
bool ServerSession::close_doubtful(const Statement& statement) {
  if (statements_.own(statement.server_name) != nullptr) hide_name(statement.server_name);
  if (!statements_unsettled() && !statements_.given(statement)) return false;
  host_->to_server.add_copy(wire::close_statement(statement.server_name));
  expect({.awaits = Awaits::Close, .deliver = Deliver::Swallow});
  return true;
}

void ServerSession::expect_parse(const StatementRef& statement, Reply reply) {
  ++part_->counters.server_parses;
  reply.doubtful = close_doubtful(*statement);
  reply.statement = statement;
  expect(std::move(reply));
  statements_.add(statement, {.sequence = statements_sent_, .batch = batch_});
}

void ServerSession::provide(const StatementRef& statement) {
  if (statements_.use(*statement)) {
    const Given given = *statements_.given(*statement);
    const auto ahead = static_cast<std::int32_t>(given.sequence - statements_settled_);
    if (ahead <= 0 || given.batch == batch_) {
      ++part_->counters.statement_hits;
      return;
    }
  }
  ++part_->counters.statement_misses;
  const bool other_encoding = begin_encoding_of(*statement);
  expect_parse(statement, {.awaits = Awaits::Parse, .deliver = Deliver::Swallow});
  host_->to_server.add_copy(wire::MessageWriter()
                                .begin('P')
                                .text(statement->server_name)
                                .raw(statement->body)
                                .end()
                                .bytes());
  if (other_encoding) end_encoding();
  evict_statements();
}

void ServerSession::evict_statements() {
  const auto limit = static_cast<std::size_t>(host_->settings().max_prepared_statements);
  for (auto oldest = statements_.evict(limit); oldest.statement;
       oldest = statements_.evict(limit)) {
    ++part_->counters.statement_evictions;
    host_->to_server.add_copy(wire::close_statement(oldest.statement->server_name));
    expect({.awaits = Awaits::Close,
            .deliver = Deliver::Swallow,
            .doubtful = oldest.doubtful || statements_unsettled(),
            .statement = std::move(oldest.statement)});
  }
}

// ---- The unnamed one --------------------------------------------------------------------------

void ServerSession::note_unnamed(Reply& reply, const StatementRef& statement) {
  reply.slot = true;
  if (statement) {
    statements_.set_unnamed(statement);
  } else {
    statements_.set_unnamed(ServerStatements::Unnamed::None);
  }
}

void ServerSession::expect_unnamed_again(const StatementRef& statement) {
  if (already_answered_ > 0) [[unlikely]] {
    Reply reply = {.awaits = Awaits::Parse, .deliver = Deliver::Forward, .unnamed = true};
    reply.again = true;
    note_unnamed(reply, statement);
    expect(std::move(reply));
    return;
  }
  ++unnamed_pending_;
  unnamed_batch_ = batch_;
  ++slot_pending_;
  slot_batch_ = batch_;
  fresh_ = false;
  open_batch_ = true;
  statements_.set_unnamed(statement);
  Reply& reply = replies_.push(Awaits::Parse, Deliver::Forward);
  reply.plain = false;
  reply.unnamed = reply.slot = reply.again = true;
}

void ServerSession::provide_unnamed(const StatementRef& statement) {
  const bool settled = slot_pending_ == 0 || slot_batch_ == batch_;
  const bool kept = statement && statement->kept;
  if (statement ? has_unnamed(*statement)
                : settled && statements_.unnamed() == ServerStatements::Unnamed::None) {
    return;
  }
  const bool other_encoding = kept && begin_encoding_of(*statement);
  Reply reply = {.awaits = kept ? Awaits::Parse : Awaits::Close, .deliver = Deliver::Swallow};
  note_unnamed(reply, kept ? statement : nullptr);
  expect(std::move(reply));
  if (!kept) {
    host_->to_server.add_copy(wire::close_statement(""));
    return;
  }
  ++part_->counters.server_parses;
  host_->to_server.add_copy(
      wire::MessageWriter().begin('P').text("").raw(statement->body).end().bytes());
  if (other_encoding) end_encoding();
}

// ---- Names of the client's own ----------------------------------------------------------------

void ServerSession::put_own_name(std::string_view name, const StatementRef& statement) {
  const auto made = std::make_shared<const ClientStatement>(
      ClientStatement{.name = std::string(significant(name)), .statement = statement});
  if (const OwnName* own = statements_.own(name)) {
    if (!statement || (own->statement && own->statement->id == statement->id)) return;
  }
  hide_name(name);
  const bool other_encoding = statement && begin_encoding_of(*statement);
  static constexpr std::string_view kEmpty("\0\0\0", 3);  // a text that can be parsed at any time
  const std::string_view body = statement ? std::string_view(statement->body) : kEmpty;
  host_->to_server.add_copy(
      wire::MessageWriter().begin('P').text(made->name).raw(body).end().bytes());
  expect({.awaits = Awaits::Parse,
          .deliver = Deliver::Swallow,
          .own = true,
          .client_statement = made});
  statements_.set_own(name, {.statement = statement});
  if (other_encoding) end_encoding();
}

void ServerSession::hide_name(std::string_view name) {
  if (const OwnName* own = statements_.own(name)) {
    if (own->sql) return;  // the client has it
    const auto lost = std::make_shared<const ClientStatement>(
        ClientStatement{.name = std::string(significant(name)), .statement = own->statement});
    statements_.remove_own(name);
    host_->to_server.add_copy(wire::close_statement(lost->name));
    expect({.awaits = Awaits::Close,
            .deliver = Deliver::Swallow,
            .own = true,
            .client_statement = lost});
  } else if (const StatementRef other = statements_.by_server_name(name)) {
    statements_.remove(*other);
    host_->to_server.add_copy(wire::close_statement(name));
    expect({.awaits = Awaits::Close,
            .deliver = Deliver::Swallow,
            .doubtful = true,
            .statement = other});
  }
}

// ---- SQL --------------------------------------------------------------------------------------

void ServerSession::expect_sql(std::vector<SqlName> names) {
  sql_.push_back({.names = std::move(names)});
}

// A command of the front has ended well: what it did with which name.
void ServerSession::end_sql(std::string_view tag) {
  const bool prepare = tag == "PREPARE";
  if (!prepare && tag != "DEALLOCATE") return;
  const SqlUse use = prepare ? SqlUse::Prepare : SqlUse::Deallocate;
  PendingSql& sql = sql_.front();
  while (sql.next < sql.names.size()) {
    const SqlName& done = sql.names[sql.next++];
    if (done.use != use) continue;
    statements_.remove_own(done.name);
    if (prepare) {
      statements_.set_own(done.name, {.sql = true});
    } else if (client_ != nullptr) {
      client_->statements().remove(done.name);
    }
    return;
  }
}

// The front is what we have put before a Query with SQL about names, and nothing else is.
bool ServerSession::own_names_put_before_query() const {
  for (std::size_t i = 0; !sql_.empty() && i < replies_.size(); ++i) {
    const Reply& each = replies_.at(i);
    if (each.deliver != Deliver::Swallow) return i > 0 && each.awaits == Awaits::Query && each.sql;
  }
  return false;
}

void ServerSession::doubt_settings(std::string_view name) {
  settings_in_doubt_ = true;
  if (name == "client_encoding" || name == "all") doubt_encoding();
  // Of a reported one ReadyForQuery tells what has become of it.
  doubt_lasts_ = doubt_lasts_ || welcome_->find(name) == nullptr || !part_->tracked(name);
}

// ---- What has become of it --------------------------------------------------------------------

// A reply has come, or will not come: that of this place in the queue.
void ServerSession::settle(Reply& reply, std::size_t index) {
  if (reply.changes_names()) --names_pending_;
  if (reply.unnamed) --unnamed_pending_;
  if (reply.slot) --slot_pending_;
  if (reply.statement && static_cast<std::int32_t>(reply.sequence - statements_settled_) > 0) {
    statements_settled_ = reply.sequence;
  }
  if (reply.sql) {
    std::ptrdiff_t before = 0;
    for (std::size_t i = 0; i < index; ++i) before += replies_.at(i).sql ? 1 : 0;
    CHECK(before < std::ssize(sql_));
    sql_.erase(sql_.begin() + before);
  }
}

// What was sent has had no effect. The first in the queue has failed, and those up to the next
// Sync were skipped. `settled` is what was before the first of them.
void ServerSession::undo(Reply& reply, std::size_t index, std::uint32_t settled) {
  settle(reply, index);
  undo_unnamed(reply, index);
  if (reply.awaits != Awaits::Parse && reply.awaits != Awaits::Close) return;
  const bool parse = reply.awaits == Awaits::Parse;
  if (const StatementRef& statement = reply.statement) {
    const auto given = statements_.given(*statement);
    const auto later = given ? static_cast<std::int32_t>(given->sequence - reply.sequence) : 0;
    if (given && !given->doubtful && later > 0) {
      // A later batch has given it again, and stands.
    } else if (reply.doubtful) {
      statements_.add(statement, {.doubtful = true});
    } else if (parse) {
      statements_.remove(*statement);
    } else {
      statements_.add(statement, {.sequence = settled, .batch = batch_});
    }
  }
  if (!reply.client_statement) return;
  if (reply.own) {
    if (parse) {
      statements_.remove_own(reply.client_statement->name);
    } else {
      statements_.set_own(reply.client_statement->name,
                          {.statement = reply.client_statement->statement, .sql = reply.own_sql});
    }
  } else if (client_ != nullptr) {
    if (parse) {
      client_->statements().remove(*reply.client_statement);
    } else {
      client_->statements().add(reply.client_statement);
    }
  }
}

// The client's unnamed statement as it was before this one of the queue, which changes it.
StatementRef ServerSession::unnamed_before(std::size_t index) const {
  for (std::size_t i = index; i < replies_.size(); ++i) {
    const Reply& each = replies_.at(i);
    if (each.unnamed && !each.again) return each.before;
  }
  return client_ != nullptr ? client_->statements().unnamed() : nullptr;
}

// What later batches have sent about the unnamed statement stands.
void ServerSession::undo_unnamed(Reply& reply, std::size_t index) {
  if (!reply.unnamed && !reply.slot) return;
  Reply* later_unnamed = nullptr;
  bool later_slot = false;
  for (std::size_t i = index + 1; i < replies_.size(); ++i) {
    Reply& each = replies_.at(i);
    if (each.unnamed && later_unnamed == nullptr) later_unnamed = &each;
    later_slot = later_slot || each.slot;
  }
  const bool unnamed = std::exchange(reply.unnamed, false);
  const bool slot = std::exchange(reply.slot, false);
  if (slot && !later_slot) statements_.set_unnamed(ServerStatements::Unnamed::Unknown);
  if (!unnamed || client_ == nullptr) return;
  // A Parse that fails ends the statement before it; one that is skipped does not.
  const bool failed = index == 0 && reply.awaits == Awaits::Parse;
  if (reply.again && !failed) return;
  StatementRef now = failed ? nullptr : reply.before;
  if (later_unnamed != nullptr) {
    later_unnamed->again = false;
    later_unnamed->before = std::move(now);
  } else {
    client_->statements().set_unnamed(std::move(now));
  }
}

// An error that mentions our name of a statement is passed on with the client's.
bool ServerSession::pass_renamed(const Reply& reply, Bytes message) {
  if (!reply.used) return false;
  static constexpr std::string_view kOurs = "\"PGDOORMAN_";
  const std::string_view all = text_of(message);
  const std::size_t at = all.find(kOurs);
  const std::size_t end = at == std::string_view::npos ? at : all.find('"', at + kOurs.size());
  if (end == std::string_view::npos || !framer_.at_boundary()) return false;
  const std::string_view digits = all.substr(at + kOurs.size(), end - at - kOurs.size());
  if (digits.find_first_not_of("0123456789") != std::string_view::npos) return false;
  const ClientStatement* named = reply.client_statement.get();
  const std::string_view body = all.substr(wire::kHeaderSize);
  host_->to_client.add_copy(wire::MessageWriter()
                                .begin('E')
                                .raw(body.substr(0, at + 1 - wire::kHeaderSize))
                                .raw(named != nullptr ? std::string_view(named->name) : "")
                                .raw(all.substr(end))
                                .end()
                                .bytes());
  passing_ = false;
  return true;
}

// Its tables have changed since the server was given it: it is to be given anew. True: what the
// client has said of the batch is said again, and it learns nothing of the error.
bool ServerSession::heal(const Reply& front, Bytes body) {
  if (!front.used || wire::error_field(body, 'R') != "RevalidateCachedQuery") return false;
  if (statements_.has(*front.used)) statements_.add(front.used, {.doubtful = true});
  const std::size_t last = replies_.size() - 1;
  if (client_ == nullptr || front.client_statement || status_ != 'I' || executed_ ||
      replies_.at(last).awaits != Awaits::Sync || replies_.at(last).deliver != Deliver::Forward ||
      !framer_.at_boundary() || !client_->can_repeat()) {
    return false;
  }
  passing_ = false;
  skip_to_sync();
  CHECK(replies_.size() == 1);
  replies_.front().deliver = Deliver::Swallow;
  --ready_pending_;
  healing_ = true;
  return true;
}

// The failed batch has ended.
void ServerSession::repeat_batch() {
  healing_ = false;
  already_answered_ = std::exchange(answered_, 0);
  if (client_ != nullptr) client_->repeat_batch();
}

// The error of our own in place of the server's, which was provoked to end the transaction.
void ServerSession::refuse(const Reply& reply) {
  if (client_ == nullptr) return;
  const bool many = reply.refusal == Refusal::TooMany;
  const std::string_view message =
      many ? "too many prepared statements (max_client_prepared_statements)"
      : reply.refusal == Refusal::TooLarge
          ? "prepared statements take too much memory (max_client_statement_memory)"
          : "prepared statements of the pool take too much memory (max_pool_statement_memory)";
  host_->to_client.add_copy(wire::error_response(
      wire::Severity::Error,
      many ? wire::sqlstate::kConfigurationLimit : wire::sqlstate::kOutOfMemory, message));
}

}  // namespace doorman::session
