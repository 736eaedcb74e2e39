// A server as a record, and back.
#include "session/client.h"
#include "session/live.h"
#include "session/record_fields.h"
#include "session/records.h"
#include "session/server.h"
#include "session/server_login.h"

namespace doorman::session {

namespace {

// Never use a number again for something else.
enum Tag : std::uint16_t {
  TagId = 1,
  TagState = 2,
  TagAddress = 3,
  TagCancelKey = 4,
  TagWelcome = 5,
  TagParameters = 6,
  TagParametersBefore = 7,
  TagStatement = 8,  // longest unused first
  TagReply = 9,      // in order
  TagFramer = 10,
  TagFlags = 11,
  TagInbox = 12,
  TagUnsent = 13,
  TagStatus = 14,
  TagDirt = 15,
  TagSetTags = 16,
  TagTrackedChanges = 17,
  TagBatch = 18,
  TagNamesBatch = 19,
  TagCleaning = 20,
  TagCreatedAt = 21,
  TagLinkedAt = 22,
  TagStateSince = 23,
  TagDatabase = 40,
  TagUser = 41,
  TagIdleSince = 42,
  TagCancels = 43,
  TagOwnName = 80,
  TagOwnSqlName = 81,
  TagUnnamedState = 82,
  TagUnnamed = 83,
  TagDoubtful = 84,  // a statement that the server may have or not
  TagSqlUse = 85,    // of the message about names that is under way
  TagSqlUseName = 86,
  TagNextSql = 91,  // the next ones are of the message behind it
  TagAnswered = 87,
  TagLimitedBatch = 88,
  TagBatchEncoding = 89,
  TagEncodingBatch = 90,

  TagAwaits = 1,
  TagDeliver = 2,
  TagReplyStatement = 3,
  TagReplyClientStatement = 4,
  TagReplyListens = 5,
  TagReplyFlags = 85,
  TagReplyBefore = 86,
  TagReplyRefusal = 87,
  TagReplyUsed = 88,
};

enum Flag : std::uint64_t {
  FlagPassing = 1,
  FlagSkipping = 2,
  FlagCopyingIn = 4,
  FlagReleaseAfterPass = 8,
  FlagOutdated = 16,
  FlagFresh = 32,
  FlagOpenBatch = 64,
  FlagEnded = 128,
  FlagAdopting = 256,
  FlagOrphaned = 1 << 16,
  FlagHalfMessage = 1 << 17,
  FlagConnectQuery = 1 << 18,
  FlagHandingOver = 1 << 19,
  FlagSettingsInDoubt = 1 << 24,
  FlagDoubtLasts = 1 << 25,
  FlagHealing = 1 << 26,
  FlagExecuted = 1 << 27,
  FlagEncodingChanges = 1 << 28,
};

enum ReplyFlag : std::uint64_t {
  FlagUnnamed = 1,
  FlagSlot = 2,
  FlagOwn = 4,
  FlagOwnSql = 8,
  FlagDoubtful = 16,
  FlagSql = 32,
};

std::string save_reply(const Reply& reply, const StatementRef& before) {
  RecordWriter out;
  out.number(TagAwaits, static_cast<std::uint64_t>(reply.awaits));
  out.number(TagDeliver, static_cast<std::uint64_t>(reply.deliver));
  if (reply.statement) out.text(TagReplyStatement, save_statement(*reply.statement));
  if (reply.client_statement) {
    out.text(TagReplyClientStatement, save_client_statement(*reply.client_statement));
  }
  if (reply.listens) out.text(TagReplyListens, save_steps(*reply.listens));
  std::uint64_t flags = 0;
  if (reply.unnamed) flags |= FlagUnnamed;
  if (reply.slot) flags |= FlagSlot;
  if (reply.own) flags |= FlagOwn;
  if (reply.own_sql) flags |= FlagOwnSql;
  if (reply.doubtful) flags |= FlagDoubtful;
  if (reply.sql) flags |= FlagSql;
  if (flags != 0) out.number(TagReplyFlags, flags);
  if (before) out.text(TagReplyBefore, save_statement(*before));
  if (reply.used) out.text(TagReplyUsed, save_statement(*reply.used));
  if (reply.refusal != Refusal::None) {
    out.number(TagReplyRefusal, static_cast<std::uint64_t>(reply.refusal));
  }
  return out.take();
}

Result<Reply> load_reply(StatementRegistry& registry, std::string_view record) {
  Reply reply{};
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case TagAwaits: reply.awaits = static_cast<Awaits>(field->number()); break;
      case TagDeliver: reply.deliver = static_cast<Deliver>(field->number()); break;
      case TagReplyStatement: reply.statement = TRY(load_statement(registry, field->value)); break;
      case TagReplyClientStatement:
        reply.client_statement = TRY(load_client_statement(registry, field->value));
        break;
      case TagReplyListens:
        reply.listens = std::make_shared<const ListenSteps>(TRY(load_steps(field->value)));
        break;
      case TagReplyFlags: {
        const std::uint64_t flags = field->number();
        reply.unnamed = (flags & FlagUnnamed) != 0;
        reply.slot = (flags & FlagSlot) != 0;
        reply.own = (flags & FlagOwn) != 0;
        reply.own_sql = (flags & FlagOwnSql) != 0;
        reply.doubtful = (flags & FlagDoubtful) != 0;
        reply.sql = (flags & FlagSql) != 0;
        break;
      }
      case TagReplyBefore: reply.before = TRY(load_statement(registry, field->value)); break;
      case TagReplyUsed: reply.used = TRY(load_statement(registry, field->value)); break;
      case TagReplyRefusal: reply.refusal = static_cast<Refusal>(field->number()); break;
      default: break;
    }
  }
  if (reply.awaits > Awaits::HeldFlush || reply.deliver > Deliver::Refuse ||
      reply.refusal > Refusal::PoolTooLarge) {
    return Error{ErrorCode::Protocol, "a server owes a reply that cannot be"};
  }
  if (reply.client_statement && !reply.own && !reply.client_statement->statement) {
    return Error{ErrorCode::Protocol, "a name stands for no statement"};
  }
  return reply;
}

