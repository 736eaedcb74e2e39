#include "session/server.h"

#include <algorithm>

#include "base/log.h"
#include "session/client.h"
#include "session/handover.h"
#include "session/live.h"
#include "session/server_login.h"
#include "wire/error_response.h"
#include "wire/message_writer.h"

namespace doorman::session {

namespace {

constexpr Duration kCancelAgain = std::chrono::milliseconds(500);

// Messages that are looked at as a whole are short ones; a longer one of that type is no
// PostgreSQL.
constexpr std::size_t kMaxWhole = std::size_t{64} * 1024;

// These may be of any length and are passed on as they come.
bool is_streamed(char type) {
  return type == 'D' || type == 'd' || type == 'T' || type == 't' || type == 'V' || type == 'E' ||
         type == 'N' || type == 'A';
}

}  // namespace

ServerSession::ServerSession(Host& host, PoolPart& part, pool::ServerCharge charge,
                             pool::Charge connecting)
    : host_(&host),
      part_(&part),
      id_(host.shared.next_id.fetch_add(1, std::memory_order_relaxed)),
      slot_(&host.slots.take(id_, /*is_server=*/true)),
      charge_(std::move(charge)),
      connecting_(std::move(connecting)),
      stream_(UniqueFd()),
      login_(std::make_unique<ServerLogin>(*this)),
      generation_(part.generation),
      state_since_(host.now()) {
  created_at = host.now();
  part.servers.push_back(*this);
}

ServerSession::ServerSession(Host& host, PoolPart& part, pool::ServerCharge charge,
                             std::uint64_t id)
    : host_(&host),
      part_(&part),
      id_(id),
      slot_(&host.slots.take(id_, /*is_server=*/true)),
      charge_(std::move(charge)),
      stream_(UniqueFd()),
      generation_(part.generation) {
  part.servers.push_back(*this);
}

ServerSession::~ServerSession() {
  CHECK(client_ == nullptr);
  if (slot_ != nullptr) host_->slots.give_back(*slot_);
}

void ServerSession::start() {
  login_->hosts = part_->settings.database.hosts;
  if (login_->hosts.empty()) login_->hosts.push_back(host_->settings().unix_socket_dir);
  if (part_->settings.database.load_balance_hosts == config::LoadBalance::RoundRobin) {
    const std::size_t first = part_->next_host++ % login_->hosts.size();
    std::rotate(login_->hosts.begin(), login_->hosts.begin() + static_cast<std::ptrdiff_t>(first),
                login_->hosts.end());
  }
  login_->next_address();
}

void ServerSession::enter(ServerState next) {
  CHECK(may_follow(state_, next));
  if (log_enabled(LogLevel::Debug)) [[unlikely]] {
    log(LogLevel::Debug, "S-{}: {} becomes {}", id_, name_of(state_), name_of(next));
  }
  state_ = next;
  state_since_ = host_->now();
  slot_->state.store(static_cast<std::uint8_t>(next), std::memory_order_release);
}

std::uint32_t ServerSession::backend_pid() const {
  return cancel_key_.size() < 4 ? 0 : read_u32(bytes_of(text_of(cancel_key_)).data());
}

// The first ReadyForQuery.
void ServerSession::logged_in() {
  if (host_->settings().log_connections) {
    log(LogLevel::Info, "S-{}: {}/{}@{} new connection to server", id_, part_->database(),
        part_->settings.server_user, address_.text());
  }
  welcome_ = std::make_shared<const Welcome>(std::move(login_->welcome));
  login_.reset();
  part_->pool.shared().recovered();
  part_->common.set_welcome(welcome_);
  ParameterSet set;
  for (const Parameter& each : welcome_->reported) {
    if (part_->tracked(each.name)) set.set(each.name, each.value);
  }
  parameters_ = host_->parameters.intern(set);
  if (host_->live != nullptr) host_->live->logged_in(*this);
  if (part_->settings.database.connect_query) {
    cleaning_.push_back(*part_->settings.database.connect_query);
  }
  next_cleaning();
}

// The attempt that the pool asked for is over only when its server can be used: until then the pool
// need not open another one.
void ServerSession::end_connect() {
  if (!connecting_) return;
  connecting_.reset();
  part_->pool.connect_ended();
}

// ---- Input ------------------------------------------------------------------------------------

void ServerSession::on_event(short what) {
  if ((what & EV_WRITE) != 0) {
    const InDoubt doubt(*slot_);
    ClientSession* const client = client_;  // of the same turn: it lives on to its end
    on_writable();
    if (client != nullptr) client->note_pending();
  }
  if ((what & EV_READ) != 0 && state_ != ServerState::Closing) on_readable();
}

void ServerSession::on_readable() {
  if (state_ == ServerState::Connecting) return;
  const std::span<std::byte> into =
      inbox_ ? inbox_->free_space(BufferPool::kSize / 2) : host_->room();
  InDoubt doubt(*slot_);
  const net::Read read = stream_.read(into);
  if (read.status == net::ReadStatus::WouldBlock) return;
  ClientSession* const client = client_;
  if (read.status == net::ReadStatus::Closed) {
    fail(wire::sqlstate::kConnectionFailure, "server closed the connection unexpectedly");
  } else if (inbox_) {
    inbox_->received(read.size);
    go_on();
  } else {
    host_->arrived(*this, into.first(read.size));
    doubt.stays();
    return;
  }
  if (client != nullptr) client->note_pending();
}

void ServerSession::take_up(Bytes input) {
  const InDoubt doubt(*slot_);
  if (state_ == ServerState::Closing) return;
  ClientSession* const client = client_;  // of the same turn: it lives on to its end
  take_all(input);
  if (client != nullptr) client->note_pending();
}

void ServerSession::take_all(Bytes input) {
  consume(input);
  // A login that went on with another host left the rest of what the last one said.
  const bool other_host = state_ == ServerState::Resolving || state_ == ServerState::Connecting;
  if (state_ == ServerState::Closing || other_host || input.empty()) return;
  inbox_ = host_->buffers.lend();
  inbox_->append(input);
}

void ServerSession::go_on() {
  if (!inbox_) return;
  Bytes input = inbox_->bytes();
  const std::size_t before = input.size();
  consume(input);
  if (state_ == ServerState::Closing || !inbox_) return;
  inbox_->consume(before - input.size());
  if (inbox_->empty()) inbox_.reset();
}

void ServerSession::consume(Bytes& input) {
  while (!input.empty()) {
    if (host_->to_client.full() && client_ != nullptr && !client_->write_gathered()) return;
    if (!framer_.at_boundary()) {
      const Bytes piece = framer_.take(input);
      if (passing_ && client_ != nullptr) host_->to_client.add(piece);
      if (framer_.at_boundary() && framer_.type() == 'T' &&
          !completed(Awaits::Describe, /*part_of_query=*/true)) {
        return;
      }
      continue;
    }
    wire::Header header{};
    const wire::Cut cut = wire::peek(input, header);
    if (cut == wire::Cut::NeedMore) break;
    if (cut == wire::Cut::Bad) {
      fail(wire::sqlstate::kProtocolViolation, "the server sent an invalid message length");
      return;
    }
    Bytes message;
    if (input.size() < header.total()) [[unlikely]] {
      if (header.total() > kMaxWhole && !is_streamed(header.type)) {
        fail(wire::sqlstate::kProtocolViolation, "the server sent a message that is too long");
        return;
      }
      if (is_waited_for(header, input.size())) break;
      framer_.begin(header);
      message = framer_.take(input);
      passing_ = false;
    } else {
      message = take_front(input, header.total());
    }
    if (login_) [[unlikely]] {
      if (!login_->take_message(header, message) || state_ == ServerState::Closing) return;
      if (login_ && login_->working) break;
      continue;
    }
    if (!take_message(header, message) || state_ == ServerState::Closing) return;
  }
  end_of_pass();
}

// Nothing can be done yet with a message of which `size` bytes have come.
bool ServerSession::is_waited_for(const wire::Header& header, std::size_t size) const {
  if (!is_streamed(header.type)) return true;
  const bool fields_matter = header.type == 'E' || header.type == 'T' || header.type == 'A' ||
                             (header.type == 'D' && handover_);
  return fields_matter && size < std::min(header.total(), kMaxWhole);
}

void ServerSession::end_of_pass() {
  if (client_ != nullptr) {
    ClientSession& client = *client_;
    if (handover_) look_at_marks();
    if (!client.write_gathered() || client_ == nullptr) return;
    if (release_after_pass_ && framer_.at_boundary()) {
      release_after_pass_ = false;
      if (free_to_release()) {
        release();
        return;
      }
    }
    if (client.output_blocked()) stream_.want_read(false);
    client.resume_reading();
  } else {
    host_->to_client.reset();
    if (orphaned_ && replies_.empty()) orphan_is_quiet();
  }
}

void ServerSession::resume_reading() { stream_.want_read(true); }

void ServerSession::hurry() {
  static constexpr std::string_view kFlush("H\0\0\0\4", 5);
  if (stream_.unsent() > 0) return;
  if (!stream_.write(bytes_of(kFlush))) stream_.want_read(true);  // and so learns why
}

void ServerSession::on_writable() {
  if (state_ == ServerState::Connecting) {
    login_->connected();
    return;
  }
  if (!stream_.flush()) {
    fail(wire::sqlstate::kConnectionFailure, "server closed the connection unexpectedly");
    return;
  }
  if (stream_.unsent() > 0 || client_ == nullptr) return;
  client_->resume_reading();
  if (free_to_release()) release();
}

bool ServerSession::write_gathered() {
  if (stream_.write(host_->to_server)) {
    host_->to_server.reset();
    return true;
  }
  host_->to_server.reset();
  // What the server said before it went away is still to be read: FATAL, and why.
  if (stream_.unsent() == 0 && state_ == ServerState::Active) {
    stream_.want_read(true);
    return true;
  }
  fail(wire::sqlstate::kConnectionFailure, "server closed the connection unexpectedly");
  return false;
}

// ---- Its client -------------------------------------------------------------------------------

void ServerSession::link(ClientSession& client) {
  CHECK(client_ == nullptr);
  enter(ServerState::Active);
  client_ = &client;
  fresh_ = true;
  open_batch_ = false;
  settings_in_doubt_ = false;
  doubt_lasts_ = false;
  encoding_changes_ = false;
  batch_encoding_.clear();
  linked_at_ = host_->now();
  slot_->peer_id.store(client.id(), std::memory_order_relaxed);
  if (client.output_blocked()) stream_.want_read(false);
}

void ServerSession::expect(Reply&& reply) {
  if (reply.awaits == Awaits::Sync) {
    skipping_ = false;
    ++batch_;
  }
  const bool for_client = reply.deliver == Deliver::Forward || reply.deliver == Deliver::Local;
  if (already_answered_ > 0 && for_client) {
    --already_answered_;
    open_batch_ = true;
    if (reply.deliver == Deliver::Local) return;
    reply.deliver = Deliver::Swallow;
  }
  if (reply.changes_names()) {
    if (names_pending_++ == 0) names_batch_ = batch_;
  }
  if (reply.unnamed) {
    ++unnamed_pending_;
    unnamed_batch_ = batch_;
  }
  if (reply.slot) {
    ++slot_pending_;
    slot_batch_ = batch_;
  }
  if (reply.statement) {
    if (statements_sent_ == statements_settled_) statements_batch_ = batch_;
    reply.sequence = ++statements_sent_;
  }
  if (reply.deliver == Deliver::Forward) {
    fresh_ = false;
    open_batch_ = true;
    if (reply.awaits == Awaits::Query || reply.awaits == Awaits::Sync) ++ready_pending_;
  }
  const bool local = reply.deliver == Deliver::Local;
  if (local) {
    fresh_ = false;
    open_batch_ = true;
  }
  replies_.push(std::move(reply));
  if (local && replies_.size() == 1) advance();
}

bool ServerSession::adopt_parameters(const Parameters& wanted) {
  const std::vector<Change> changes = difference(*parameters_, *wanted);
  parameters_before_ = parameters_;
  ParameterSet set = *parameters_;
  bool known = true;
  for (const Change& change : changes) {
    if (welcome_->find(change.name) == nullptr) {  // not reported: we must remember it ourselves
      change.value ? set.set(change.name, *change.value) : set.erase(change.name);
    }
    known = known && (!change.value || part_->accepted(change.name, *change.value) != nullptr);
  }
  parameters_ = host_->parameters.intern(set);
  host_->to_server.add_copy(change_messages(changes));
  for (const Awaits each : {Awaits::Parse, Awaits::Bind, Awaits::Execute, Awaits::Sync}) {
    expect({.awaits = each, .deliver = Deliver::Swallow});
  }
  statements_.set_unnamed(ServerStatements::Unnamed::Unknown);
  adopting_ = true;
  return known;
}

bool ServerSession::free_to_release() const {
  return state_ == ServerState::Active && client_ != nullptr &&
         client_->state() == ClientState::Active && !fresh_ && !open_batch_ && !skipping_ &&
         status_ == 'I' && replies_.empty() && stream_.unsent() == 0 && framer_.at_boundary() &&
         !statements_.pins() && client_->between_messages() &&
         part_->settings.pool_mode != config::PoolMode::Session;
}

void ServerSession::detach_client() {
  client_ = nullptr;
  handover_.reset();
  fresh_ = true;
  release_after_pass_ = false;
  passing_ = false;
  slot_->peer_id.store(0, std::memory_order_relaxed);
  stream_.want_read(true);
}

void ServerSession::release() {
  ClientSession& client = *client_;
  detach_client();
  clean();
  client.released();
}

// The client is gone. Nobody else may see what it left: an open transaction is rolled back by a
// simple query (a Sync would commit what it had begun implicitly); a query that runs is cancelled,
// since PostgreSQL would otherwise finish it, and what it still says is read and dropped. Where the
// server waits for bytes that will not come, the connection is closed, which is always right.
void ServerSession::client_left() {
  const bool written = stream_.write(host_->to_server);  // what it said in its last breath
  host_->to_server.reset();
  if (!written) {
    detach_client();
    fail("", "server is gone");
    return;
  }
  const bool whole_messages = client_->between_messages() && stream_.unsent() == 0;
  const bool half_batch = open_batch_ && status_ == 'I';
  const bool waits_for_client = copying_in_ || skipping_ || (replies_.empty() && half_batch);
  detach_client();
  if (part_->settings.pool_mode == config::PoolMode::Session) dirt_ |= dirt::kAll;
  half_message_ = !whole_messages;  // nobody will complete it, and it is the last one owed for
  if (waits_for_client || (half_message_ && replies_.size() <= 1)) {
    fail("", "its client left in the middle of a query");
    return;
  }
  if (!replies_.empty()) {
    const Awaits last = replies_.at(replies_.size() - 1).awaits;
    if (last != Awaits::Query && last != Awaits::Sync && !half_message_ &&
        !stream_.write(bytes_of(wire::empty_message('H')))) {  // else it keeps its answers back
      fail("", "server is gone");
      return;
    }
    orphaned_ = true;
    enter(ServerState::Cleaning);
    request_cancel();
    return;
  }
  if (status_ != 'I') cleaning_.insert(cleaning_.begin(), "ROLLBACK");
  clean();
}

// What its last client had asked for has come to its end.
void ServerSession::orphan_is_quiet() {
  if (cancels_ > 0 && replies_.empty()) return;  // until cancel_done(): ours must not be hit
  orphaned_ = false;
  if (skipping_ || copying_in_ || open_batch_ || half_message_) {
    fail("", "its client left in the middle of a query");
    return;
  }
  if (status_ != 'I') cleaning_.insert(cleaning_.begin(), "ROLLBACK");
  clean();
}

void ServerSession::request_cancel() {
  if (cancel_key_.empty() || cancels_ > 2 || handover_) return;
  ++cancels_;
  host_->send_cancel(address_, std::string(text_of(cancel_key_)), id_);
}

void ServerSession::cancel_done() {
  if (cancels_ > 0) --cancels_;
  if (cancels_ > 0) return;
  if (orphaned_ && replies_.empty()) orphan_is_quiet();
  if (state_ == ServerState::Cancelling) become_idle();
}

// ---- Life -------------------------------------------------------------------------------------

void ServerSession::retire(std::string_view reason) {
  CHECK(at_rest());
  if (!stream_.write(bytes_of(wire::terminate()))) reason = "server is gone";
  fail("", reason);
}

void ServerSession::fail(std::string_view sqlstate, std::string_view reason) {
  if (state_ == ServerState::Closing) return;
  const bool mid_message = !framer_.at_boundary() && passing_;
  if (host_->settings().log_disconnections) {
    log(LogLevel::Info, "S-{}: {}/{}@{} closing because: {} (age={}s)", id_, part_->database(),
        part_->settings.server_user, address_.text(), reason,
        std::chrono::duration_cast<std::chrono::seconds>(host_->now() - created_at).count());
  }
  const bool was_new = login_ != nullptr;
  enter(ServerState::Closing);
  leave_pool();
  stream_.close();
  inbox_.reset();
  if (was_new) {
    std::string error = login_->last_error;
    if (error.empty()) {
      error = wire::error_response(wire::Severity::Fatal, wire::sqlstate::kCannotConnect, reason);
    }
    pool::SharedPool& shared = part_->pool.shared();
    shared.failed(std::move(error), host_->now() + host_->settings().server_login_retry);
  }
  end_connect();
  if (hub_ != nullptr) std::exchange(hub_, nullptr)->lost(id_);
  part_->pool.charge_returned();
  host_->reap(*this);
  if (ClientSession* client = std::exchange(client_, nullptr)) {
    client->server_lost(ended_ ? std::string_view() : sqlstate, reason, mid_message);
  }
}

void ServerSession::leave_pool() {
  ListNode<pool::InIdle>::unlink();
  ListNode<InPart>::unlink();
  charge_ = {};
}

void ServerSession::tick(Instant now) {
  const auto over = [&](Duration limit) {
    return limit > Duration::zero() && now - state_since_ >= limit;
  };
  if (login_) {
    const Duration limit = host_->settings().server_connect_timeout;
    if (limit > Duration::zero() && now - login_->attempt_at >= limit) login_->timed_out();
    return;
  }
  if (orphaned_ && cancels_ == 0 && over(kCancelAgain)) {
    request_cancel();  // the first one may have come before the query had begun
  }
  tick_listening(now);
  if (state_ == ServerState::Cleaning && over(host_->settings().server_connect_timeout)) {
    fail("", "a reset or check query took too long");
  }
}

void ServerSession::renew_slot() {
  HotSlot& fresh = host_->slots.take(id_, /*is_server=*/true);
  copy(*slot_, fresh);
  stream_.mark_in(fresh.in_doubt);
  host_->slots.give_back(*std::exchange(slot_, &fresh));
}

void ServerSession::leave_worker() {
  CHECK(state_ == ServerState::Idle);
  ListNode<pool::InIdle>::unlink();
  ListNode<InPart>::unlink();
  stream_.detach();
  for (auto& arrival : host_->from_servers) {
    if (arrival.session != this) continue;
    arrival.session = nullptr;
    underway_ = text_of(arrival.input);
  }
  host_->slots.give_back(*std::exchange(slot_, nullptr));  // null: on its way, of no worker
  if (inbox_) underway_ = text_of(inbox_->bytes());        // the buffer is this worker's
  inbox_.reset();
}

void ServerSession::join_worker(Host& host, PoolPart& part) {
  host_ = &host;
  part_ = &part;
  slot_ = &host.slots.take(id_, /*is_server=*/true);
  slot_->state.store(static_cast<std::uint8_t>(state_), std::memory_order_release);
  if (host.live != nullptr) host.live->logged_in(*this);
  parameters_ = host.parameters.intern(*parameters_);
  generation_ = std::min(generation_, part.generation);
  if (!underway_.empty()) {
    inbox_ = host.buffers.lend();
    inbox_->append(bytes_of(underway_));
    underway_.clear();
  }
  part.servers.push_back(*this);
  part.common.offer_welcome(welcome_);
  stream_.attach(host.loop, host.buffers, *this, &host.outbox);
  stream_.mark_in(slot_->in_doubt);
  stream_.want_read(true);
}

}  // namespace doorman::session
