// A client as a record, and back.
#include "session/cancel.h"
#include "session/client.h"
#include "session/client_tags.h"
#include "session/key_records.h"
#include "session/live.h"
#include "session/login.h"
#include "session/record_fields.h"
#include "session/records.h"
#include "session/server.h"

namespace doorman::session {

namespace {

std::optional<ClientState> known_state(std::uint64_t number) {
  using enum ClientState;
  for (const ClientState each :
       {Startup, Authenticating, Idle, Waiting, Preparing, Active, Console}) {
    if (number == static_cast<std::uint64_t>(each)) return each;
  }
  return std::nullopt;
}

}  // namespace

std::string SessionRecords::save(const ClientSession& client) {
  RecordWriter out;
  out.number(TagId, client.id_);
  // What a login has got of a pool it gets again.
  const bool login = client.logging_in() && client.state_ != ClientState::Startup;
  const ClientState state = login ? ClientState::Authenticating : client.state_;
  out.number(TagState, static_cast<std::uint64_t>(state));
  if (login) out.text(TagLogin, save_login(*client.login_));
  if (client.part_ != nullptr && !login) {
    out.text(TagDatabase, client.part_->database());
    out.text(TagUser, client.part_->user());
  }
  out.text(TagLoginUser, client.local_user_);
  const std::string keys = save_keys(client.host_->shared.passwords, client.local_user_);
  if (!keys.empty()) out.text(TagKeys, keys);
  out.text(TagFramer, save_framer(client.framer_));
  out.number(TagDiscarding, client.discarding_ ? 1 : 0);
  out.number(TagSkippingToSync, client.skipping_to_sync_ ? 1 : 0);
  if (client.inbox_) out.bytes(TagInbox, client.inbox_->bytes());
  out.bytes(TagUnsent, client.stream_.unsent_bytes());
  out.text(TagPeer, save_address(client.peer_));
  out.text(TagCancelKey, client.host_->shared.cancel_keys.key_of(client.process_id_));
  if (client.parameters_) out.text(TagParameters, client.parameters_->record());
  if (client.statements_) {
    client.statements_->each(
        [&](const ClientStatement& each) { out.text(TagStatement, save_client_statement(each)); });
    if (const StatementRef& unnamed = client.statements_->unnamed()) {
      out.text(TagUnnamed, save_statement(*unnamed));
    }
    client.statements_->each_portal([&](const std::string& name, const StatementRef& statement) {
      out.text(TagPortal, save_client_statement({.name = name, .statement = statement}));
    });
  }
  const bool may_be_said_again = client.last_batch_ && client.last_batch_->repeatable;
  if (may_be_said_again && record_format.version >= 2) {
    out.text(TagSaid, client.last_batch_->said);
    out.number(TagSaidWhole, client.last_batch_->ended ? 1 : 0);
  }
  out.number(TagConnectedAt, to_number(client.connected_at_));
  out.number(TagStateSince, to_number(client.state_since_));
  out.number(TagRequestAt, to_number(client.request_at_));
  out.number(TagTransactionAt, to_number(client.transaction_at_));
  out.number(TagQueryAt, to_number(client.query_at_));
  out.number(TagWaitingSince, to_number(client.waiting_since));
  out.number(TagToldOfWaiting, client.told_of_waiting_ ? 1 : 0);
  save_listening(client, out);
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
      case TagLogin: TRY(load_login(client, field->value)); break;
      case TagLoginUser: client.local_user_ = field->value; break;
      case TagKeys: load_keys(host.shared.passwords, *host.rules->users, field->value); break;
      case TagFramer: client.framer_ = load_framer(field->value); break;
      case TagDiscarding: client.discarding_ = field->number() != 0; break;
      case TagSkippingToSync: client.skipping_to_sync_ = field->number() != 0; break;
      case TagInbox:
        client.inbox_ = host.buffers.lend(field->value.size());
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
      case TagPortal: {
        ClientStatementRef named = TRY(load_client_statement(host.shared.statements, field->value));
        if (!named->statement) return Error{ErrorCode::Protocol, "a name stands for no statement"};
        if (field->tag == TagPortal) {
          client.statements().bind_portal(named->name, named->statement);
        } else {
          client.statements().add(std::move(named));
        }
        break;
      }
      case TagSaid:
        client.last_batch_ = std::make_unique<LastBatch>();
        client.last_batch_->said = field->value;
        client.last_batch_->repeatable = true;
        break;
      case TagSaidWhole:
        if (client.last_batch_) client.last_batch_->ended = field->number() != 0;
        break;
      case TagUnnamed:
        client.statements().set_unnamed(TRY(load_statement(host.shared.statements, field->value)));
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
  if (client.part_ != nullptr && !client.parameters_) {
    return Error{ErrorCode::Protocol, "a client has no parameters"};
  }
  return {};
}

bool SessionRecords::carriable(const ClientSession& client) {
  switch (client.state_) {
    case ClientState::Startup: return true;
    case ClientState::Console: return !client.awaits_console_;
    case ClientState::Waiting: return true;
    case ClientState::Authenticating: return client.login_ && is_proven(*client.login_);
    case ClientState::Idle:
    case ClientState::Preparing:
    case ClientState::Active: return !client.logging_in();
    case ClientState::Closing: break;
  }
  return false;
}

Result<Image> SessionRecords::take_out(ClientSession& client) {
  if (client.state_ < ClientState::Idle || client.state_ > ClientState::Active || client.login_) {
    return Error{ErrorCode::Limit, "a client cannot be moved while it logs in or out"};
  }
  if (client.server_ != nullptr && client.server_->cancels_ > 0) {
    return Error{ErrorCode::Limit, "a client cannot be moved while its query is being cancelled"};
  }
  if (client.server_ != nullptr && client.server_->handing_over()) {
    return Error{ErrorCode::Limit, "a client cannot be moved while LISTEN takes effect"};
  }
  std::string client_record = save(client);
  std::string server_record = client.server_ != nullptr ? save(*client.server_) : std::string();
  client.host_->shared.cancel_keys.depart(client.process_id_);
  Image image = detach(client);
  image.client = std::move(client_record);
  image.server = std::move(server_record);
  return image;
}

Image SessionRecords::let_go(ClientSession& client) {
  if (client.process_id_ != 0) client.host_->shared.cancel_keys.withdraw(client.process_id_);
  return detach(client);
}

Image SessionRecords::detach(ClientSession& client) {
  Image image;
  if (client.listening_) {
    image.listening = std::move(client.listening_);
    image.listening->hub().moved(*image.listening->subscriber, nullptr);
  }
  if (ServerSession* server = std::exchange(client.server_, nullptr)) {
    server->client_ = nullptr;
    take_out(*server, image);
  }
  if (client.state_ == ClientState::Waiting) client.part_->pool.forget(client);
  image.client_charge = std::move(client.charge_);
  image.database_charge = std::move(client.database_charge_);
  image.user_charge = std::move(client.user_charge_);
  client.ListNode<OfPart>::unlink();
  client.ListNode<InReady>::unlink();
  client.ListNode<InLogin>::unlink();
  client.enter(ClientState::Closing);
  client.inbox_.reset();
  image.client_kept = client.slot_->vaulted.load(std::memory_order_relaxed) != 0;
  image.client_fd = client.stream_.release();
  client.host_->reap(client);
  return image;
}

// The session without its socket. What cannot be leaves nothing behind.
Result<std::unique_ptr<ClientSession>> SessionRecords::load_client(Host& host, Image& image) {
  std::uint64_t id = 0;
  std::uint64_t state = 0;
  std::string database;
  std::string user;
  std::string login_user;
  RecordReader reader(image.client);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagId) id = field->number();
    if (field->tag == TagState) state = field->number();
    if (field->tag == TagDatabase) database = field->value;
    if (field->tag == TagUser) user = field->value;
    if (field->tag == TagLoginUser) login_user = field->value;
  }
  if (id == 0) return Error{ErrorCode::Protocol, "a client has no number"};
  auto client = std::make_unique<ClientSession>(host, UniqueFd(), id);
  const bool of_no_pool = state == static_cast<std::uint64_t>(ClientState::Startup) ||
                          state == static_cast<std::uint64_t>(ClientState::Authenticating) ||
                          state == static_cast<std::uint64_t>(ClientState::Console);
  if (!of_no_pool) {
    PoolPart* part = host.pool_part(database, user);
    if (part == nullptr) {
      return Error{ErrorCode::Protocol, "a client belongs to no pool: " + database + "/" + user};
    }
    pool::Registry& registry = host.shared.registry;
    if (!image.client_charge) image.client_charge = pool::Charge(registry.clients, 0);
    if (!image.database_charge) {
      image.database_charge = part->shared->charge_client(0);
    }
    if (!image.user_charge) image.user_charge = registry.charge_client_of_user(login_user, 0);
    client->join_pool(*part, std::move(image.database_charge), std::move(image.user_charge));
    client->set_charge(std::move(image.client_charge));
  }
  auto read = read_client(*client, image.client);
  if (read) read = load_listening(*client, image);
  const bool linked = has_server(client->state_);
  const bool half = client->state_ == ClientState::Authenticating && !client->login_;
  if (read && !half && linked != image.server.empty()) return client;
  client->state_ = ClientState::Idle;
  client->close("");
  if (!read) return read.error();
  return Error{ErrorCode::Protocol, "a client's record and its server's do not fit"};
}

