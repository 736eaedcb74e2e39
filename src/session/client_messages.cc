// What a client that holds a server may say, message by message, and what the server gets of it.
//
// Protocol: PostgreSQL documentation, "Message Flow", "Extended Query" and "COPY Operations".
#include "session/client.h"
#include "session/client_listening.h"
#include "session/server.h"
#include "wire/error_response.h"
#include "wire/message_reader.h"
#include "wire/message_writer.h"

namespace doorman::session {

namespace {

constexpr std::size_t kMaxNames = std::size_t{64} * 1024;  // portal and statement name of a Bind

// True for a Parse message's text and parameter types, complete and with nothing behind them.
bool is_parse_body(Bytes body) {
  wire::MessageReader reader(body);
  reader.text();
  const std::size_t types = reader.u16();
  return !reader.failed() && reader.rest().size() == types * 4;
}

}  // namespace

bool ClientSession::shares_statements() const {
  return part_->settings.pool_mode != config::PoolMode::Session &&
         host_->settings().max_prepared_statements > 0;
}

bool ClientSession::relay(const wire::Header& header, Bytes& input) {
  if (server_->skipping() && header.type != 'S' && header.type != 'X') {
    discard(header, input);
    return true;
  }
  if (header.type != 'd' && header.type != 'c' && header.type != 'f' && header.type != 'H' &&
      header.type != 'S' && header.type != 'X') {
    server_->send_held_syncs();
  }
  switch (header.type) {
    case 'Q':
      if (host_->settings().disable_pqexec) {
        fail(wire::sqlstate::kFeatureNotSupported,
             "simple queries are switched off (disable_pqexec)");
        return false;
      }
      [[fallthrough]];
    case 'F':
      query_begins();
      server_->expect({.awaits = Awaits::Query,
                       .deliver = Deliver::Forward,
                       .listens = listening_ ? steps_of_query(header, input) : nullptr});
      break;
    case 'S':
      if (server_->copy_is_unclear()) {
        stalled_ = true;
        return false;
      }
      if (server_->hold_sync()) {
        discard(header, input);
        return true;
      }
      query_begins();
      server_->expect({.awaits = Awaits::Sync, .deliver = Deliver::Forward});
      break;
    case 'c':
    case 'f': server_->copy_end_sent(); break;
    case 'd': server_->copy_data_sent(); break;
    case 'H':
      if (header.length == 4) break;
      query_begins();  // a wrong one: it gets an error
      server_->expect({.awaits = Awaits::Execute, .deliver = Deliver::Forward});
      break;
    case 'X': close("client close request"); return false;
    case 'p':
      fail(wire::sqlstate::kProtocolViolation, "invalid frontend message type 112");
      return false;
    default: query_begins(); return relay_extended(header, input);
  }
  forward(header, input);
  return true;
}

bool ClientSession::relay_extended(const wire::Header& header, Bytes& input) {
  switch (header.type) {
    case 'P': return relay_parse(header, input);
    case 'B': return relay_bind(header, input);
    case 'D':
    case 'C': return relay_describe_or_close(header, input);
    default: break;
  }
  server_->expect({.awaits = Awaits::Execute,
                   .deliver = Deliver::Forward,
                   .listens = listening_ ? listening_->of_portal : nullptr});
  forward(header, input);
  return true;
}

void ClientSession::forward(const wire::Header& header, Bytes& input) {
  framer_.begin(header);
  discarding_ = false;
  host_->to_server.add(framer_.take(input));
}

// The message with its first `skipped` bytes replaced by `new_head`, whose length field is filled
// in here.
void ClientSession::forward_rest(const wire::Header& header, Bytes& input, std::size_t skipped,
                                 wire::MessageWriter& new_head) {
  new_head.set_length(header.length + new_head.bytes().size() - skipped);
  host_->to_server.add_copy(new_head.bytes());
  framer_ = wire::Framer(header.type, header.total() - skipped);
  discarding_ = false;
  input = input.subspan(skipped);
  if (!framer_.at_boundary()) host_->to_server.add(framer_.take(input));
}

// A name means what it means once the Parse and Close messages before have ended, well or not.
// Within one batch they all end the same way, for an error skips the rest; a later batch waits.
bool ClientSession::names_are_settled() {
  stalled_ = !server_->names_are_settled();
  return !stalled_;
}

bool ClientSession::relay_parse(const wire::Header& header, Bytes& input) {
  const Bytes seen = input.first(std::min(input.size(), header.total())).subspan(wire::kHeaderSize);
  wire::MessageReader reader(seen);
  const std::string_view name = reader.text();
  const bool whole = input.size() >= header.total();
  if (reader.failed() && !whole && seen.size() < kMaxNames) return false;
  const bool named = shares_statements() && !reader.failed() && !name.empty();
  if (named && !whole) {
    if (header.total() <= host_->settings().max_prepared_statement_size) return false;
    fail(wire::sqlstate::kLimitExceeded,
         "a prepared statement is longer than max_prepared_statement_size");
    return false;
  }
  if (listening_ && name.empty()) {
    listening_->of_unnamed = listen_steps(wire::MessageReader(reader.rest()).text(), dialect());
  }
  if (!named || !is_parse_body(reader.rest())) {
    server_->expect({.awaits = Awaits::Parse, .deliver = Deliver::Forward});
    forward(header, input);
    return true;
  }
  if (!names_are_settled()) return false;
  ++part_->counters.client_parses;
  if (statements().find(name)) {
    // The server gives the error for the duplicate, in its place: it gets the name just before.
    host_->to_server.add_copy(wire::parse(name, ""));
    server_->expect({.awaits = Awaits::Parse, .deliver = Deliver::Swallow});
    server_->expect({.awaits = Awaits::Parse, .deliver = Deliver::Forward});
    server_->note_sql_prepared();
    forward(header, input);
    return true;
  }
  const Bytes body = reader.rest();
  auto created = std::make_shared<const ClientStatement>(
      ClientStatement{.serial = host_->shared.next_id.fetch_add(1, std::memory_order_relaxed),
                      .name = std::string(name),
                      .statement = host_->shared.statements.intern(text_of(body))});
  statements().add(created);
  const StatementRef& statement = created->statement;
  if (server_->statements().use(*statement)) {
    ++part_->counters.statement_hits;
    if (server_->transaction_is_known_good()) {
      discard(header, input);
      server_->expect(
          {.awaits = Awaits::Parse, .deliver = Deliver::Local, .client_statement = created});
      return true;
    }
    // Whether a Parse is allowed (25P02) only the server knows: it gets the statement anew.
    host_->to_server.add_copy(wire::close_statement(statement->server_name));
    server_->expect({.awaits = Awaits::Close, .deliver = Deliver::Swallow, .statement = statement});
  } else {
    ++part_->counters.statement_misses;
  }
  ++part_->counters.server_parses;
  server_->expect({.awaits = Awaits::Parse,
                   .deliver = Deliver::Forward,
                   .statement = statement,
                   .client_statement = created});
  server_->statements().add(statement);
  wire::MessageWriter& head = host_->head.clear().begin('P').text(statement->server_name);
  forward_rest(header, input, wire::kHeaderSize + name.size() + 1, head);
  server_->evict_statements();
  return true;
}

bool ClientSession::relay_bind(const wire::Header& header, Bytes& input) {
  const Bytes seen = input.first(std::min(input.size(), header.total())).subspan(wire::kHeaderSize);
  wire::MessageReader reader(seen);
  const std::string_view portal = reader.text();
  const std::string_view name = reader.text();
  ClientStatementRef found;
  if (shares_statements()) {
    if (reader.failed() && input.size() < header.total() && seen.size() < kMaxNames) return false;
    if (!reader.failed() && !name.empty() && statements_) {
      if (!names_are_settled()) return false;
      found = statements_->find(name);
    }
  }
  ++part_->counters.binds;
  if (listening_) {
    listening_->of_portal =
        found
            ? listen_steps(wire::MessageReader(bytes_of(found->statement->body)).text(), dialect())
            : listening_->of_unnamed;
  }
  if (!found) {  // unnamed, or unknown: then the server says so, with the client's own name
    server_->expect({.awaits = Awaits::Bind, .deliver = Deliver::Forward});
    forward(header, input);
    return true;
  }
  server_->provide(found);
  server_->expect({.awaits = Awaits::Bind, .deliver = Deliver::Forward});
  wire::MessageWriter& head =
      host_->head.clear().begin('B').text(portal).text(found->statement->server_name);
  forward_rest(header, input, wire::kHeaderSize + portal.size() + name.size() + 2, head);
  return true;
}

bool ClientSession::relay_describe_or_close(const wire::Header& header, Bytes& input) {
  if (input.size() < header.total()) return false;  // at most 10,000 bytes
  wire::MessageReader reader(input.subspan(wire::kHeaderSize, header.total() - wire::kHeaderSize));
  const char kind = reader.byte();
  const std::string_view name = reader.text();
  ClientStatementRef found;
  if (shares_statements() && kind == 'S' && !reader.failed() && reader.at_end() && statements_) {
    if (!names_are_settled()) return false;
    found = statements_->find(name);
  }
  const Awaits awaits = header.type == 'D' ? Awaits::Describe : Awaits::Close;
  if (!found) {
    server_->expect({.awaits = awaits, .deliver = Deliver::Forward});
    forward(header, input);
    return true;
  }
  if (awaits == Awaits::Close) {  // the server keeps it, for others
    discard(header, input);
    statements_->remove(*found);
    server_->expect({.awaits = awaits, .deliver = Deliver::Local, .client_statement = found});
    return true;
  }
  server_->provide(found);
  server_->expect({.awaits = awaits, .deliver = Deliver::Forward});
  wire::MessageWriter& head =
      host_->head.clear().begin('D').byte('S').text(found->statement->server_name);
  forward_rest(header, input, header.total(), head);
  return true;
}

}  // namespace doorman::session
