// What a client that holds a server may say, message by message, and what the server gets of it.
//
// Protocol: PostgreSQL documentation, "Message Flow", "Extended Query" and "COPY Operations".
#include "session/client.h"
#include "session/server.h"
#include "wire/error_response.h"
#include "wire/message_writer.h"

namespace doorman::session {

bool ClientSession::relay(const wire::Header& header, Bytes& input) {
  if (!part_->settings.share_unnamed_statements) return relay_message(header, input);
  const Bytes message = input.first(std::min(input.size(), header.total()));
  const bool begins = server_->replies().empty() && server_->status() == 'I';
  if (!relay_message(header, input)) return false;
  note_said(header, message, begins);
  return true;
}

bool ClientSession::relay_message(const wire::Header& header, Bytes& input) {
  if (server_->skipping() && header.type != 'S' && header.type != 'X') {
    discard(header, input);
    return true;
  }
  static constexpr std::string_view kOfCopy = "dcfX";  // what a COPY needs to come to its end
  if (server_->sql_pending() && !server_->executes_copy() &&
      kOfCopy.find(header.type) == std::string_view::npos) {
    return settled(Stall::Sql);
  }
  if (header.type != 'd' && header.type != 'c' && header.type != 'f' && header.type != 'H' &&
      header.type != 'S' && header.type != 'X') {
    server_->send_held();
  }
  switch (header.type) {
    case 'Q':
      if (host_->settings().disable_pqexec) {
        fail(wire::sqlstate::kFeatureNotSupported,
             "simple queries are switched off (disable_pqexec)");
        return false;
      }
      return relay_query(header, input);
    case 'F':
      query_begins();
      if (listening_) {
        server_->expect({.awaits = Awaits::Query,
                         .deliver = Deliver::Forward,
                         .listens = steps_of_query(header, input)});
      } else {
        server_->expect_for_client(Awaits::Query);
      }
      break;
    case 'S':
      if (server_->copy_is_unclear()) {
        return settled(Stall::Copy);
      }
      if (server_->hold(Awaits::HeldSync)) {
        discard(header, input);
        return true;
      }
      query_begins();
      server_->expect_for_client(Awaits::Sync);
      break;
    case 'c':
    case 'f': server_->copy_end_sent(); break;
    case 'd': server_->copy_data_sent(); break;
    case 'H':
      if (header.length == 4) break;
      if (server_->copy_is_unclear()) return settled(Stall::Copy);
      if (server_->hold(Awaits::HeldFlush)) {
        discard(header, input);
        return true;
      }
      query_begins();
      server_->expect_for_client(Awaits::WrongFlush);
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
    case 'D': return relay_describe(header, input);
    case 'C': return relay_close(header, input);
    default: return relay_execute(header, input);
  }
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

}  // namespace doorman::session