void SessionRecords::join(std::unique_ptr<ClientSession> client, const Image& image) {
  Host& host = *client->host_;
  ClientSession& joined = *client;
  std::string_view unsent;
  RecordReader reader(image.client);
  for (auto field = reader.next(); field && *field; field = reader.next()) {
    if ((*field)->tag == TagUnsent) unsent = (*field)->value;
  }
  host.adopt(std::move(client));
  joined.slot_->state.store(static_cast<std::uint8_t>(joined.state_), std::memory_order_release);
  if (joined.state_ == ClientState::Startup) {
    joined.start(ClientSession::FirstPacket::ToCome);
  } else {
    joined.stream_.attach(host.loop, host.buffers, joined, &host.outbox);
    joined.stream_.mark_in(joined.slot_->in_doubt);
  }
  joined.stream_.keep_unsent(bytes_of(unsent));
  if (ServerSession* held = joined.server_) {
    joined.slot_->peer_id.store(held->id_, std::memory_order_relaxed);
    held->slot_->peer_id.store(joined.id_, std::memory_order_relaxed);
    held->stream_.want_read(!joined.output_blocked());
    if (held->handing_over()) held->ask_again();
  }
  if (joined.state_ == ClientState::Waiting) joined.part_->pool.rejoin(joined);
  joined.resume_reading();
  if (joined.inbox_) host.wake(joined);
  if (joined.state_ == ClientState::Authenticating) {
    host.post([&host, id = joined.id_] {
      if (ClientSession* found = host.find_client(id)) found->resume_login();
    });
  }
  if (joined.listening_) {  // not now: at an upgrade nothing is sent before the successor serves
    host.post([&host, id = joined.id_] {
      if (ClientSession* found = host.find_client(id)) found->notified();
    });
  }
  joined.note_pending();
  joined.slot_->vaulted.store(image.client_kept ? 1 : 0, std::memory_order_relaxed);
  if (host.live != nullptr && joined.part_ != nullptr) {
    image.client_kept ? host.live->changed(joined) : host.live->logged_in(joined);
  }
  if (std::exchange(joined.cancel_wanted_, false)) joined.request_cancel();
}

