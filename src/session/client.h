// ClientSession: one connection of an application.
//
// Logs in (login.h), then passes messages to a server that it holds for a transaction, a statement
// or for good, by pool mode. An idle client holds no server and no buffer.
//
// Protocol: PostgreSQL documentation, "Message Flow".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/address.h"
#include "net/stream.h"
#include "pool/pool.h"
#include "session/client_state.h"
#include "session/host.h"
#include "session/pool_part.h"
#include "session/reply_queue.h"
#include "session/statements.h"
#include "wire/framer.h"

namespace doorman::session {

class ClientListening;
class Login;
class ServerSession;

// What a client has said since its last Sync or up to it, for as long as that may be said again.
struct LastBatch {
  std::string said;
  bool ended = true;
  bool repeatable = false;
};

// What a Parse message says behind the name.
struct ParseBody {
  std::string_view all;  // text and parameter types
  std::string_view sql;
  bool concerns_names;  // it may
};

struct InReady {};  // tag of the worker's list of clients that can go on at the end of the turn

class ClientSession final : public pool::Waiter,
                            public ListNode<OfPart>,
                            public ListNode<InReady>,
                            public ListNode<InLogin>,
                            private net::EventHandler {
 public:
  ClientSession(Host& host, UniqueFd fd, const net::Address& peer);
  // A client in the middle of its life, to be filled from its record; see records.h.
  ClientSession(Host& host, UniqueFd fd, std::uint64_t id);
  ~ClientSession();

  // Reads its first packet as soon as it comes; or now, where the worker is about to take up what
  // it has read.
  enum class FirstPacket { ToCome, MayBeThere };
  void start(FirstPacket first);

  // From its server.
  void server_lost(std::string_view sqlstate, std::string_view reason, bool mid_message);
  void released();  // the transaction is over, the server is given back
  void prepared();  // the server has taken over the parameters
  // `with_server`: the server still holds this client.
  void refused_parameters(std::string_view error_message, bool with_server);
  void parameter_changed(std::string_view name, std::string_view value);
  void parameters_adopted(const Parameters& parameters);  // as the server spells them
  bool write_gathered();  // host.to_client; false: the client is gone
  bool output_blocked() const { return stream_.unsent() > 0; }
  ClientStatements& statements();
  bool between_messages() const { return framer_.at_boundary(); }
  // The last batch can be said again, as if it had not been; and is.
  bool can_repeat() const;
  void repeat_batch();
  // ReadyForQuery has come; `more` of the same pipeline is on its way.
  void query_ended(char status, bool more);
  void resume_reading();

  // LISTEN in transaction mode, see client_listening.h.
  ClientListening* listening() const { return listening_.get(); }
  ClientListening& begin_listening(std::string_view client_encoding);
  const std::string& client_encoding() const;
  void notified();            // its hub has something for it
  void tell_notifications();  // those that are queued: into host.to_client
  void listens_to(const std::vector<std::string>& added);  // from now on
  // Ends what the transaction has unlistened, see ClientListening.
  void unlisten(const std::vector<std::string>& listened_anew);
  void wait_for_channels();  // the server hands over what it listens to
  void channels_ready();
  void forget_no_channels();

  // From the worker.
  void resume_login();     // that waits for its process to be in charge
  void woken();            // goes on with what waits in the inbox
  void request_cancel();   // a cancel request with this client's key has come
  void tick(Instant now);  // time limits
  // Ends the session with a FATAL error.
  void fail(std::string_view sqlstate, std::string_view message);
  enum class Ended { ByUs, ByClient };
  void close(std::string_view reason, Ended ended = Ended::ByUs);
  bool in_transaction() const;

  // pool::Waiter
  void served(pool::Server& server) override;
  void refused(const std::string& error_message) override;
  void waited_too_long() override;
  void waits_still(Instant now) override;

  // For Login, which does the first part of the session's life.
  void logged_in_local(std::string user);
  void join_pool(PoolPart& part, pool::Charge database_charge, pool::Charge user_charge);
  void welcome();
  void wait_for_server();
  Login& begin_login();
  // Deletes the Login once it has done its work; not from within it.
  void settle_login();
  bool logging_in() const { return login_ != nullptr && !login_done_; }
  net::Stream& stream() { return stream_; }
  void send(std::string_view bytes);
  void enter(ClientState next);
  void set_process_id(std::uint32_t process_id) { process_id_ = process_id; }
  void set_parameters(Parameters parameters) { parameters_ = std::move(parameters); }
  void set_charge(pool::Charge charge) { charge_ = std::move(charge); }

  std::uint64_t id() const { return id_; }
  ClientState state() const { return state_; }
  const net::Address& peer() const { return peer_; }
  const std::string& user() const { return part_ != nullptr ? part_->user() : local_user_; }
  PoolPart* part() const { return part_; }
  ServerSession* server() const { return server_; }
  const Parameters& parameters() const { return parameters_; }
  Instant connected_at() const { return connected_at_; }
  Instant state_since() const { return state_since_; }
  Instant request_at() const { return request_at_; }
  std::size_t prepared_statements() const { return statements_ ? statements_->size() : 0; }
  Host& host() { return *host_; }
  int fd() const { return stream_.fd(); }
  HotSlot& slot() const { return *slot_; }
  template <class Visit>
  void each_statement(Visit visit) const {
    if (statements_) statements_->each(visit);
  }
  void take_up(Bytes input);  // by its worker: what was read in this turn
  void renew_slot();          // the worker's slots come from elsewhere now
  // What a process after this one must know of what is under way.
  void note_pending();
  std::string describe() const;  // for the log: who it is

 private:
  friend class Login;
  friend struct SessionRecords;

  static constexpr std::size_t kMaxWaitingInput = Host::kReadSize;  // while there is no server

  void on_event(short what) override;
  void go_on();
  void on_readable();
  void take_all(Bytes input);
  void on_writable();
  void take_input(Bytes& input);
  bool take_without_server(const wire::Header& header, Bytes& input);
  void tell_of_waiting(Instant now);
  bool get_server();
  void attach_server(ServerSession& server);
  void finish_pass();
  void answer_sync();
  bool console_query(const wire::Header& header, Bytes& input);

  // client_messages.cc: what is done with each message.
  // One message or the next piece of one. False: nothing more can be taken now.
  bool take_message(Bytes& input);
  void take_messages(Bytes& input);
  bool relay_noted(const wire::Header& header, Bytes& input);
  bool relay_message(const wire::Header& header, Bytes& input);
  bool relay_now(const wire::Header& header, Bytes& input);
  std::optional<bool> detain(const wire::Header& header, Bytes& input);
  bool relay_function_call(const wire::Header& header, Bytes& input);
  void query_begins() {
    if (query_at_ == Instant()) begin_query();
  }
  void begin_query();
  void forward_rest(const wire::Header& header, Bytes& input, std::size_t skipped,
                    wire::MessageWriter& new_head);
  [[gnu::always_inline]] void forward(const wire::Header& header, Bytes& input) {
    if (input.size() < header.total()) [[unlikely]] {
      forward_beginning(header, input);
      return;
    }
    host_->to_server.add(take_front(input, header.total()));
  }
  void forward_beginning(const wire::Header& header, Bytes& input);
  void discard(const wire::Header& header, Bytes& input);

  // client_statements.cc
  bool shares_statements() const;
  // What the next message depends on: how an earlier one ends.
  enum class Stall : std::uint8_t { No, Names, Unnamed, Sql, Copy, Encoding };
  bool settled(Stall what);
  bool may_go_on() const;
  bool relay_parse(const wire::Header& header, Bytes& input);
  bool relay_named_parse(const wire::Header& header, Bytes& input, std::string_view name,
                         const ParseBody& body);
  void relay_unnamed_parse(const wire::Header& header, Bytes& input, StatementRef meant);
  bool relay_bind(const wire::Header& header, Bytes& input);
  bool relay_describe(const wire::Header& header, Bytes& input);
  bool relay_close(const wire::Header& header, Bytes& input);
  void relay_unknown_close(const wire::Header& header, Bytes& input, std::string_view name);
  struct Known {
    const StatementRef* statement;  // where the client has it; null: it has no such one
    std::string_view as;            // what the server knows it by
    ClientStatementRef named;       // null: it has no name
  };
  void expect_use(Awaits awaits, Known& known, bool renamed);
  Known give(std::string_view name);
  Known give_unnamed();
  const StatementRef* same_unnamed(Bytes parse) const;
  bool binds_what_is_there(Bytes bind) const;
  StatementRef statement_of(const ParseBody& body);
  StatementRef present(const StatementRef& statement);
  Refusal refusal_of(std::string_view name, const ParseBody& body);

  // client_repeat.cc
  void note_said(const wire::Header& header, Bytes message, bool begins);

  // client_sql.cc
  bool relay_query(const wire::Header& header, Bytes& input);
  bool relay_execute(const wire::Header& header, Bytes& input);
  void give_own_names(const std::vector<SqlName>& names);
  bool check_length(const wire::Header& header) const;
  void refuse_length(const wire::Header& header);
  void refuse_type(char type);
  wire::SqlDialect dialect() const;
  ListenStepsRef steps_of_query(const wire::Header& header, Bytes input) const;
  void tell_now();

  Host* host_;
  const std::uint64_t id_;
  HotSlot* slot_;
  ClientState state_ = ClientState::Startup;
  bool discarding_ = false;        // the message that framer_ is in goes nowhere
  bool skipping_to_sync_ = false;  // without a server: an error was answered, Sync ends it
  bool awaits_console_ = false;
  bool cancel_wanted_ = false;  // while it was between two workers
  bool told_of_waiting_ = false;
  Stall stalled_ = Stall::No;
  bool login_done_ = false;  // login_ is to go as soon as nobody is inside of it
  wire::Framer framer_;
  net::Stream stream_;
  BufferPool::Lent inbox_ = BufferPool::none();  // bytes that cannot be passed on yet
  net::Address peer_;
  pool::Charge charge_;           // of max_client_conn
  pool::Charge database_charge_;  // of max_db_client_connections
  pool::Charge user_charge_;      // of max_user_client_connections
  std::unique_ptr<Login> login_;  // until the session is logged in
  PoolPart* part_ = nullptr;
  ServerSession* server_ = nullptr;
  Parameters parameters_;
  std::unique_ptr<ClientStatements> statements_;
  std::unique_ptr<LastBatch> last_batch_;
  std::unique_ptr<ClientListening> listening_;  // while it is subscribed to something
  std::string local_user_;                      // of a session with the local database
  std::uint32_t process_id_ = 0;
  Instant connected_at_{};
  Instant state_since_{};
  Instant request_at_{};      // when it began to wait for its server
  Instant transaction_at_{};  // zero: none
  Instant query_at_{};        // zero: none
};

}  // namespace doorman::session
