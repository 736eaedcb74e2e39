// A client's statements, by name and without: what it means by them, and what its server knows them
// by. Messages about them are passed on under the server's name, or answered here.
//
// Protocol: PostgreSQL documentation, "Extended Query".
#include "session/client.h"
#include "session/client_listening.h"
#include "session/server.h"
#include "wire/error_response.h"
#include "wire/message_reader.h"
#include "wire/message_writer.h"

namespace doorman::session {

namespace {

constexpr std::size_t kMaxNames = std::size_t{64} * 1024;  // portal and statement name of a Bind

// What a Parse message says behind the name, if it is complete and nothing follows.
std::optional<ParseBody> parse_body(Bytes body) {
  wire::MessageReader reader(body);
  const std::string_view sql = reader.text();
  const std::size_t types = reader.u16();
  if (reader.failed() || reader.rest().size() != types * 4) return std::nullopt;
  return ParseBody{.all = text_of(body), .sql = sql, .concerns_names = may_concern_names(sql)};
}

Bytes body_seen(const wire::Header& header, Bytes input) {
  return input.first(std::min(input.size(), header.total())).subspan(wire::kHeaderSize);
}

}  // namespace

bool ClientSession::shares_statements() const {
  return part_->settings.pool_mode != config::PoolMode::Session &&
         host_->settings().max_prepared_statements > 0;
}

// A name means what it means once the Parse and Close messages before have ended, well or not.
// Within one batch they all end the same way, for an error skips the rest; a later batch waits.
bool ClientSession::settled(Stall what) {
  stalled_ = what;
  if (!may_go_on()) return false;
  stalled_ = Stall::No;
  return true;
}

bool ClientSession::may_go_on() const {
  switch (stalled_) {
    case Stall::No: return true;
    case Stall::Names: return server_->names_are_settled();
    case Stall::Unnamed: return server_->unnamed_is_settled();
    case Stall::Sql: return !server_->sql_pending() || server_->executes_copy();
    case Stall::Copy: return !server_->copy_is_unclear();
    case Stall::Encoding: return !server_->encoding_is_unclear();
  }
  return true;
}

// ---- What is meant ----------------------------------------------------------------------------

// The statement that a Parse with this body makes.
StatementRef ClientSession::statement_of(const ParseBody& body) {
  const std::string& meaning = parameters_->meaning();
  std::vector<SqlName> names;
  if (body.concerns_names) names = names_in(body.sql, dialect());
  if (!names.empty() || server_->settings_in_doubt()) {
    return host_->shared.statements.add_private({.settings = server_->meaning_now(),
                                                 .body = std::string(body.all),
                                                 .names = std::move(names)});
  }
  const StatementRef& last = statements().unnamed();
  if (last && last->shared && last->body == body.all && statements().fits(*last, parameters_)) {
    return last;
  }
  return host_->recent_statements.intern(host_->shared.statements, body.all, meaning);
}

// The same text as it is meant now: where a server must analyse it anew, its settings may be others
// than at the client's Parse, and who shares it must not be misled. It stays in the client_encoding
// of that Parse, where it has letters for which that matters.
StatementRef ClientSession::present(const StatementRef& statement) {
  if (!statement->shared) return statement;
  const bool doubt = server_->settings_in_doubt();
  if (!doubt && statement->settings == parameters_->meaning()) return statement;
  std::string meaning = parameters_->meaning();
  if (!is_ascii_text(statement->body)) {
    meaning = with_encoding(meaning, encoding_in(statement->settings));
  }
  if (doubt) {
    return host_->shared.statements.add_private(
        {.settings = std::move(meaning), .body = statement->body});
  }
  if (statement->settings == meaning) return statement;
  return host_->shared.statements.intern(statement->body, meaning);
}

// Makes sure that the server has what the client means by this name.
ClientSession::Known ClientSession::give(std::string_view name) {
  if (name.empty()) return give_unnamed();
  ClientStatementRef found = statements().find(name);
  if (!found) {  // the server says so, with the client's own name
    server_->hide_name(name);
    return {.statement = nullptr, .as = name, .named = nullptr};
  }
  if (!server_->statements().has(*found->statement)) {
    StatementRef now = present(found->statement);
    if (now != found->statement) {
      statements().replace(*found, std::move(now));
      found = statements().find(name);
    }
  }
  const StatementRef& statement = found->statement;
  if (!statement->names.empty()) give_own_names(statement->names);
  server_->provide(statement);
  return {.statement = &statement, .as = statement->server_name, .named = std::move(found)};
}

ClientSession::Known ClientSession::give_unnamed() {
  const StatementRef& statement = statements().unnamed();
  ServerStatements& there = server_->statements();
  if (!statement) {
    server_->provide_unnamed(nullptr);
    return {};
  }
  if (!there.is_unnamed(*statement) && !there.has(*statement)) {
    statements().set_unnamed(present(statement));
  }
  if (!statement->names.empty()) give_own_names(statement->names);
  const bool share = part_->settings.share_unnamed_statements && statement->shared;
  if (share && (there.has(*statement) || !there.is_unnamed(*statement))) {
    server_->provide(statement);
    return {.statement = &statement, .as = statement->server_name, .named = nullptr};
  }
  server_->provide_unnamed(statement);
  return {.statement = &statement, .as = {}, .named = nullptr};
}

// ---- Parse ------------------------------------------------------------------------------------

// Where a whole Parse says again what the client's unnamed statement is already, and the text is no
// news in any other way: that statement. Else null.
const StatementRef* ClientSession::same_unnamed(Bytes parse) const {
  if (!statements_ || parse.size() <= wire::kHeaderSize ||
      parse[wire::kHeaderSize] != std::byte{0} || listening_ || server_->settings_in_doubt() ||
      part_->settings.share_unnamed_statements || !shares_statements()) {
    return nullptr;
  }
  const StatementRef& last = statements_->unnamed();
  const bool same = last && last->shared &&
                    last->body == text_of(parse.subspan(wire::kHeaderSize + 1)) &&
                    statements_->fits(*last, parameters_);
  return same ? &last : nullptr;
}

bool ClientSession::relay_parse(const wire::Header& header, Bytes& input) {
  const Bytes seen = body_seen(header, input);
  if (input.size() >= header.total()) {
    if (const StatementRef* same = same_unnamed(input.first(header.total()))) {
      server_->expect_unnamed_again(*same);
      forward(header, input);
      return true;
    }
  }
  wire::MessageReader reader(seen);
  const std::string_view name = reader.text();
  const bool whole = input.size() >= header.total();
  if (shares_statements() && !whole) {
    if (header.total() <= host_->settings().max_prepared_statement_size) return false;
    if (reader.failed() && seen.size() < kMaxNames) return false;
    if (!reader.failed() && !name.empty()) {
      fail(wire::sqlstate::kLimitExceeded,
           "a prepared statement is longer than max_prepared_statement_size");
      return false;
    }
  }
  if (listening_ && name.empty()) {
    listening_->of_unnamed = listen_steps(wire::MessageReader(reader.rest()).text(), dialect());
  }
  const bool shares = shares_statements() && !reader.failed();
  const std::optional<ParseBody> body = shares && whole ? parse_body(reader.rest()) : std::nullopt;
  if (!shares || (whole && !body)) {
    server_->expect_for_client(Awaits::Parse);
    forward(header, input);
    return true;
  }
  if (body && server_->encoding_is_unclear() && !is_ascii_text(body->all) &&
      !settled(Stall::Encoding)) {
    return false;
  }
  if (!name.empty()) return relay_named_parse(header, input, name, *body);
  if (body) {
    if (body->concerns_names && !settled(Stall::Names)) return false;
    relay_unnamed_parse(header, input, statement_of(*body));
  } else {
    relay_unnamed_parse(header, input, host_->shared.statements.add_private({.kept = false}));
  }
  return true;
}

bool ClientSession::relay_named_parse(const wire::Header& header, Bytes& input,
                                      std::string_view name, const ParseBody& body) {
  if (!settled(Stall::Names)) return false;
  ++part_->counters.client_parses;
  ServerStatements& there = server_->statements();
  const OwnName* own = there.own(name);
  const bool by_sql = own != nullptr && own->sql;
  if (by_sql || statements().find(name)) {
    // The server gives the error for the duplicate, in its place: it has the name just before.
    if (!by_sql) server_->put_own_name(name, nullptr);
    server_->expect_for_client(Awaits::Parse);
    forward(header, input);
    return true;
  }
  Refusal refusal = refusal_of(name, body);
  StatementRef meant = refusal == Refusal::None ? statement_of(body) : nullptr;
  if (meant &&
      !statements().pool_has_room(name, *meant, host_->settings().max_pool_statement_memory)) {
    refusal = Refusal::PoolTooLarge;
  }
  if (refusal != Refusal::None) {
    host_->to_server.add_copy(
        wire::MessageWriter().begin('D').byte('S').text("PGDOORMAN_refused").end().bytes());
    server_->expect({.awaits = Awaits::Describe, .deliver = Deliver::Refuse, .refusal = refusal});
    discard(header, input);
    return true;
  }
  auto created = std::make_shared<const ClientStatement>(
      ClientStatement{.serial = host_->shared.next_id.fetch_add(1, std::memory_order_relaxed),
                      .name = std::string(name),
                      .statement = std::move(meant)});
  statements().add(created);
  const StatementRef& statement = created->statement;
  if (!statement->names.empty()) give_own_names(statement->names);
  Reply reply = {.awaits = Awaits::Parse, .deliver = Deliver::Forward, .client_statement = created};
  wire::MessageWriter& head = host_->head.clear().begin('P');
  if (!there.use(*statement)) {
    ++part_->counters.statement_misses;
    server_->expect_parse(statement, std::move(reply));
    head.text(statement->server_name);
  } else if (server_->can_answer_parse()) {
    ++part_->counters.statement_hits;
    ++part_->counters.parses_saved;
    discard(header, input);
    reply.deliver = Deliver::Local;
    server_->expect(std::move(reply));
    return true;
  } else {
    // Whether a Parse is allowed (25P02) only the server knows. It has the statement in any case,
    // so it is asked without a name.
    ++part_->counters.statement_hits;
    ++part_->counters.server_parses;
    server_->note_unnamed(reply, statement);
    server_->expect(std::move(reply));
    head.text("");
  }
  forward_rest(header, input, wire::kHeaderSize + name.size() + 1, head);
  server_->evict_statements();
  return true;
}

void ClientSession::relay_unnamed_parse(const wire::Header& header, Bytes& input,
                                        StatementRef meant) {
  if (!meant->names.empty()) give_own_names(meant->names);
  Reply reply = {.awaits = Awaits::Parse, .deliver = Deliver::Forward, .unnamed = true};
  reply.before = statements().exchange_unnamed(std::move(meant));
  const StatementRef& statement = statements().unnamed();
  if (part_->settings.share_unnamed_statements && statement->shared) {
    ++part_->counters.client_parses;
    if (!server_->statements().use(*statement)) {
      ++part_->counters.statement_misses;
      server_->expect_parse(statement, std::move(reply));
      wire::MessageWriter& head = host_->head.clear().begin('P').text(statement->server_name);
      forward_rest(header, input, wire::kHeaderSize + 1, head);
      server_->evict_statements();
      return;
    }
    ++part_->counters.statement_hits;
    if (server_->can_answer_parse()) {
      ++part_->counters.parses_saved;
      discard(header, input);
      reply.deliver = Deliver::Local;
      server_->expect(std::move(reply));
      return;
    }
  }
  server_->note_unnamed(reply, statement);
  server_->expect(std::move(reply));
  forward(header, input);
}

Refusal ClientSession::refusal_of(std::string_view name, const ParseBody& body) {
  const config::Settings& settings = host_->settings();
  const auto most = static_cast<std::size_t>(settings.max_client_prepared_statements);
  if (most > 0 && statements().size() >= most) return Refusal::TooMany;
  const std::size_t bytes =
      statements().bytes() + ClientStatements::bytes_of(name, body.all.size());
  const std::size_t memory = settings.max_client_statement_memory;
  return memory > 0 && bytes > memory ? Refusal::TooLarge : Refusal::None;
}

// ---- Bind, Describe, Close --------------------------------------------------------------------

void ClientSession::expect_use(Awaits awaits, Known& known, bool renamed) {
  if (!renamed && !known.named) {
    server_->expect_for_client(awaits);
    return;
  }
  server_->expect({.awaits = awaits,
                   .deliver = Deliver::Forward,
                   .client_statement = std::move(known.named),
                   .used = renamed && known.statement != nullptr ? *known.statement : nullptr});
}

// The beginning of a Bind to the unnamed portal, of the unnamed statement that the server has, and
// nothing need be known of it.
bool ClientSession::binds_what_is_there(Bytes bind) const {
  if (!statements_ || bind.size() < wire::kHeaderSize + 2 ||
      bind[wire::kHeaderSize] != std::byte{0} || bind[wire::kHeaderSize + 1] != std::byte{0} ||
      listening_ || statements_->has_portals() || part_->settings.share_unnamed_statements ||
      !shares_statements() || !server_->unnamed_is_settled()) {
    return false;
  }
  const StatementRef& statement = statements_->unnamed();
  return statement && statement->names.empty() && server_->has_unnamed(*statement);
}

bool ClientSession::relay_bind(const wire::Header& header, Bytes& input) {
  if (binds_what_is_there(input)) {
    ++part_->counters.binds;
    server_->expect_for_client(Awaits::Bind);
    forward(header, input);
    return true;
  }
  const Bytes seen = body_seen(header, input);
  wire::MessageReader reader(seen);
  const std::string_view portal = reader.text();
  const std::string_view name = reader.text();
  Known known{.statement = nullptr, .as = name, .named = nullptr};
  if (shares_statements()) {
    if (reader.failed() && input.size() < header.total() && seen.size() < kMaxNames) return false;
    if (!reader.failed()) {
      if (!settled(name.empty() ? Stall::Unnamed : Stall::Names)) return false;
      known = give(name);
      const bool concerns_names = known.statement != nullptr && !(*known.statement)->names.empty();
      if (concerns_names || statements().has_portals()) {
        statements().bind_portal(portal, known.statement != nullptr ? *known.statement : nullptr);
      }
    }
  }
  if (listening_) {
    const Statement* statement = known.statement != nullptr ? known.statement->get() : nullptr;
    listening_->of_portal =
        statement != nullptr && statement->kept
            ? listen_steps(wire::MessageReader(bytes_of(statement->body)).text(), dialect())
            : listening_->of_unnamed;
  }
  ++part_->counters.binds;
  const bool renamed = known.as != name;
  expect_use(Awaits::Bind, known, renamed);
  if (!renamed) {
    forward(header, input);
    return true;
  }
  wire::MessageWriter& head = host_->head.clear().begin('B').text(portal).text(known.as);
  forward_rest(header, input, wire::kHeaderSize + portal.size() + name.size() + 2, head);
  return true;
}

bool ClientSession::relay_describe(const wire::Header& header, Bytes& input) {
  if (input.size() < header.total()) return false;  // at most 10,000 bytes
  const Bytes body = body_seen(header, input);
  if (body.empty() || body[0] != std::byte{'S'}) {
    server_->expect_for_client(Awaits::Describe);
    forward(header, input);
    return true;
  }
  wire::MessageReader reader(body);
  reader.byte();
  const std::string_view name = reader.text();
  Known known{.statement = nullptr, .as = name, .named = nullptr};
  if (shares_statements() && !reader.failed() && reader.at_end()) {
    if (!settled(name.empty() ? Stall::Unnamed : Stall::Names)) return false;
    known = give(name);
  }
  const bool renamed = known.as != name;
  expect_use(Awaits::Describe, known, renamed);
  if (!renamed) {
    forward(header, input);
    return true;
  }
  wire::MessageWriter& head = host_->head.clear().begin('D').byte('S').text(known.as);
  forward_rest(header, input, header.total(), head);
  return true;
}

bool ClientSession::relay_close(const wire::Header& header, Bytes& input) {
  if (input.size() < header.total()) return false;  // at most 10,000 bytes
  wire::MessageReader reader(body_seen(header, input));
  const char kind = reader.byte();
  const std::string_view name = reader.text();
  Reply reply = {.awaits = Awaits::Close, .deliver = Deliver::Forward};
  if (!shares_statements() || kind != 'S' || reader.failed() || !reader.at_end()) {
    server_->expect(std::move(reply));
    forward(header, input);
    return true;
  }
  if (name.empty()) {
    reply.unnamed = true;
    reply.before = statements().exchange_unnamed(nullptr);
    server_->note_unnamed(reply, nullptr);
    server_->expect(std::move(reply));
    forward(header, input);
    return true;
  }
  if (!settled(Stall::Names)) return false;
  const ClientStatementRef found = statements().find(name);
  const OwnName* own = server_->statements().own(name);
  if (!found && own != nullptr && own->sql) {
    reply.own = reply.own_sql = true;
    reply.client_statement =
        std::make_shared<const ClientStatement>(ClientStatement{.name = std::string(name)});
    server_->statements().remove_own(name);
    server_->expect(std::move(reply));
    forward(header, input);
    return true;
  }
  // The server keeps it, for others; and to close what there is not is no error.
  discard(header, input);
  if (found) statements().remove(*found);
  reply.deliver = Deliver::Local;
  reply.client_statement = found;
  server_->expect(std::move(reply));
  return true;
}

}  // namespace doorman::session