void save_statements(const ServerStatements& statements, RecordWriter& out) {
  statements.each([&](const StatementRef& each) {
    out.text(statements.has(*each) ? TagStatement : TagDoubtful, save_statement(*each));
  });
  statements.each_own([&](const std::string& name, const OwnName& own) {
    out.text(own.sql ? TagOwnSqlName : TagOwnName,
             save_client_statement({.name = name, .statement = own.statement}));
  });
  out.number(TagUnnamedState, statements.unnamed() == ServerStatements::Unnamed::None ? 1 : 0);
  if (const StatementRef& unnamed = statements.unnamed_statement()) {
    out.text(TagUnnamed, save_statement(*unnamed));
  }
}

}  // namespace

std::string SessionRecords::save(const ServerSession& server) {
  RecordWriter out;
  out.number(TagId, server.id_);
  out.number(TagState, static_cast<std::uint64_t>(server.state_));
  out.text(TagDatabase, server.part_->database());
  out.text(TagUser, server.part_->user());
  out.text(TagAddress, save_address(server.address_));
  out.text(TagCancelKey, text_of(server.cancel_key_));
  out.text(TagWelcome, save_parameters(server.welcome_->reported));
  out.text(TagParameters, save_parameters(server.parameters_->all()));
  if (server.parameters_before_) {
    out.text(TagParametersBefore, save_parameters(server.parameters_before_->all()));
  }
  save_statements(server.statements_, out);
  for (const PendingSql& sql : server.sql_) {
    if (&sql != &server.sql_.front()) out.number(TagNextSql, 0);
    for (std::size_t i = sql.next; i < sql.names.size(); ++i) {
      out.number(TagSqlUse, static_cast<std::uint64_t>(sql.names[i].use));
      out.text(TagSqlUseName, sql.names[i].name);
    }
  }
  for (std::size_t i = 0; i < server.replies_.size(); ++i) {
    const Reply& each = server.replies_.at(i);
    out.text(TagReply, save_reply(each, each.again ? server.unnamed_before(i) : each.before));
  }
  out.text(TagFramer, save_framer(server.framer_));
  std::uint64_t flags = 0;
  if (server.passing_) flags |= FlagPassing;
  if (server.skipping_) flags |= FlagSkipping;
  if (server.copying_in_) flags |= FlagCopyingIn;
  if (server.release_after_pass_) flags |= FlagReleaseAfterPass;
  if (server.close_needed()) flags |= FlagOutdated;
  if (server.fresh_) flags |= FlagFresh;
  if (server.open_batch_) flags |= FlagOpenBatch;
  if (server.ended_) flags |= FlagEnded;
  if (server.adopting_) flags |= FlagAdopting;
  if (server.handover_) flags |= FlagHandingOver;
  if (server.orphaned_) flags |= FlagOrphaned;
  if (server.half_message_) flags |= FlagHalfMessage;
  if (server.runs_connect_query_) flags |= FlagConnectQuery;
  if (server.settings_in_doubt_) flags |= FlagSettingsInDoubt;
  if (server.doubt_lasts_) flags |= FlagDoubtLasts;
  if (server.healing_) flags |= FlagHealing;
  if (server.executed_) flags |= FlagExecuted;
  if (server.encoding_changes_) flags |= FlagEncodingChanges;
  out.number(TagFlags, flags);
  if (server.inbox_) out.bytes(TagInbox, server.inbox_->bytes());
  out.bytes(TagUnsent, server.stream_.unsent_bytes());
  out.number(TagStatus, static_cast<std::uint64_t>(static_cast<unsigned char>(server.status_)));
  out.number(TagDirt, server.dirt_);
  out.number(TagAnswered, server.answered_);
  out.number(TagSetTags, server.set_tags_);
  out.number(TagTrackedChanges, server.tracked_changes_);
  out.number(TagBatch, server.batch_);
  out.number(TagNamesBatch, server.names_batch_);
  if (server.limited_batch_ > 0) out.number(TagLimitedBatch, server.limited_batch_);
  if (!server.batch_encoding_.empty()) {
    out.text(TagBatchEncoding, server.batch_encoding_);
    out.number(TagEncodingBatch, server.encoding_batch_);
  }
  for (const std::string& each : server.cleaning_) out.text(TagCleaning, each);
  out.number(TagCreatedAt, to_number(server.created_at));
  out.number(TagLinkedAt, to_number(server.linked_at_));
  out.number(TagStateSince, to_number(server.state_since_));
  out.number(TagIdleSince, to_number(server.idle_since));
  out.number(TagCancels, server.cancels_);
  return out.take();
}

