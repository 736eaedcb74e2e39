// A text that a server is given later is read in the client_encoding of the client's own Parse.
//
// Where that is not what the server has now, it is changed just before the Parse and back behind
// it, by commands of our own in the same transaction: an error undoes both. What it is now only the
// server knows for sure, and keeps it meanwhile in a setting that ends with the transaction.
//
// Protocol: PostgreSQL documentation, "Extended Query" and "Character Set Support".
#include "session/client.h"
#include "session/server.h"
#include "wire/message_writer.h"

namespace doorman::session {

namespace {

// Statement and portal: the client's unnamed ones stay as they are.
constexpr std::string_view kName = "PGDOORMAN_encoding";

constexpr std::string_view kChange =
    "SELECT pg_catalog.set_config('pgdoorman.client_encoding', "
    "pg_catalog.current_setting('client_encoding'), true), "
    "pg_catalog.set_config('client_encoding', $1, true)";
constexpr std::string_view kChangeBack =
    "SELECT pg_catalog.set_config('client_encoding', "
    "pg_catalog.current_setting('pgdoorman.client_encoding'), true)";

}  // namespace

void ServerSession::set_batch_encoding(std::string_view encoding) {
  const std::string* standard = welcome_->find("client_encoding");
  if (encoding.empty() && standard != nullptr) encoding = *standard;
  batch_encoding_ = encoding;
  encoding_batch_ = batch_;
  doubt_encoding();
}

// What the client's next message is in, as far as can be known.
std::string_view ServerSession::encoding_now() const {
  if (!batch_encoding_.empty() && encoding_batch_ == batch_) return batch_encoding_;
  return encoding_in(client_->parameters()->meaning());
}

std::string ServerSession::meaning_now() const {
  const std::string& meaning = client_->parameters()->meaning();
  return batch_encoding_.empty() ? meaning : with_encoding(meaning, encoding_now());
}

// Before a Parse of `statement`. True: behind it end_encoding() is due.
bool ServerSession::begin_encoding_of(const Statement& statement) {
  if (client_ == nullptr) return false;
  if (!encoding_changes_ && statement.settings == client_->parameters()->meaning()) return false;
  const std::string_view then = encoding_in(statement.settings);
  if (then.empty() || is_ascii_text(statement.body)) return false;
  if (!encoding_changes_ && then == encoding_now()) return false;
  run_unseen(kChange, then);
  return true;
}

void ServerSession::end_encoding() { run_unseen(kChangeBack, {}); }

// `value`: its parameter; empty: it has none.
void ServerSession::run_unseen(std::string_view sql, std::string_view value) {
  wire::MessageWriter out;
  out.begin('P').text(kName).text(sql).u16(0).end();
  out.begin('B').text(kName).text(kName).u16(0);
  if (value.empty()) {
    out.u16(0);
  } else {
    out.u16(1).u32(static_cast<std::uint32_t>(value.size())).raw(value);
  }
  out.u16(0).end();
  out.begin('E').text(kName).u32(0).end();
  out.begin('C').byte('P').text(kName).end();
  out.begin('C').byte('S').text(kName).end();
  host_->to_server.add_copy(out.bytes());
  for (const Awaits each :
       {Awaits::Parse, Awaits::Bind, Awaits::Execute, Awaits::Close, Awaits::Close}) {
    expect({.awaits = each, .deliver = Deliver::Swallow});
  }
}

// The server is at such a command of ours.
bool ServerSession::in_unseen_execute() const {
  return !adopting_ && state_ == ServerState::Active && !replies_.empty() &&
         replies_.at(0).awaits == Awaits::Execute && replies_.at(0).deliver == Deliver::Swallow;
}

}  // namespace doorman::session
