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
  TagId = 1,
  TagState = 2,
  TagDatabase = 3,
  TagUser = 4,
  TagFramer = 5,
  TagDiscarding = 6,
  TagSkippingToSync = 7,
  TagInbox = 8,
  TagUnsent = 9,
  TagPeer = 10,
  TagCancelKey = 11,
  TagParameters = 12,
  TagStatement = 13,
  TagConnectedAt = 14,
  TagStateSince = 15,
  TagRequestAt = 16,
  TagTransactionAt = 17,
  TagQueryAt = 18,
  TagWaitingSince = 19,
  TagToldOfWaiting = 20,
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
  out.number(TagId, client.id_);
  out.number(TagState, static_cast<std::uint64_t>(client.state_));
  out.text(TagDatabase, client.part_->database());
  out.text(TagUser, client.part_->user());
  out.text(TagFramer, save_framer(client.framer_));
  out.number(TagDiscarding, client.discarding_ ? 1 : 0);
  out.number(TagSkippingToSync, client.skipping_to_sync_ ? 1 : 0);
  if (client.inbox_) out.bytes(TagInbox, client.inbox_->bytes());
  out.bytes(TagUnsent, client.stream_.unsent_bytes());
  out.text(TagPeer, save_address(client.peer_));
  out.text(TagCancelKey, client.host_->shared.cancel_keys.key_of(client.process_id_));
  out.text(TagParameters, save_parameters(client.parameters_->all()));
  if (client.statements_) {
    client.statements_->each(
        [&](const ClientStatement& each) { out.text(TagStatement, save_client_statement(each)); });
  }
  out.number(TagConnectedAt, to_number(client.connected_at_));
  out.number(TagStateSince, to_number(client.state_since_));
  out.number(TagRequestAt, to_number(client.request_at_));
  out.number(TagTransactionAt, to_number(client.transaction_at_));
  out.number(TagQueryAt, to_number(client.query_at_));
  out.number(TagWaitingSince, to_number(client.waiting_since));
  out.number(TagToldOfWaiting, client.told_of_waiting_ ? 1 : 0);
  return out.take();
}

Result<> SessionRecords::read_client(ClientSession& client, const std::string& record) {
  Host& host = *client.host_;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case TagState: {
        const auto state = known_state(field->number());
        if (!state) return Error{ErrorCode::Protocol, "a client is in no state that can be"};
        client.state_ = *state;
        break;
      }
      case TagFramer: client.framer_ = load_framer(field->value); break;
      case TagDiscarding: client.discarding_ = field->number() != 0; break;
      case TagSkippingToSync: client.skipping_to_sync_ = field->number() != 0; break;
      case TagInbox:
        client.inbox_ = host.buffers.lend();
        client.inbox_->append(bytes_of(field->value));
        break;
      case TagPeer: client.peer_ = load_address(field->value); break;
      case TagCancelKey:
        if (field->value.size() < 8) break;
        client.process_id_ = read_u32(bytes_of(field->value).data());
        client.cancel_wanted_ = host.shared.cancel_keys.restore(
            field->value, {.worker = host.worker, .client = client.id_});
        break;
      case TagParameters: client.parameters_ = TRY(load_set(host.parameters, field->value)); break;
      case TagStatement:
        client.statements().add(TRY(load_client_statement(host.shared.statements, field->value)));
        break;
      case TagConnectedAt: client.connected_at_ = to_instant(field->number()); break;
      case TagStateSince: client.state_since_ = to_instant(field->number()); break;
      case TagRequestAt: client.request_at_ = to_instant(field->number()); break;
      case TagTransactionAt: client.transaction_at_ = to_instant(field->number()); break;
      case TagQueryAt: client.query_at_ = to_instant(field->number()); break;
      case TagWaitingSince: client.waiting_since = to_instant(field->number()); break;
      case TagToldOfWaiting: client.told_of_waiting_ = field->number() != 0; break;
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
    if (field->tag == TagId) id = field->number();
    if (field->tag == TagDatabase) database = field->value;
    if (field->tag == TagUser) user = field->value;
    if (field->tag == TagUnsent) unsent = field->value;
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