// What follows from the reply queue: what is pending, and since which batch.
void SessionRecords::count_pending(ServerSession& server) {
  std::uint32_t batch = server.batch_;
  std::size_t sql = 0;
  for (std::size_t i = 0; i < server.replies_.size(); ++i) {
    if (server.replies_.at(i).awaits == Awaits::Sync) --batch;
  }
  for (std::size_t i = 0; i < server.replies_.size(); ++i) {
    Reply& reply = server.replies_.at(i);
    const bool ready = reply.awaits == Awaits::Query || reply.awaits == Awaits::Sync;
    if (ready && reply.deliver == Deliver::Forward) ++server.ready_pending_;
    if (reply.awaits == Awaits::Sync) ++batch;
    if (reply.changes_names()) ++server.names_pending_;
    if (reply.unnamed) {
      ++server.unnamed_pending_;
      server.unnamed_batch_ = batch;
    }
    if (reply.slot) {
      ++server.slot_pending_;
      server.slot_batch_ = batch;
    }
    if (reply.sql) ++sql;
    if (!reply.statement) continue;
    if (server.statements_sent_ == 0) server.statements_batch_ = batch;
    reply.sequence = ++server.statements_sent_;
    if (reply.awaits == Awaits::Parse && server.statements_.has(*reply.statement)) {
      server.statements_.set_given(*reply.statement, {.sequence = reply.sequence, .batch = batch});
    }
  }
  server.sql_.resize(sql);
}

