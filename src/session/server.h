// ServerSession: one connection to PostgreSQL.
//
// Logs in, belongs to its pool while idle, carries one client's messages while linked, and is clean
// again before anybody else gets it. What it is owed stands in its reply queue (reply_queue.h).
//
// Protocol: PostgreSQL documentation, "Message Flow".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/secret_memory.h"
#include "net/address.h"
#include "net/stream.h"
#include "pool/pool.h"
#include "session/host.h"
#include "session/pool_part.h"
#include "session/reply_queue.h"
#include "session/server_state.h"
#include "wire/framer.h"

namespace doorman::session {

struct Handover;
struct ServerLogin;

// What a client may have left behind on a server, as far as command tags show it.
namespace dirt {
inline constexpr std::uint8_t kSettings = 1;  // SET outside of what is tracked
inline constexpr std::uint8_t kCursors = 2;
inline constexpr std::uint8_t kListens = 4;
inline constexpr std::uint8_t kPrepared = 8;  // statements that SQL prepared
inline constexpr std::uint8_t kAll = 16;      // run server_reset_query
}  // namespace dirt

class ServerSession final : public pool::Server,
                            public ListNode<InPart>,
                            private net::EventHandler {
 public:
  ServerSession(Host& host, PoolPart& part, pool::ServerCharge charge, pool::Charge connecting);
  // A server in the middle of its life, from its records; see records.h.
  ServerSession(Host& host, PoolPart& part, pool::ServerCharge charge, std::uint64_t id);
  ~ServerSession();

  void start();

  // For the client that holds it.
  void link(ClientSession& client);
  // The client is at the end of its transaction; or the server is clean and free otherwise.
  bool free_to_release() const;
  void release();
  // The client is gone, wherever it was.
  void client_left();
  void expect(Reply&& reply);
  // As most are: for the client, and concerns no statement.
  [[gnu::always_inline]] void expect_for_client(Awaits awaits) {
    if (already_answered_ > 0) [[unlikely]] {
      expect_plain(awaits);
      return;
    }
    if (awaits == Awaits::Sync) {
      skipping_ = false;
      ++batch_;
    }
    fresh_ = false;
    open_batch_ = true;
    if (awaits == Awaits::Query || awaits == Awaits::Sync) ++ready_pending_;
    replies_.push(awaits, Deliver::Forward);
  }
  void expect_plain(Awaits awaits) { expect({.awaits = awaits, .deliver = Deliver::Forward}); }
  // True while a Parse of what the server has would do nothing: it cannot fail for the state of the
  // transaction (25P02), and no portal can be suspended, whose effects are seen after a Parse.
  bool can_answer_parse() const {
    return ready_pending_ == 0 && status_ != 'E' && limited_batch_ != batch_ + 1;
  }
  // An Execute with a row limit is about to be sent.
  void note_row_limit() { limited_batch_ = batch_ + 1; }

  // Statements, see server_statements.cc. What these send goes into host.to_server.
  // Gives `statement` to the server if it lacks it.
  void provide(const StatementRef& statement);
  // The client's own Parse of it is about to be sent under our name, in place of `created`.
  void expect_parse(const StatementRef& statement, Reply reply);
  // Makes the server's unnamed statement this one. Null: the server has none.
  void provide_unnamed(const StatementRef& statement);
  // It is this one already, and no message under way can change that.
  bool has_unnamed(const Statement& statement) const {
    return (slot_pending_ == 0 || slot_batch_ == batch_) && statements_.is_unnamed(statement);
  }
  // The client says again what its unnamed statement is.
  void expect_unnamed_again(const StatementRef& statement);
  // What the client sends next makes it so; `statement` null: none.
  void note_unnamed(Reply& reply, const StatementRef& statement);
  // Gives the server a name of the client's own. Null: with an empty text.
  void put_own_name(std::string_view name, const StatementRef& statement);
  // The client does not have this name: nor shall the server.
  void hide_name(std::string_view name);
  void evict_statements();
  // The next message has SQL about names: until it has ended nothing else may be sent.
  void expect_sql(std::vector<SqlName> names);
  bool sql_pending() const { return !sql_.empty() || healing_; }
  // Texts may not mean what the client's parameters let expect: what is parsed is not shared.
  bool settings_in_doubt() const { return settings_in_doubt_; }
  // What is under way will tell in which client_encoding the client's next message is.
  bool encoding_is_unclear() const {
    return encoding_changes_ && ready_pending_ > 0 && !copying_in_;
  }
  void doubt_encoding() { encoding_changes_ = true; }
  // A change of it is about to be executed in this batch; empty: to the default.
  void set_batch_encoding(std::string_view encoding);
  // What a text means that is parsed now.
  std::string meaning_now() const;
  void doubt_settings(std::string_view name);
  // Writes host.to_server. False: the connection is lost, and so is this link.
  bool write_gathered();
  // Replays the client's parameters: into host.to_server. False: their acceptance must be waited
  // for.
  bool adopt_parameters(const Parameters& wanted);
  // No Parse or Close of a client's name is under way since an earlier batch.
  bool names_are_settled() const { return names_pending_ == 0 || names_batch_ == batch_; }
  // For what is sent while a COPY FROM STDIN may run, see server_copy.cc.
  void copy_data_sent();
  void copy_end_sent();
  bool copy_is_unclear() const;
  // True: a Sync (HeldSync) or wrong Flush (HeldFlush) that comes now is not to be sent (yet).
  bool hold(Awaits what);
  void send_held();
  // Nor of its unnamed statement, except those that this batch has overtaken.
  bool unnamed_is_changing() const { return unnamed_pending_ > 0; }
  bool unnamed_is_settled() const { return unnamed_pending_ == 0 || unnamed_batch_ == batch_; }
  void resume_reading();
  // Lets the server send the replies that it keeps until the next Sync: ours wait behind them.
  void hurry();
  void request_cancel();
  void cancel_done();

  // LISTEN in transaction mode, see server_listening.cc.
  void hub_has_news();  // for the client
  bool handing_over() const { return handover_ != nullptr; }
  // From now on it is the hub's connection that listens.
  void become_ear(ListenHub& hub);
  void obey_hub();
  bool at_rest() const { return state_ == ServerState::Idle || state_ == ServerState::Listening; }

  // For its pool.
  bool usable(Instant now);  // false: it is being checked or closed instead
  void retire(std::string_view reason);
  void close_when_free() { outdated_ = true; }
  bool close_needed() const { return outdated_ || generation_ != part_->generation; }
  // Ends the connection; a linked client learns `sqlstate` and `reason`, or sees it close.
  void fail(std::string_view sqlstate, std::string_view reason);
  void tick(Instant now);
  // Leaves its loop, for another worker: the object itself moves. Idle servers only.
  void leave_worker();
  void join_worker(Host& host, PoolPart& part);

  std::uint64_t id() const { return id_; }
  ServerState state() const { return state_; }
  bool skipping() const { return skipping_; }
  // Errors, SQL about names or a COPY may keep the client's next message from being sent.
  bool may_detain() const {
    return skipping_ || !sql_.empty() || healing_ ||
           (!replies_.empty() && is_copy_data(last_awaits()));
  }
  bool copying_in() const { return copying_in_; }
  // SQL's EXECUTE has begun a COPY: what the client says is for that.
  bool executes_copy() const { return copying_in_ && !replies_.empty() && replies_.at(0).sql; }
  char status() const { return status_; }
  const ReplyQueue& replies() const { return replies_; }
  ReplyQueue& replies() { return replies_; }
  ServerStatements& statements() { return statements_; }
  ClientSession* client() const { return client_; }
  const net::Address& address() const { return address_; }
  const net::Stream& stream() const { return stream_; }
  std::uint32_t backend_pid() const;
  HotSlot& slot() const { return *slot_; }
  void take_up(Bytes input);  // by its worker: what was read in this turn
  void renew_slot();          // the worker's slots come from elsewhere now
  Instant linked_at() const { return linked_at_; }
  bool in_message_to_client() const { return !framer_.at_boundary() && passing_; }
  const Parameters& parameters() const { return parameters_; }
  PoolPart& part() { return *part_; }

 private:
  friend struct ServerLogin;
  friend struct SessionRecords;

  void on_event(short what) override;
  void on_readable();
  void take_all(Bytes input);
  void on_writable();
  void consume(Bytes& input);
  bool is_waited_for(const wire::Header& header, std::size_t size) const;
  bool take_message(const wire::Header& header, Bytes message);
  void end_of_pass();
  void go_on();  // with what waits in the inbox

  // Replies, see server_replies.cc.
  bool completed(Awaits awaited, bool part_of_query = false);
  void note_command_complete(Bytes message);
  bool on_error(Bytes message);
  bool on_ready(Bytes message);
  bool on_swallowed_ready();
  bool on_refused_parameters(Bytes body);
  bool on_parameter_status(Bytes message);
  bool on_notification(Bytes message);
  void note_tag(std::string_view tag);
  void advance() {
    if (replies_.empty()) return;
    const Reply& next = replies_.front();
    if (next.deliver == Deliver::Local || is_of_copy(next.awaits)) [[unlikely]]
      answer_ourselves();
  }
  void answer_ourselves();
  void skip_to_sync();
  void undo(Reply& reply, std::size_t index, std::uint32_t settled);
  void undo_unnamed(Reply& reply, std::size_t index);
  StatementRef unnamed_before(std::size_t index) const;
  void settle(Reply& reply, std::size_t index);
  // The front of the queue.
  void drop(Reply& front) {
    if (front.deliver == Deliver::Forward || front.deliver == Deliver::Local) ++answered_;
    if (front.awaits == Awaits::Execute && front.deliver != Deliver::Swallow) executed_ = true;
    if (!front.plain) settle(front, 0);
    replies_.pop();
  }
  bool statements_unsettled() const;
  bool close_doubtful(const Statement& statement);
  bool begin_encoding_of(const Statement& statement);
  void end_encoding();
  std::string_view encoding_now() const;
  void run_unseen(std::string_view sql, std::string_view value);
  bool in_unseen_execute() const;
  void end_sql(std::string_view tag);
  bool own_names_put_before_query() const;
  void refuse(const Reply& reply);
  bool pass_renamed(const Reply& reply, Bytes message);
  bool heal(const Reply& front, Bytes body);
  void repeat_batch();
  void pass_on(Bytes message);
  bool unexpected(char type);

  // COPY FROM STDIN, see server_copy.cc.
  std::vector<Awaits> forget_eaten(bool with_next);
  void send_wanted(const std::vector<Awaits>& held);
  std::string expect_held(Awaits held);
  std::size_t held() const;
  void drop_held();
  Awaits last_awaits() const { return replies_.last().awaits; }

  // Listening, see server_listening.cc.
  bool holds_ready();
  void ask_channels();
  void hand_over_again();  // in another process: from the beginning
  void ask_again();
  void take_channel(Bytes row);
  void channels_known();
  void join_hub();
  void look_at_marks();
  void end_handover(std::string_view error_message);  // empty: it has gone well
  void hand_over_as_ear();
  void let_go_of_hub();
  void tick_listening(Instant now);
  void note_stray_listen();

  // Cleaning, see server_cleaning.cc.
  void clean();
  void run_cleaning(const std::string& sql);
  void next_cleaning();
  void become_idle();
  void orphan_is_quiet();
  void logged_in();
  void end_connect();
  void set_parameters_to_default();
  bool close_own_names();

  void enter(ServerState next);
  void detach_client();
  void leave_pool();

  Host* host_;
  PoolPart* part_;
  const std::uint64_t id_;
  HotSlot* slot_;
  ServerState state_ = ServerState::Resolving;
  pool::ServerCharge charge_;
  pool::Charge connecting_;
  net::Stream stream_;
  net::Address address_;
  SecretBytes cancel_key_;  // process id and secret, as BackendKeyData had them
  std::unique_ptr<ServerLogin> login_;
  WelcomeRef welcome_;
  Parameters parameters_;
  Parameters parameters_before_;  // while adopting_: what is true if that fails
  ServerStatements statements_;
  ReplyQueue replies_;
  ClientSession* client_ = nullptr;
  std::unique_ptr<Handover> handover_;           // while its client waits for a hub
  ListenHub* hub_ = nullptr;                     // whose ear it is
  BufferPool::Lent inbox_ = BufferPool::none();  // a message that has not arrived whole
  std::string underway_;                         // what was in the inbox, between two workers
  wire::Framer framer_;
  bool passing_ = false;     // the message that framer_ is in goes to the client
  bool skipping_ = false;    // the server ignores everything up to the next Sync
  bool copying_in_ = false;  // between CopyInResponse and the end of that COPY
  bool release_after_pass_ = false;
  bool outdated_ = false;               // to be closed instead of used again
  bool fresh_ = true;                   // linked, and nothing was sent for the client yet
  bool open_batch_ = false;             // something was sent since the last ReadyForQuery
  bool half_message_ = false;           // the last message of the client that left is not whole
  bool orphaned_ = false;               // its client left; what it still says is dropped
  bool ended_ = false;                  // the server has said FATAL: what follows is the end
  bool adopting_ = false;               // between a replay of parameters and its ReadyForQuery
  bool healing_ = false;                // a batch has failed that will be said again
  bool executed_ = false;               // since the last ReadyForQuery
  std::uint32_t answered_ = 0;          // replies to the client since then
  std::uint32_t already_answered_ = 0;  // of a batch that is said again
  bool settings_in_doubt_ = false;
  bool doubt_lasts_ = false;  // until the server is clean, not only to the next ReadyForQuery
  std::uint32_t batch_ = 0;   // counts Syncs
  std::uint32_t limited_batch_ = 0;  // 1 + the last batch that has an Execute with a row limit
  bool encoding_changes_ = false;    // it may have, since this transaction has begun
  std::string batch_encoding_;       // what this batch makes of client_encoding; empty: nothing
  std::uint32_t encoding_batch_ = 0;
  std::uint32_t names_batch_ = 0;  // the batch whose names are pending
  std::size_t names_pending_ = 0;  // replies that make or end a name
  std::uint32_t unnamed_batch_ = 0;
  std::size_t unnamed_pending_ = 0;  // replies that change the client's unnamed statement
  std::uint32_t slot_batch_ = 0;
  std::size_t slot_pending_ = 0;        // replies that change the server's
  std::uint32_t statements_batch_ = 0;  // since when some are pending
  std::uint32_t statements_sent_ = 0;   // counts Parse and Close of shared ones
  std::uint32_t statements_settled_ = 0;
  std::vector<PendingSql> sql_;    // of each reply with `sql`, in order
  std::size_t ready_pending_ = 0;  // replies to the client that end with ReadyForQuery
  char status_ = 'I';              // of the last ReadyForQuery
  std::uint8_t dirt_ = 0;
  std::uint8_t set_tags_ = 0;  // since the last ReadyForQuery
  std::uint8_t tracked_changes_ = 0;
  std::uint8_t cancels_ = 0;           // cancel requests on their way
  std::vector<std::string> cleaning_;  // still to run
  bool runs_connect_query_ = false;
  std::uint64_t generation_;
  Instant linked_at_{};
  Instant state_since_{};
};

}  // namespace doorman::session
