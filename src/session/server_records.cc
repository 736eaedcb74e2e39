// A server as a record, and back.
#include "session/client.h"
#include "session/record_fields.h"
#include "session/records.h"
#include "session/server.h"
#include "session/server_login.h"

namespace doorman::session {

namespace {

// Never use a number again for something else.
enum Tag : std::uint16_t {
  kId = 1,
  kState = 2,
  kAddress = 3,
  kCancelKey = 4,
  kWelcome = 5,
  kParameters = 6,
  kParametersBefore = 7,
  kStatement = 8,  // longest unused first
  kReply = 9,      // in order
  kFramer = 10,
  kFlags = 11,
  kInbox = 12,
  kUnsent = 13,
  kStatus = 14,
  kDirt = 15,
  kSetTags = 16,
  kTrackedChanges = 17,
  kBatch = 18,
  kNamesBatch = 19,
  kCleaning = 20,
  kCreatedAt = 21,
  kLinkedAt = 22,
  kStateSince = 23,

  kAwaits = 1,
  kDeliver = 2,
  kReplyStatement = 3,
  kReplyClientStatement = 4,
};

enum Flag : std::uint64_t {
  kPassing = 1,
  kSkipping = 2,
  kCopyingIn = 4,
  kReleaseAfterPass = 8,
  kOutdated = 16,
  kFresh = 32,
  kOpenBatch = 64,
  kEnded = 128,
  kAdopting = 256,
};

std::string save_reply(const Reply& reply) {
  RecordWriter out;
  out.number(kAwaits, static_cast<std::uint64_t>(reply.awaits));
  out.number(kDeliver, static_cast<std::uint64_t>(reply.deliver));
  if (reply.statement) out.text(kReplyStatement, save_statement(*reply.statement));
  if (reply.client_statement) {
    out.text(kReplyClientStatement, save_client_statement(*reply.client_statement));
  }
  return out.take();
}

Result<Reply> load_reply(StatementRegistry& registry, std::string_view record) {
  Reply reply{};
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case kAwaits: reply.awaits = static_cast<Awaits>(field->number()); break;
      case kDeliver: reply.deliver = static_cast<Deliver>(field->number()); break;
      case kReplyStatement: reply.statement = TRY(load_statement(registry, field->value)); break;
      case kReplyClientStatement:
        reply.client_statement = TRY(load_client_statement(registry, field->value));
        break;
      default: break;
    }
  }
  if (reply.awaits > Awaits::CopyEnd || reply.deliver > Deliver::Swallow) {
    return Error{ErrorCode::Protocol, "a server owes a reply that cannot be"};
  }
  return reply;
}

}  // namespace

std::string SessionRecords::save(const ServerSession& server) {
  RecordWriter out;
  out.number(kId, server.id_);
  out.number(kState, static_cast<std::uint64_t>(server.state_));
  out.text(kAddress, save_address(server.address_));
  out.text(kCancelKey, server.cancel_key_);
  out.text(kWelcome, save_parameters(server.welcome_->reported));
  out.text(kParameters, save_parameters(server.parameters_->all()));
  if (server.parameters_before_) {
    out.text(kParametersBefore, save_parameters(server.parameters_before_->all()));
  }
  server.statements_.each(
      [&](const StatementRef& each) { out.text(kStatement, save_statement(*each)); });
  for (std::size_t i = 0; i < server.replies_.size(); ++i) {
    out.text(kReply, save_reply(server.replies_.at(i)));
  }
  out.text(kFramer, save_framer(server.framer_));
  std::uint64_t flags = 0;
  if (server.passing_) flags |= kPassing;
  if (server.skipping_) flags |= kSkipping;
  if (server.copying_in_) flags |= kCopyingIn;
  if (server.release_after_pass_) flags |= kReleaseAfterPass;
  if (server.outdated_) flags |= kOutdated;
  if (server.fresh_) flags |= kFresh;
  if (server.open_batch_) flags |= kOpenBatch;
  if (server.ended_) flags |= kEnded;
  if (server.adopting_) flags |= kAdopting;
  out.number(kFlags, flags);
  if (server.inbox_) out.bytes(kInbox, server.inbox_->bytes());
  out.bytes(kUnsent, server.stream_.unsent_bytes());
  out.number(kStatus, static_cast<std::uint64_t>(static_cast<unsigned char>(server.status_)));
  out.number(kDirt, server.dirt_);
  out.number(kSetTags, server.set_tags_);
  out.number(kTrackedChanges, server.tracked_changes_);
  out.number(kBatch, server.batch_);
  out.number(kNamesBatch, server.names_batch_);
  for (const std::string& each : server.cleaning_) out.text(kCleaning, each);
  out.number(kCreatedAt, to_number(server.created_at));
  out.number(kLinkedAt, to_number(server.linked_at_));
  out.number(kStateSince, to_number(server.state_since_));
  return out.take();
}

