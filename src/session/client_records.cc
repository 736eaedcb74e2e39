// A client as a record, and back.
#include "session/cancel.h"
#include "session/client.h"
#include "session/login.h"
#include "session/record_fields.h"
#include "session/records.h"
#include "session/server.h"

namespace doorman::session {

namespace {

// Never use a number again for something else.
enum Tag : std::uint16_t {
  kId = 1,
  kState = 2,
  kDatabase = 3,
  kUser = 4,
  kFramer = 5,
  kDiscarding = 6,
  kSkippingToSync = 7,
  kInbox = 8,
  kUnsent = 9,
  kPeer = 10,
  kCancelKey = 11,
  kParameters = 12,
  kStatement = 13,
  kConnectedAt = 14,
  kStateSince = 15,
  kRequestAt = 16,
  kTransactionAt = 17,
  kQueryAt = 18,
  kWaitingSince = 19,
  kToldOfWaiting = 20,
};

std::optional<ClientState> known_state(std::uint64_t number) {
  using enum ClientState;
  for (const ClientState each : {Idle, Waiting, Preparing, Active}) {
    if (number == static_cast<std::uint64_t>(each)) return each;
  }
  return std::nullopt;
}

}  // namespace

std::string SessionRecords::save(const ClientSession& client) {
  RecordWriter out;
  out.number(kId, client.id_);
  out.number(kState, static_cast<std::uint64_t>(client.state_));
  out.text(kDatabase, client.part_->database());
  out.text(kUser, client.part_->user());
  out.text(kFramer, save_framer(client.framer_));
  out.number(kDiscarding, client.discarding_ ? 1 : 0);
  out.number(kSkippingToSync, client.skipping_to_sync_ ? 1 : 0);
  if (client.inbox_) out.bytes(kInbox, client.inbox_->bytes());
  out.bytes(kUnsent, client.stream_.unsent_bytes());
  out.text(kPeer, save_address(client.peer_));
  out.text(kCancelKey, client.host_->shared.cancel_keys.key_of(client.process_id_));
  out.text(kParameters, save_parameters(client.parameters_->all()));
  if (client.statements_) {
    client.statements_->each(
        [&](const ClientStatement& each) { out.text(kStatement, save_client_statement(each)); });
  }
  out.number(kConnectedAt, to_number(client.connected_at_));
  out.number(kStateSince, to_number(client.state_since_));
  out.number(kRequestAt, to_number(client.request_at_));
  out.number(kTransactionAt, to_number(client.transaction_at_));
  out.number(kQueryAt, to_number(client.query_at_));
  out.number(kWaitingSince, to_number(client.waiting_since));
  out.number(kToldOfWaiting, client.told_of_waiting_ ? 1 : 0);
  return out.take();
}

Result<> SessionRecords::read_client(ClientSession& client, const std::string& record) {
  Host& host = *client.host_;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case kState: {
        const auto state = known_state(field->number());
        if (!state) return Error{ErrorCode::Protocol, "a client is in no state that can be"};
        client.state_ = *state;
        break;
      }
      case kFramer: client.framer_ = load_framer(field->value); break;
      case kDiscarding: client.discarding_ = field->number() != 0; break;
      case kSkippingToSync: client.skipping_to_sync_ = field->number() != 0; break;
      case kInbox:
        client.inbox_ = host.buffers.lend();
        client.inbox_->append(bytes_of(field->value));
        break;
      case kPeer: client.peer_ = load_address(field->value); break;
      case kCancelKey:
        if (field->value.size() < 8) break;
        client.process_id_ = read_u32(bytes_of(field->value).data());
        client.cancel_wanted_ = host.shared.cancel_keys.restore(
            field->value, {.worker = host.worker, .client = client.id_});
        break;
      case kParameters: client.parameters_ = TRY(load_set(host.parameters, field->value)); break;
      case kStatement:
        client.statements().add(TRY(load_client_statement(host.shared.statements, field->value)));
        break;
      case kConnectedAt: client.connected_at_ = to_instant(field->number()); break;
      case kStateSince: client.state_since_ = to_instant(field->number()); break;
      case kRequestAt: client.request_at_ = to_instant(field->number()); break;
      case kTransactionAt: client.transaction_at_ = to_instant(field->number()); break;
      case kQueryAt: client.query_at_ = to_instant(field->number()); break;
      case kWaitingSince: client.waiting_since = to_instant(field->number()); break;
      case kToldOfWaiting: client.told_of_waiting_ = field->number() != 0; break;
      default: break;  // a later release knows it
    }
  }
  if (!client.parameters_) return Error{ErrorCode::Protocol, "a client has no parameters"};
  return {};
}

