// ServerLogin: how a server connection comes about, from a host's name to ReadyForQuery.
//
// Tries the hosts of a database in turn, each with all its addresses, and logs in with what is
// known of the user: a password, a secret of auth_file, or the keys that the client proved at its
// login.
//
// Protocol: PostgreSQL documentation, "Message Flow", "Start-up"; SASL: RFC 5802 and RFC 7677.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "auth/scram.h"
#include "base/bytes.h"
#include "net/address.h"
#include "net/resolver.h"
#include "session/pool_part.h"
#include "wire/framer.h"

namespace doorman::session {

class ServerSession;

struct ServerLogin {
  explicit ServerLogin(ServerSession& s) : server(s) {}

  // Goes on to the next address; when there is none left, the attempt has failed.
  void next_address();
  void name_is_known(const net::Resolved& answer);
  void timed_out();  // server_connect_timeout: the next one is tried
  void connected();  // connect() has ended, well or not
  // False: nothing more is to be read for now (an error, or a key is being derived).
  bool take_message(const wire::Header& header, Bytes message);
  void give_up(std::string error_message);

  ServerSession& server;
  std::vector<std::string> hosts;       // still to try, next first
  std::vector<net::Address> addresses;  // of the host that is being tried, next first
  std::string resolving;                // the name whose addresses are awaited
  std::string last_error;               // a whole ErrorResponse
  Welcome welcome;
  std::optional<auth::ScramClient> scram;
  bool working = false;
  bool authenticated = false;  // AuthenticationOk has come
  Instant attempt_at{};        // when the name or the address that is being tried had its turn
  unsigned attempt = 0;        // counts them

 private:
  void try_address(const net::Address& address);
  bool begin_host(const std::string& host);
  bool authentication(Bytes body);
  bool answer_md5(Bytes salt);
  bool answer_sasl(Bytes mechanisms);
  bool continue_sasl(Bytes data);
  std::optional<std::string> password() const;
  void failed(std::string_view sqlstate, std::string_view message);
  void no_password();
};

}  // namespace doorman::session
