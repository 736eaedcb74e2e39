// What a client that holds a server may say, message by message, and what the server gets of it.
//
// Protocol: PostgreSQL documentation, "Message Flow", "Extended Query" and "COPY Operations".
#include <array>

#include "session/client.h"
#include "session/server.h"
#include "wire/error_response.h"
#include "wire/message_writer.h"

namespace doorman::session {

namespace {

// The longest that a message of each type may be, as its length field says it. 0: there is no such
// type.
constexpr auto kLongest = [] {
  std::array<std::uint32_t, 256> most{};
  for (const unsigned char type : {'Q', 'F', 'B', 'P', 'd', 'p'}) most[type] = wire::kMaxLength;
  for (const unsigned char type : {'C', 'D', 'E', 'H', 'S', 'X', 'c', 'f'}) most[type] = 10'000;
  return most;
}();

// Whether an Execute may leave its portal suspended. One of which only a part is here may.
bool may_suspend(const wire::Header& header, Bytes input) {
  return input.size() < header.total() || read_u32(input.data() + header.total() - 4) != 0;
}

}  // namespace

void ClientSession::take_messages(Bytes& input) {
  while (!input.empty() && take_message(input)) {
  }
}

bool ClientSession::take_message(Bytes& input) {
  if (host_->to_server.full() && server_ != nullptr && !server_->write_gathered()) return false;
  if (host_->to_client.full() && !write_gathered()) return false;
  if (!framer_.at_boundary()) {
    const Bytes piece = framer_.take(input);
    if (!discarding_) host_->to_server.add(piece);
    return true;
  }
  wire::Header header{};
  switch (wire::peek(input, header)) {
    case wire::Cut::NeedMore: return false;
    case wire::Cut::Bad: close("client sent an invalid message length"); return false;
    case wire::Cut::Ready: break;
  }
  if (!check_length(header) && state_ != ClientState::Waiting && state_ != ClientState::Preparing)
      [[unlikely]] {
    refuse_length(header);
    return false;
  }
  // A message that is small enough to wait for is waited for before anybody's server is; only the
  // data of a COPY goes on as it comes.
  if (input.size() < header.total() && header.total() <= kMaxWaitingInput && header.type != 'd') {
    return false;
  }
  if (state_ == ClientState::Idle) {
    if (take_without_server(header, input)) return state_ == ClientState::Idle;
    if (!get_server()) return false;
  } else if (state_ != ClientState::Active) {
    return state_ == ClientState::Console && console_query(header, input);
  }
  return part_->settings.share_unnamed_statements ? relay_noted(header, input)
                                                  : relay_now(header, input);
}

// As relay_message(), for batches that may have to be said again.
bool ClientSession::relay_noted(const wire::Header& header, Bytes& input) {
  const Bytes message = input.first(std::min(input.size(), header.total()));
  const bool begins = server_->replies().empty() && server_->status() == 'I';
  if (!relay_message(header, input)) return false;
  note_said(header, message, begins);
  return true;
}

bool ClientSession::relay_message(const wire::Header& header, Bytes& input) {
  return relay_now(header, input);
}

// What most clients say most of the time is dealt with right here, in the loop over a client's
// messages.
[[gnu::always_inline]] inline bool ClientSession::relay_now(const wire::Header& header,
                                                            Bytes& input) {
  if (server_->may_detain()) [[unlikely]] {
    if (const auto taken = detain(header, input)) return *taken;
  }
  switch (header.type) {
    case 'P': query_begins(); return relay_parse(header, input);
    case 'B': query_begins(); return relay_bind(header, input);
    case 'D': query_begins(); return relay_describe(header, input);
    case 'C': query_begins(); return relay_close(header, input);
    case 'E':
      query_begins();
      if (may_suspend(header, input)) [[unlikely]]
        server_->note_row_limit();
      if (listening_ || (statements_ && statements_->has_portals())) {
        return relay_execute(header, input);
      }
      server_->expect_for_client(Awaits::Execute);
      break;
    case 'S':
      query_begins();
      server_->expect_for_client(Awaits::Sync);
      break;
    case 'Q': return relay_query(header, input);
    case 'F': return relay_function_call(header, input);
    case 'c':
    case 'f': server_->copy_end_sent(); break;
    case 'd': server_->copy_data_sent(); break;
    case 'H':
      if (header.length == 4) break;
      query_begins();
      server_->expect_for_client(Awaits::WrongFlush);
      break;
    case 'X': close("client close request"); return false;
    default: refuse_type(header.type); return false;
  }
  forward(header, input);
  return true;
}

// Types and lengths as PostgreSQL's SocketBackend() takes them: an unknown type is FATAL, a length
// that cannot be ends the connection without a word.
bool ClientSession::check_length(const wire::Header& header) const {
  return header.length <= kLongest[static_cast<unsigned char>(header.type)] &&
         header.total() <= host_->settings().max_packet_size;
}

void ClientSession::refuse_length(const wire::Header& header) {
  if (header.total() > host_->settings().max_packet_size) {
    fail(wire::sqlstate::kLimitExceeded, "a message is longer than max_packet_size");
  } else if (kLongest[static_cast<unsigned char>(header.type)] > 0) {
    close("client sent an invalid message length");
  } else {
    refuse_type(header.type);
  }
}

void ClientSession::refuse_type(char type) {
  fail(wire::sqlstate::kProtocolViolation,
       "invalid frontend message type " + std::to_string(static_cast<unsigned char>(type)));
}

// What does not go on to the server, or not yet, for an error, SQL about names or a COPY that is
// under way. Nothing: it goes on. True: it has been taken.
std::optional<bool> ClientSession::detain(const wire::Header& header, Bytes& input) {
  if (server_->skipping() && header.type != 'S' && header.type != 'X') {
    discard(header, input);
    return true;
  }
  static constexpr std::string_view kOfCopy = "dcfX";  // what a COPY needs to come to its end
  const bool of_copy = kOfCopy.find(header.type) != std::string_view::npos;
  if (server_->sql_pending() && !server_->executes_copy() && !of_copy) return settled(Stall::Sql);
  const bool wrong_flush = header.type == 'H' && header.length > 4;
  if (header.type == 'S' || wrong_flush) {
    if (server_->copy_is_unclear()) return settled(Stall::Copy);
    if (!server_->hold(wrong_flush ? Awaits::HeldFlush : Awaits::HeldSync)) return std::nullopt;
    discard(header, input);
    return true;
  }
  if (header.type != 'H' && !of_copy) server_->send_held();
  return std::nullopt;
}

bool ClientSession::relay_function_call(const wire::Header& header, Bytes& input) {
  query_begins();
  if (listening_) {
    server_->expect({.awaits = Awaits::Query,
                     .deliver = Deliver::Forward,
                     .listens = steps_of_query(header, input)});
  } else {
    server_->expect_for_client(Awaits::Query);
  }
  forward(header, input);
  return true;
}

void ClientSession::forward_beginning(const wire::Header& header, Bytes& input) {
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