Result<Image> SessionRecords::take_out(ClientSession& client) {
  if (client.state_ < ClientState::Idle || client.state_ > ClientState::Active || client.login_) {
    return Error{ErrorCode::Limit, "a client cannot be moved while it logs in or out"};
  }
  if (client.server_ != nullptr && client.server_->cancels_ > 0) {
    return Error{ErrorCode::Limit, "a client cannot be moved while its query is being cancelled"};
  }
  Image image;
  image.client = save(client);
  client.host_->shared.cancel_keys.depart(client.process_id_);
  if (ServerSession* server = std::exchange(client.server_, nullptr)) {
    server->client_ = nullptr;
    image.server = save(*server);
    take_out(*server, image);
  }
  if (client.state_ == ClientState::Waiting) client.part_->pool.forget(client);
  image.client_charge = std::move(client.charge_);
  image.database_charge = std::move(client.database_charge_);
  image.user_charge = std::move(client.user_charge_);
  client.ListNode<OfPart>::unlink();
  client.ListNode<InReady>::unlink();
  client.enter(ClientState::Closing);
  client.inbox_.reset();
  image.client_fd = client.stream_.release();
  client.host_->reap(client);
  return image;
}

Result<std::unique_ptr<ClientSession>> SessionRecords::load_client(Host& host, Image& image) {
  std::uint64_t id = 0;
  std::string database;
  std::string user;
  std::string_view unsent;
  RecordReader reader(image.client);
  while (auto field = TRY(reader.next())) {
    if (field->tag == kId) id = field->number();
    if (field->tag == kDatabase) database = field->value;
    if (field->tag == kUser) user = field->value;
    if (field->tag == kUnsent) unsent = field->value;
  }
  PoolPart* part = host.pool_part(database, user);
  if (id == 0 || part == nullptr) {
    return Error{ErrorCode::Protocol, "a client belongs to no pool: " + database + "/" + user};
  }
  auto client = std::make_unique<ClientSession>(host, std::move(image.client_fd), id);
  client->join_pool(*part, std::move(image.database_charge), std::move(image.user_charge));
  client->set_charge(std::move(image.client_charge));
  const auto read = read_client(*client, image.client);
  const bool linked = has_server(client->state_);
  if (!read || linked == image.server.empty()) {
    client->state_ = ClientState::Idle;
    client->close("its record cannot be right");
    if (!read) return read.error();
    return Error{ErrorCode::Protocol, "a client's record and its server's do not fit"};
  }
  client->stream_.attach(host.loop, host.buffers, *client);
  client->stream_.keep_unsent(bytes_of(unsent));
  return client;
}

Result<> SessionRecords::put_in(Host& host, Image image) {
  std::unique_ptr<ClientSession> client = TRY(load_client(host, image));
  ClientSession& joined = *client;
  if (!image.server.empty()) {
    auto server = load_server(host, *joined.part_, image);
    if (!server) {
      joined.close("its server cannot be taken over");
      host.adopt(std::move(client));
      return server.take_error();
    }
    ServerSession& held = **server;
    joined.server_ = &held;
    held.client_ = &joined;
    joined.slot_->peer_id.store(held.id_, std::memory_order_relaxed);
    held.slot_->peer_id.store(joined.id_, std::memory_order_relaxed);
    held.stream_.want_read(!joined.output_blocked());
    host.adopt(server.take());
  }
  joined.slot_->state.store(static_cast<std::uint8_t>(joined.state_), std::memory_order_release);
  host.adopt(std::move(client));
  if (joined.state_ == ClientState::Waiting) joined.part_->pool.rejoin(joined);
  joined.resume_reading();
  if (joined.inbox_) host.wake(joined);
  if (std::exchange(joined.cancel_wanted_, false)) joined.request_cancel();
  return {};
}

}  // namespace doorman::session
