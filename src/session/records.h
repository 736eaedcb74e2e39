// Sessions as records: everything that a client or a server connection is, as plain values, and the
// same connection built again from them, on another worker or in another process.
//
// A session can be taken out at the end of any turn, in the middle of a transaction, of a pipeline
// or of a COPY. What is not in a record may be lost: log lines under way, the pace of its timers.
// Not carried: clients in the middle of an authentication, servers that log in, and who waits for
// the console's answer. A login that only waits for a server begins anew behind its proof.
//
// A record is fields by tag (base/record.h). The reader distrusts it: what cannot be is an Error,
// and costs that one session.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/record.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "net/address.h"
#include "pool/budget.h"
#include "pool/shared_pool.h"
#include "session/client_listening.h"
#include "session/host.h"

namespace doorman::session {

class Login;

// A client and the server that it holds, or a server alone, between two owners.
struct Image {
  std::string client;  // its record; empty: a server alone
  UniqueFd client_fd;
  std::unique_ptr<ClientListening> listening;  // its place in a hub, within this process
  std::string server;                          // empty: it held none
  UniqueFd server_fd;

  bool client_kept = false;  // a copy of the client's socket outlives the process

  // Their places under the limits, when they stay in this process; else they are taken anew.
  pool::Charge client_charge;
  pool::Charge database_charge;
  pool::Charge user_charge;
  pool::ServerCharge server_charge;
};

// What has changed about a client since its record.
struct ClientChange {
  enum class What {
    StatementAdded,
    StatementRemoved,
    StatementsCleared,
    ParametersChanged,
    ChannelsAdded,
    ChannelsRemoved,
  };
  What what;
  std::string record;
};

// Whom to tell that a server is to end what it runs.
struct CancelRequestTo {
  net::Address address;
  std::string key;
};

struct SessionRecords {
  static std::string save(const ClientSession& client);
  static std::string save(const ServerSession& server);

  // Writes the client and its server, and takes both out of their worker: the old objects close no
  // socket and are deleted at the end of the turn. Error: it cannot be moved now, nothing changed.
  static Result<Image> take_out(ClientSession& client);

  // Builds them again on `host`, where they go on. After an Error `image` still has its
  // descriptors, and the peers have not got a word: another process may have them, too.
  static Result<> put_in(Host& host, Image&& image);
  // Whether put_in() could; `image` needs no descriptors.
  static Result<> check(Host& host, Image image);

  // Whether save() can write it, for another process.
  static bool carriable(const ClientSession& client);
  static bool carriable(const ServerSession& server);
  // Takes a session that was saved out of its worker, and says nothing to its peers. For a client,
  // the server that it holds comes with it.
  static Image let_go(ClientSession& client);
  static Image let_go(ServerSession& server);

  // What is true of a client whatever it does: the record of the same client, when it is idle.
  static Result<std::string> idle(std::string_view record,
                                  const std::vector<ClientChange>& changes);
  static std::string save_channels(std::string_view encoding, const Channels& channels);
  static bool listens(std::string_view record);  // a client's, to anything
  // Of a server, what is needed to cancel its query when its connection is lost.
  static std::string save_for_cancel(const ServerSession& server);
  static Result<CancelRequestTo> load_for_cancel(std::string_view record);

 private:
  static Result<std::unique_ptr<ClientSession>> load_client(Host& host, Image& image);
  static Result<std::unique_ptr<ServerSession>> load_server(Host& host, PoolPart& part,
                                                            Image& image);
  static Result<PoolPart*> part_of_server(Host& host, const std::string& record);
  static Image detach(ClientSession& client);
  static bool is_proven(const Login& login);
  static std::string save_login(const Login& login);
  static Result<> load_login(ClientSession& client, std::string_view record);
  static void join(std::unique_ptr<ClientSession> client, const Image& image);
  static void join(std::unique_ptr<ServerSession> server, const Image& image);
  static Result<> read_client(ClientSession& client, const std::string& record);
  static void save_listening(const ClientSession& client, RecordWriter& out);
  static Result<> load_listening(ClientSession& client, Image& image);
  static Result<> read_server(ServerSession& server, const std::string& record);
  static void count_pending(ServerSession& server);
  static void take_out(ServerSession& server, Image& image);
};

}  // namespace doorman::session