// NOLINTNEXTLINE(readability-function-size): one case per field
Result<> SessionRecords::read_server(ServerSession& server, const std::string& record) {
  Host& host = *server.host_;
  StatementRegistry& registry = host.shared.statements;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case TagAddress: server.address_ = load_address(field->value); break;
      case TagCancelKey: server.cancel_key_.assign(field->value.begin(), field->value.end()); break;
      case TagWelcome:
        server.welcome_ = std::make_shared<const Welcome>(
            Welcome{.reported = TRY(load_parameters(field->value))});
        break;
      case TagParameters: server.parameters_ = TRY(load_set(host.parameters, field->value)); break;
      case TagParametersBefore:
        server.parameters_before_ = TRY(load_set(host.parameters, field->value));
        break;
      case TagStatement: server.statements_.add(TRY(load_statement(registry, field->value))); break;
      case TagDoubtful:
        server.statements_.add(TRY(load_statement(registry, field->value)), {.doubtful = true});
        break;
      case TagOwnName:
      case TagOwnSqlName: {
        const ClientStatementRef own = TRY(load_client_statement(registry, field->value));
        const bool sql = field->tag == TagOwnSqlName;
        server.statements_.set_own(own->name, {.statement = own->statement, .sql = sql});
        break;
      }
      case TagUnnamedState:
        server.statements_.set_unnamed(field->number() == 1 ? ServerStatements::Unnamed::None
                                                            : ServerStatements::Unnamed::Unknown);
        break;
      case TagUnnamed:
        server.statements_.set_unnamed(TRY(load_statement(registry, field->value)));
        break;
      case TagSqlUse: {
        const auto use = static_cast<SqlUse>(field->number());
        if (use > SqlUse::Setting) {
          return Error{ErrorCode::Protocol, "SQL uses a name in no way that can be"};
        }
        if (server.sql_.empty()) server.sql_.emplace_back();
        server.sql_.back().names.push_back({.use = use, .name = {}});
        break;
      }
      case TagSqlUseName:
        if (!server.sql_.empty() && !server.sql_.back().names.empty()) {
          server.sql_.back().names.back().name = field->value;
        }
        break;
      case TagNextSql:
        if (server.sql_.empty()) server.sql_.emplace_back();  // nothing is left of the first
        server.sql_.emplace_back();
        break;
      case TagReply: server.replies_.push(TRY(load_reply(registry, field->value))); break;
      case TagFramer: server.framer_ = load_framer(field->value); break;
      case TagFlags: {
        const std::uint64_t flags = field->number();
        server.passing_ = (flags & FlagPassing) != 0;
        server.skipping_ = (flags & FlagSkipping) != 0;
        server.copying_in_ = (flags & FlagCopyingIn) != 0;
        server.release_after_pass_ = (flags & FlagReleaseAfterPass) != 0;
        server.outdated_ = (flags & FlagOutdated) != 0;
        server.fresh_ = (flags & FlagFresh) != 0;
        server.open_batch_ = (flags & FlagOpenBatch) != 0;
        server.ended_ = (flags & FlagEnded) != 0;
        server.adopting_ = (flags & FlagAdopting) != 0;
        if ((flags & FlagHandingOver) != 0) server.hand_over_again();
        server.orphaned_ = (flags & FlagOrphaned) != 0;
        server.half_message_ = (flags & FlagHalfMessage) != 0;
        server.runs_connect_query_ = (flags & FlagConnectQuery) != 0;
        server.settings_in_doubt_ = (flags & FlagSettingsInDoubt) != 0;
        server.doubt_lasts_ = (flags & FlagDoubtLasts) != 0;
        server.healing_ = (flags & FlagHealing) != 0;
        server.executed_ = (flags & FlagExecuted) != 0;
        server.encoding_changes_ = (flags & FlagEncodingChanges) != 0;
        break;
      }
      case TagInbox:
        server.inbox_ = host.buffers.lend();
        server.inbox_->append(bytes_of(field->value));
        break;
      case TagStatus: server.status_ = static_cast<char>(field->number()); break;
      case TagDirt: server.dirt_ = static_cast<std::uint8_t>(field->number()); break;
      case TagAnswered: server.answered_ = static_cast<std::uint32_t>(field->number()); break;
      case TagSetTags: server.set_tags_ = static_cast<std::uint8_t>(field->number()); break;
      case TagTrackedChanges:
        server.tracked_changes_ = static_cast<std::uint8_t>(field->number());
        break;
      case TagBatch: server.batch_ = static_cast<std::uint32_t>(field->number()); break;
      case TagNamesBatch: server.names_batch_ = static_cast<std::uint32_t>(field->number()); break;
      case TagLimitedBatch:
        server.limited_batch_ = static_cast<std::uint32_t>(field->number());
        break;
      case TagBatchEncoding: server.batch_encoding_ = field->value; break;
      case TagEncodingBatch:
        server.encoding_batch_ = static_cast<std::uint32_t>(field->number());
        break;
      case TagCleaning: server.cleaning_.emplace_back(field->value); break;
      case TagCreatedAt: server.created_at = to_instant(field->number()); break;
      case TagLinkedAt: server.linked_at_ = to_instant(field->number()); break;
      case TagStateSince: server.state_since_ = to_instant(field->number()); break;
      case TagIdleSince: server.idle_since = to_instant(field->number()); break;
      case TagCancels: server.cancels_ = static_cast<std::uint8_t>(field->number()); break;
      default: break;  // a later release knows it
    }
  }
  if (!server.welcome_ || !server.parameters_) {
    return Error{ErrorCode::Protocol, "a server's record lacks its parameters"};
  }
  count_pending(server);
  return {};
}

