#include "session/client.h"

#include "base/log.h"
#include "session/cancel.h"
#include "session/client_listening.h"
#include "session/live.h"
#include "session/login.h"
#include "session/server.h"
#include "wire/error_response.h"
#include "wire/message_reader.h"
#include "wire/message_writer.h"

namespace doorman::session {

namespace {

constexpr std::size_t kMaxReplies = 16'384;  // owed by a server, to one client

}  // namespace

ClientSession::ClientSession(Host& host, UniqueFd fd, const net::Address& peer)
    : host_(&host),
      id_(host.shared.next_id.fetch_add(1, std::memory_order_relaxed)),
      slot_(&host.slots.take(id_, /*is_server=*/false)),
      stream_(std::move(fd)),
      peer_(peer),
      connected_at_(host.now()),
      state_since_(host.now()) {}

ClientSession::ClientSession(Host& host, UniqueFd fd, std::uint64_t id)
    : host_(&host),
      id_(id),
      slot_(&host.slots.take(id_, /*is_server=*/false)),
      stream_(std::move(fd)) {}

ClientSession::~ClientSession() {
  CHECK(server_ == nullptr);
  host_->slots.give_back(*slot_);
}

void ClientSession::start(FirstPacket first) {
  begin_login();
  stream_.attach(host_->loop, host_->buffers, *this, &host_->outbox);
  stream_.mark_in(slot_->in_doubt);
  stream_.want_read(true);
  if (first == FirstPacket::MayBeThere) on_readable();
}

Login& ClientSession::begin_login() {
  login_ = std::make_unique<Login>(*this);
  host_->logins.push_back(*this);
  return *login_;
}

void ClientSession::settle_login() {
  if (!login_done_ || !login_) return;
  ListNode<InLogin>::unlink();
  login_.reset();
}

void ClientSession::resume_login() {
  if (!login_ || login_done_) return;
  login_->resume();
  settle_login();
  if (state_ != ClientState::Closing) host_->wake(*this);
}

void ClientSession::enter(ClientState next) {
  CHECK(may_follow(state_, next));
  state_ = next;
  state_since_ = host_->now();
  slot_->state.store(static_cast<std::uint8_t>(next), std::memory_order_release);
}

ClientStatements& ClientSession::statements() {
  if (!statements_) {
    statements_ = std::make_unique<ClientStatements>(part_ != nullptr ? &part_->pool.shared().texts
                                                                      : nullptr);
    statements_->watch(host_->live, *slot_);
  }
  return *statements_;
}

std::string ClientSession::describe() const {
  const std::string who =
      part_ != nullptr ? part_->database() + "/" + part_->user() : "(login)/" + local_user_;
  return "C-" + std::to_string(id_) + ": " + who + "@" + peer_.text();
}

// ---- Input ------------------------------------------------------------------------------------

void ClientSession::on_event(short what) {
  if ((what & EV_WRITE) != 0) {
    const InDoubt doubt(*slot_);
    on_writable();
    note_pending();
  }
  if ((what & EV_READ) != 0 && state_ != ClientState::Closing) on_readable();
}

void ClientSession::renew_slot() {
  HotSlot& fresh = host_->slots.take(id_, /*is_server=*/false);
  copy(*slot_, fresh);
  stream_.mark_in(fresh.in_doubt);
  host_->slots.give_back(*std::exchange(slot_, &fresh));
  if (statements_) statements_->watch(host_->live, *slot_);
}

void ClientSession::note_pending() {
  std::uint8_t now = 0;
  if (inbox_ || skipping_to_sync_ || !framer_.at_boundary()) now |= pending::kInput;
  if (output_blocked() || (server_ != nullptr && server_->in_message_to_client())) {
    now |= pending::kOutput;
  }
  if (server_ != nullptr && !server_->replies().empty()) now |= pending::kQuery;
  if (listening_ && !listening_->channels.empty()) now |= pending::kListens;
  if (server_ != nullptr && server_->handing_over()) now |= pending::kCommitted;
  slot_->pending.store(now, std::memory_order_release);
}

void ClientSession::woken() {
  const InDoubt doubt(*slot_);
  go_on();
  note_pending();
}

void ClientSession::on_readable() {
  const std::span<std::byte> into =
      inbox_ ? inbox_->free_space(BufferPool::kSize / 2) : host_->room();
  InDoubt doubt(*slot_);
  const net::Read read = stream_.read(into);
  if (read.status == net::ReadStatus::WouldBlock) return;
  if (read.status == net::ReadStatus::Closed) {
    close(state_ == ClientState::Startup ? "" : "client unexpected eof", Ended::ByClient);
    return;
  }
  if (part_ != nullptr) part_->counters.received_bytes += read.size;
  if (inbox_) {
    inbox_->received(read.size);
    go_on();
    note_pending();
    return;
  }
  host_->arrived(*this, into.first(read.size));
  doubt.stays();
}

void ClientSession::take_up(Bytes input) {
  const InDoubt doubt(*slot_);
  if (state_ == ClientState::Closing) return;
  take_all(input);
  note_pending();
}

void ClientSession::take_all(Bytes input) {
  take_input(input);
  if (state_ == ClientState::Closing) return;
  if (!input.empty()) {
    // Who waits for a server has mostly said all that it has to say.
    const bool waits = state_ == ClientState::Waiting;
    inbox_ = waits ? host_->buffers.lend(input.size()) : host_->buffers.lend();
    inbox_->append(input);
  }
  resume_reading();
}

void ClientSession::go_on() {
  if (state_ == ClientState::Closing || !inbox_) return;
  stalled_ = Stall::No;
  Bytes input = inbox_->bytes();
  const std::size_t before = input.size();
  take_input(input);
  if (state_ == ClientState::Closing) return;
  inbox_->consume(before - input.size());
  if (inbox_->empty()) inbox_.reset();
  resume_reading();
}

// Reads on, unless what has been read has nowhere to go yet.
void ClientSession::resume_reading() {
  bool wanted = state_ != ClientState::Closing;
  if (server_ != nullptr) {
    const std::size_t owed = server_->replies().size();
    const std::size_t most = framer_.at_boundary() ? kMaxReplies : 2 * kMaxReplies;
    wanted = wanted && server_->stream().unsent() == 0 && owed < most;
    if (owed >= most && framer_.at_boundary()) server_->hurry();
  }
  // Who does not read gets no more answers of our own: to Sync, to Close, from the console.
  wanted = wanted && stream_.unsent() < kMaxWaitingInput;
  const bool held = logging_in() || state_ == ClientState::Waiting ||
                    state_ == ClientState::Preparing || awaits_console_ || stalled_ != Stall::No ||
                    !wanted;
  if (held && inbox_ && inbox_->size() >= kMaxWaitingInput) wanted = false;
  const bool was_off = !stream_.wants_read();
  stream_.want_read(wanted);
  if (inbox_ && server_ != nullptr && (stalled_ != Stall::No ? may_go_on() : wanted && was_off)) {
    host_->wake(*this);
  }
}

void ClientSession::take_input(Bytes& input) {
  if (login_) {
    if (!login_done_) login_->take_input(input);
    settle_login();
    if (logging_in() || state_ == ClientState::Closing) return;
  }
  take_messages(input);
  finish_pass();
}

// A message that needs no server. False: it does.
bool ClientSession::take_without_server(const wire::Header& header, Bytes& input) {
  if (header.type == 'X') {
    close("client close request", Ended::ByClient);
    return true;
  }
  if (header.type == 'S' && header.length == 4) {
    discard(header, input);
    answer_sync();
    return true;
  }
  // PostgreSQL ignores a late COPY, too.
  const bool of_copy = header.type == 'd' || header.type == 'c' || header.type == 'f';
  const bool good_flush = header.type == 'H' && header.length == 4;
  if (skipping_to_sync_ || good_flush || of_copy) {
    discard(header, input);
    return true;
  }
  return false;
}

void ClientSession::answer_sync() {
  skipping_to_sync_ = false;
  host_->to_client.add_copy(wire::ready_for_query('I'));
}

void ClientSession::discard(const wire::Header& header, Bytes& input) {
  framer_.begin(header);
  discarding_ = true;
  framer_.take(input);
}

void ClientSession::finish_pass() {
  if (server_ != nullptr && !server_->write_gathered()) return;
  if (server_ == nullptr) host_->to_server.reset();
  if (!write_gathered()) return;
  if (server_ != nullptr && state_ == ClientState::Active && server_->free_to_release()) {
    server_->release();
  }
}

bool ClientSession::console_query(const wire::Header& header, Bytes& input) {
  if (awaits_console_ || output_blocked()) return false;
  if (header.type == 'X') {
    close("client close request");
    return false;
  }
  if (header.type == 'S') {
    discard(header, input);
    answer_sync();
    return true;
  }
  if (header.type != 'Q') {
    discard(header, input);
    if (!skipping_to_sync_ && (header.type == 'P' || header.type == 'F')) {
      skipping_to_sync_ = true;
      send(wire::error_response(wire::Severity::Error, wire::sqlstate::kFeatureNotSupported,
                                "the console understands simple queries only"));
    }
    return true;
  }
  if (header.total() > kMaxWaitingInput) {
    fail(wire::sqlstate::kLimitExceeded, "a console command is too long");
    return false;
  }
  if (input.size() < header.total()) return false;
  wire::MessageReader reader(input.subspan(wire::kHeaderSize, header.total() - wire::kHeaderSize));
  std::string sql(reader.text());
  input = input.subspan(header.total());
  awaits_console_ = true;
  Host& host = *host_;
  host.local->query(host, local_user_, std::move(sql), [&host, id = id_](const std::string& reply) {
    ClientSession* client = host.find_client(id);
    if (client == nullptr) return;
    client->awaits_console_ = false;
    client->send(reply);
    if (client->state_ != ClientState::Closing) host.wake(*client);
  });
  return true;
}

// ---- Output -----------------------------------------------------------------------------------

bool ClientSession::write_gathered() {
  net::Gather& out = host_->to_client;
  if (out.empty()) return true;
  if (part_ != nullptr) part_->counters.sent_bytes += out.size();
  const bool alive = stream_.write(out);
  out.reset();
  if (!alive) close("client is gone");
  return alive;
}

void ClientSession::send(std::string_view bytes) {
  if (!stream_.write(bytes_of(bytes))) close("client is gone");
}

void ClientSession::on_writable() {
  if (!stream_.flush()) {
    close("client is gone");
    return;
  }
  if (stream_.unsent() > 0) return;
  if (server_ != nullptr) server_->resume_reading();
  if (listening_ && server_ == nullptr) tell_now();
  if (state_ == ClientState::Closing) return;
  if (inbox_ && state_ == ClientState::Console) host_->wake(*this);
  resume_reading();
}

// ---- Its server -------------------------------------------------------------------------------

bool ClientSession::get_server() {
  if (part_->removed) {
    fail(wire::sqlstate::kAdminShutdown,
         "database \"" + part_->database() + "\" was removed from the pooler's configuration");
    return false;
  }
  request_at_ = host_->now();
  if (pool::Server* server = part_->pool.take_now(request_at_)) {
    attach_server(static_cast<ServerSession&>(*server));
    return state_ == ClientState::Active;
  }
  enter(ClientState::Waiting);
  told_of_waiting_ = false;
  part_->pool.wait(*this, request_at_);
  return false;
}

// A login that needs a server, for its parameters or to learn what to say.
void ClientSession::wait_for_server() {
  request_at_ = host_->now();
  enter(ClientState::Waiting);
  part_->pool.wait(*this, request_at_);
}

void ClientSession::served(pool::Server& server) {
  const InDoubt doubt(*slot_);
  attach_server(static_cast<ServerSession&>(server));
  if (state_ == ClientState::Preparing) {
    finish_pass();
  } else if (logging_in()) {
    prepared();
  } else {
    go_on();
  }
  note_pending();
}

void ClientSession::attach_server(ServerSession& server) {
  const Instant now = host_->now();
  server_ = &server;
  server.link(*this);
  slot_->peer_id.store(server.id(), std::memory_order_relaxed);
  ++part_->counters.server_assignments;
  part_->counters.wait_us += static_cast<std::uint64_t>((now - request_at_).count());
  transaction_at_ = now;
  if (logging_in()) login_->meet_server();
  // A login waits for the server's word on its parameters in any case: it tells the client.
  const bool same = parameters_ == server.parameters();
  const bool go = same || (server.adopt_parameters(parameters_) && !logging_in());
  enter(go ? ClientState::Active : ClientState::Preparing);
}

void ClientSession::prepared() {
  if (state_ == ClientState::Preparing) enter(ClientState::Active);
  if (logging_in()) {
    transaction_at_ = {};
    server_->release();
    return;
  }
  host_->wake(*this);
}

void ClientSession::released() {
  server_ = nullptr;
  note_pending();
  slot_->peer_id.store(0, std::memory_order_relaxed);
  if (statements_) statements_->clear_portals();
  enter(ClientState::Idle);
  if (logging_in()) welcome();
  if (state_ == ClientState::Closing) return;
  settle_login();
  if (listening_) tell_now();
  if (state_ == ClientState::Closing) return;
  if (inbox_) host_->wake(*this);
}

void ClientSession::refused_parameters(std::string_view error_message, bool with_server) {
  if (!with_server) server_ = nullptr;
  send(error_message);
  close("the server refused its parameters");
}

void ClientSession::refused(const std::string& error_message) {
  if (!error_message.empty()) {
    send(error_message);
  } else {
    send(wire::error_response(wire::Severity::Fatal, wire::sqlstate::kCannotConnectNow,
                              "no server connection could be made"));
  }
  close("no server");
}

void ClientSession::waited_too_long() {
  fail(wire::sqlstate::kTooManyConnections, "query_wait_timeout");
}

void ClientSession::server_lost(std::string_view sqlstate, std::string_view reason,
                                bool mid_message) {
  server_ = nullptr;
  if (mid_message || sqlstate.empty()) {
    if (write_gathered()) close(reason);
  } else {
    fail(sqlstate, reason);
  }
}

void ClientSession::parameter_changed(std::string_view name, std::string_view value) {
  if (!parameters_) return;
  parameters_ = host_->parameters.with(parameters_, name, value);
  if (host_->live != nullptr) host_->live->parameters_changed(*this);
}

void ClientSession::parameters_adopted(const Parameters& parameters) {
  if (logging_in()) login_->accepted(*parameters);
  const bool changed = parameters_ != parameters;
  parameters_ = parameters;
  if (changed && host_->live != nullptr) host_->live->parameters_changed(*this);
}

void ClientSession::begin_query() {
  query_at_ = host_->now();
  if (transaction_at_ == Instant()) transaction_at_ = query_at_;
}

void ClientSession::query_ended(char status, bool more) {
  const Instant now = host_->now();
  const auto since = [now](Instant then) {
    return then == Instant() ? std::uint64_t{0} : static_cast<std::uint64_t>((now - then).count());
  };
  Counters& counters = part_->counters;
  ++counters.queries;
  counters.query_us += since(query_at_);
  query_at_ = more ? now : Instant();
  state_since_ = now;
  if (status != 'I') return;
  ++counters.transactions;
  counters.transaction_us += since(transaction_at_);
  transaction_at_ = more ? now : Instant();
}

// ---- Life -------------------------------------------------------------------------------------

void ClientSession::join_pool(PoolPart& part, pool::Charge database_charge,
                              pool::Charge user_charge) {
  part_ = &part;
  database_charge_ = std::move(database_charge);
  user_charge_ = std::move(user_charge);
  part.clients.push_back(*this);
}

void ClientSession::logged_in_local(std::string user) {
  local_user_ = std::move(user);
  login_done_ = true;
  enter(ClientState::Console);
}

void ClientSession::welcome() {
  login_->send_welcome();
  if (state_ == ClientState::Closing) return;
  login_done_ = true;
  if (host_->live != nullptr) host_->live->logged_in(*this);
  ++part_->counters.logins;
}

bool ClientSession::in_transaction() const {
  const bool between = state_ == ClientState::Active && server_->status() == 'I' &&
                       query_at_ == Instant();  // in session mode
  return state_ == ClientState::Waiting || (has_server(state_) && !between);
}

void ClientSession::fail(std::string_view sqlstate, std::string_view message) {
  if (state_ == ClientState::Closing) return;
  if (host_->settings().log_pooler_errors) {
    log(LogLevel::Warning, "{} pooler error: {}", describe(), message);
  }
  const bool mid_message = server_ != nullptr && server_->in_message_to_client();
  if (!mid_message) {
    if (!write_gathered()) return;
    send(wire::error_response(wire::Severity::Fatal, sqlstate, message));
  }
  close(message);
}

void ClientSession::close(std::string_view reason, Ended ended) {
  if (state_ == ClientState::Closing) return;
  if (!reason.empty() && host_->settings().log_disconnections) {
    log(LogLevel::Info, "{} closing because: {} (age={}s)", describe(), reason,
        std::chrono::duration_cast<std::chrono::seconds>(host_->now() - connected_at_).count());
  }
  if (state_ == ClientState::Waiting) part_->pool.forget(*this);
  if (ServerSession* server = std::exchange(server_, nullptr)) server->client_left();
  if (process_id_ != 0) host_->shared.cancel_keys.withdraw(process_id_);
  enter(ClientState::Closing);
  ListNode<OfPart>::unlink();
  ListNode<InReady>::unlink();
  ListNode<InLogin>::unlink();
  inbox_.reset();
  listening_.reset();
  if (host_->live != nullptr && slot_->vaulted.load(std::memory_order_relaxed) != 0) {
    host_->live->ended(stream_.release());
  } else if (ended == Ended::ByClient) {
    // Who has ended it need not be told at once where a copy of the socket is elsewhere, as a
    // shutdown would tell it: it ends with the last copy.
    const UniqueFd gone = stream_.release();
  } else {
    stream_.close();
  }
  charge_.reset();
  database_charge_.reset();
  user_charge_.reset();
  host_->reap(*this);
}

void ClientSession::request_cancel() {
  if (server_ != nullptr) {
    server_->request_cancel();
    return;
  }
  if (state_ != ClientState::Waiting || logging_in()) return;
  // Still queued: nothing has been sent, so the query ends here, as PostgreSQL would end it.
  const InDoubt doubt(*slot_);
  part_->pool.forget(*this);
  enter(ClientState::Idle);
  send(wire::error_response(wire::Severity::Error, wire::sqlstate::kQueryCanceled,
                            "canceling statement due to user request"));
  if (state_ == ClientState::Closing) return;
  wire::Header header{};
  CHECK(inbox_ && wire::peek(inbox_->bytes(), header) == wire::Cut::Ready);
  if (header.type == 'Q' || header.type == 'F') {
    Bytes input = inbox_->bytes();
    const std::size_t before = input.size();
    discard(header, input);
    inbox_->consume(before - input.size());
    send(wire::ready_for_query('I'));
  } else {
    skipping_to_sync_ = true;
  }
  if (state_ != ClientState::Closing) host_->wake(*this);
}

void ClientSession::waits_still(Instant now) {
  if (!logging_in()) tell_of_waiting(now);
}

// Once per wait: the queue is no secret.
void ClientSession::tell_of_waiting(Instant now) {
  const Duration after = host_->settings().query_wait_notify;
  if (told_of_waiting_ || after == Duration::zero() || now - waiting_since < after) return;
  told_of_waiting_ = true;
  send(wire::error_response(
      wire::Severity::Notice, "00000",
      "the query waits for a server connection: all of the pool are in use",
      "The pooler's default_pool_size, pool_size and max_db_connections limit them."));
}

void ClientSession::tick(Instant now) {
  const auto over = [now](Instant since, Duration limit) {
    return limit > Duration::zero() && now - since >= limit;
  };
  if (logging_in()) {
    if (over(connected_at_, host_->settings().client_login_timeout)) {
      fail(wire::sqlstate::kCannotConnectNow, "client_login_timeout");
    }
    return;
  }
  if (part_ == nullptr) return;
  const PoolSettings& settings = part_->settings;
  if (state_ == ClientState::Idle) {
    if (over(state_since_, settings.client_idle_timeout)) {
      fail(wire::sqlstate::kIdleSessionTimeout, "client_idle_timeout");
    }
    return;
  }
  if (!has_server(state_)) return;
  if (query_at_ != Instant() && over(query_at_, settings.query_timeout)) {
    fail(wire::sqlstate::kQueryCanceled, "query_timeout");
  } else if (transaction_at_ != Instant() && over(transaction_at_, settings.transaction_timeout)) {
    fail("25P04", "transaction_timeout");
  } else if (server_->status() != 'I' && server_->replies().empty() && query_at_ == Instant() &&
             over(state_since_, settings.idle_transaction_timeout)) {
    fail(wire::sqlstate::kIdleInTransactionTimeout, "idle_transaction_timeout");
  }
}

}  // namespace doorman::session