Result<> SessionRecords::read_server(ServerSession& server, const std::string& record) {
  Host& host = *server.host_;
  StatementRegistry& registry = host.shared.statements;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case kAddress: server.address_ = load_address(field->value); break;
      case kCancelKey: server.cancel_key_ = field->value; break;
      case kWelcome:
        server.welcome_ = std::make_shared<const Welcome>(
            Welcome{.reported = TRY(load_parameters(field->value))});
        break;
      case kParameters: server.parameters_ = TRY(load_set(host.parameters, field->value)); break;
      case kParametersBefore:
        server.parameters_before_ = TRY(load_set(host.parameters, field->value));
        break;
      case kStatement: server.statements_.add(TRY(load_statement(registry, field->value))); break;
      case kReply: {
        Reply reply = TRY(load_reply(registry, field->value));
        const bool ready = reply.awaits == Awaits::Query || reply.awaits == Awaits::Sync;
        if (ready && reply.deliver == Deliver::Forward) ++server.ready_pending_;
        if (reply.client_statement) ++server.names_pending_;
        server.replies_.push(std::move(reply));
        break;
      }
      case kFramer: server.framer_ = load_framer(field->value); break;
      case kFlags: {
        const std::uint64_t flags = field->number();
        server.passing_ = (flags & kPassing) != 0;
        server.skipping_ = (flags & kSkipping) != 0;
        server.copying_in_ = (flags & kCopyingIn) != 0;
        server.release_after_pass_ = (flags & kReleaseAfterPass) != 0;
        server.outdated_ = (flags & kOutdated) != 0;
        server.fresh_ = (flags & kFresh) != 0;
        server.open_batch_ = (flags & kOpenBatch) != 0;
        server.ended_ = (flags & kEnded) != 0;
        server.adopting_ = (flags & kAdopting) != 0;
        break;
      }
      case kInbox:
        server.inbox_ = host.buffers.lend();
        server.inbox_->append(bytes_of(field->value));
        break;
      case kStatus: server.status_ = static_cast<char>(field->number()); break;
      case kDirt: server.dirt_ = static_cast<std::uint8_t>(field->number()); break;
      case kSetTags: server.set_tags_ = static_cast<std::uint8_t>(field->number()); break;
      case kTrackedChanges:
        server.tracked_changes_ = static_cast<std::uint8_t>(field->number());
        break;
      case kBatch: server.batch_ = static_cast<std::uint32_t>(field->number()); break;
      case kNamesBatch: server.names_batch_ = static_cast<std::uint32_t>(field->number()); break;
      case kCleaning: server.cleaning_.emplace_back(field->value); break;
      case kCreatedAt: server.created_at = to_instant(field->number()); break;
      case kLinkedAt: server.linked_at_ = to_instant(field->number()); break;
      case kStateSince: server.state_since_ = to_instant(field->number()); break;
      default: break;  // a later release knows it
    }
  }
  if (!server.welcome_ || !server.parameters_) {
    return Error{ErrorCode::Protocol, "a server's record lacks its parameters"};
  }
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

Result<std::unique_ptr<ServerSession>> SessionRecords::load_server(Host& host, PoolPart& part,
                                                                   Image& image) {
  std::uint64_t id = 0;
  std::uint64_t state = 0;
  std::string_view unsent;
  RecordReader reader(image.server);
  while (auto field = TRY(reader.next())) {
    if (field->tag == kId) id = field->number();
    if (field->tag == kState) state = field->number();
    if (field->tag == kUnsent) unsent = field->value;
  }
  if (id == 0 || state != static_cast<std::uint64_t>(ServerState::Active)) {
    return Error{ErrorCode::Protocol, "a server that a client holds is in no such state"};
  }
  auto server = std::make_unique<ServerSession>(host, part, std::move(image.server_charge), id);
  server->state_ = ServerState::Active;
  server->stream_.assign(std::move(image.server_fd));
  if (auto read = read_server(*server, image.server); !read) {
    server->fail("", "its record cannot be right");
    host.adopt(std::move(server));
    return read.error();
  }
  server->stream_.attach(host.loop, host.buffers, *server);
  server->stream_.keep_unsent(bytes_of(unsent));
  server->slot_->state.store(static_cast<std::uint8_t>(ServerState::Active),
                             std::memory_order_release);
  server->slot_->transaction.store(static_cast<std::uint8_t>(server->status_),
                                   std::memory_order_release);
  if (!part.welcome) part.welcome = server->welcome_;
  return server;
}

}  // namespace doorman::session