void SessionRecords::take_out(ServerSession& server, Image& image) {
  image.server_charge = std::move(server.charge_);
  server.ListNode<pool::InIdle>::unlink();
  server.ListNode<InPart>::unlink();
  server.enter(ServerState::Closing);
  server.inbox_.reset();
  image.server_fd = server.stream_.release();
  server.host_->reap(server);
}

bool SessionRecords::carriable(const ServerSession& server) {
  if (!logged_in(server.state_) || !server.welcome_) return false;
  if (server.state_ == ServerState::Listening) return false;  // clients subscribe anew
  if (server.client_ == nullptr) return server.state_ != ServerState::Active;
  return carriable(*server.client_);
}

Image SessionRecords::let_go(ServerSession& server) {
  Image image;
  take_out(server, image);
  return image;
}

Result<PoolPart*> SessionRecords::part_of_server(Host& host, const std::string& record) {
  std::string database;
  std::string user;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagDatabase) database = field->value;
    if (field->tag == TagUser) user = field->value;
  }
  PoolPart* part = host.pool_part(database, user);
  if (part != nullptr) return part;
  return Error{ErrorCode::Protocol, "a server belongs to no pool: " + database + "/" + user};
}

// The session without its socket. What cannot be leaves nothing behind.
Result<std::unique_ptr<ServerSession>> SessionRecords::load_server(Host& host, PoolPart& part,
                                                                   Image& image) {
  std::uint64_t id = 0;
  auto state = static_cast<std::uint64_t>(ServerState::Closing);
  RecordReader reader(image.server);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagId) id = field->number();
    if (field->tag == TagState) state = field->number();
  }
  const auto held = static_cast<std::uint64_t>(ServerState::Active);
  const bool linked = !image.client.empty();
  if (id == 0 || state >= static_cast<std::uint64_t>(ServerState::Closing) ||
      !logged_in(static_cast<ServerState>(state)) || (state == held) != linked) {
    return Error{ErrorCode::Protocol, "a server is in no state that can be"};
  }
  if (!image.server_charge) image.server_charge = part.pool.shared().charge({});
  auto server = std::make_unique<ServerSession>(host, part, std::move(image.server_charge), id);
  server->state_ = static_cast<ServerState>(state);
  if (auto read = read_server(*server, image.server); !read) {
    let_go(*server);
    return read.error();
  }
  return server;
}

void SessionRecords::join(std::unique_ptr<ServerSession> server, const Image& image) {
  Host& host = *server->host_;
  ServerSession& joined = *server;
  PoolPart& part = *joined.part_;
  std::string_view unsent;
  RecordReader reader(image.server);
  for (auto field = reader.next(); field && *field; field = reader.next()) {
    if ((*field)->tag == TagUnsent) unsent = (*field)->value;
  }
  host.adopt(std::move(server));
  joined.stream_.attach(host.loop, host.buffers, joined, &host.outbox);
  joined.stream_.mark_in(joined.slot_->in_doubt);
  joined.stream_.keep_unsent(bytes_of(unsent));
  joined.slot_->state.store(static_cast<std::uint8_t>(joined.state_), std::memory_order_release);
  joined.slot_->transaction.store(static_cast<std::uint8_t>(joined.status_),
                                  std::memory_order_release);
  part.common.offer_welcome(joined.welcome_);
  if (host.live != nullptr) host.live->logged_in(joined);
  if (joined.state_ == ServerState::Idle) {
    const Instant since = joined.idle_since;
    part.pool.add_idle(joined, since);
  }
  if (joined.client_ == nullptr) joined.stream_.want_read(true);
}

std::string SessionRecords::save_for_cancel(const ServerSession& server) {
  RecordWriter out;
  out.number(TagId, server.id_);
  out.text(TagAddress, save_address(server.address_));
  out.text(TagCancelKey, text_of(server.cancel_key_));
  return out.take();
}

Result<CancelRequestTo> SessionRecords::load_for_cancel(std::string_view record) {
  CancelRequestTo request;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagAddress) request.address = load_address(field->value);
    if (field->tag == TagCancelKey) request.key = field->value;
  }
  if (request.key.size() >= 8) return request;
  return Error{ErrorCode::Protocol, "a server's record has no cancel key"};
}

}  // namespace doorman::session