Result<> SessionRecords::put_in(Host& host, Image&& image) {
  if (image.client.empty()) {
    PoolPart* part = TRY(part_of_server(host, image.server));
    std::unique_ptr<ServerSession> server = TRY(load_server(host, *part, image));
    server->stream_.assign(std::move(image.server_fd));
    join(std::move(server), image);
    return {};
  }
  std::unique_ptr<ClientSession> client = TRY(load_client(host, image));
  if (!image.server.empty()) {
    auto server = load_server(host, *client->part_, image);
    if (!server) {
      let_go(*client);
      return server.take_error();
    }
    (*server)->stream_.assign(std::move(image.server_fd));
    client->server_ = server->get();
    (*server)->client_ = client.get();
    join(server.take(), image);
  }
  client->stream_.assign(std::move(image.client_fd));
  join(std::move(client), image);
  return {};
}

Result<> SessionRecords::check(Host& host, Image image) {
  std::unique_ptr<ClientSession> client;
  PoolPart* part = nullptr;
  if (!image.client.empty()) {
    client = TRY(load_client(host, image));
    part = client->part_;
  } else {
    part = TRY(part_of_server(host, image.server));
  }
  Result<> outcome;
  if (!image.server.empty()) {
    auto server = load_server(host, *part, image);
    if (server) {
      let_go(**server);
    } else {
      outcome = server.take_error();
    }
  }
  if (client) {
    if (client->state_ == ClientState::Waiting) client->state_ = ClientState::Idle;  // not in line
    let_go(*client);
  }
  return outcome;
}

}  // namespace doorman::session
