// Login: the first part of a client's life, from its first byte to ReadyForQuery.
//
// Reads the startup packet, picks the database, checks the password by the method that the
// configuration asks for, and has the client's start-up parameters accepted by a server. A user
// that does not exist is indistinguishable from a wrong password.
//
// Protocol: PostgreSQL documentation, "Message Flow", "Start-up"; SASL: RFC 5802 and RFC 7677.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "auth/scram.h"
#include "auth/secret.h"
#include "base/bytes.h"
#include "config/config.h"
#include "session/parameters.h"
#include "session/pool_part.h"
#include "wire/startup.h"

namespace doorman::session {

class ClientSession;

class Login {
 public:
  explicit Login(ClientSession& client) : client_(client) {}

  void take_input(Bytes& input);
  // A server is there: what the client did not ask for is as the server has it.
  void meet_server();
  // The server has taken over the start-up parameters, and spells them so.
  void accepted(const ParameterSet& as_reported);
  void send_welcome();
  // Goes on after the proof; for a login that another process or a failed upgrade has left there.
  void resume();
  const std::string& user() const { return user_; }
  const std::string& database() const { return database_; }

 private:
  friend struct SessionRecords;

  bool take_startup(Bytes& input);
  void refuse_startup(const std::string& message, unsigned major);
  bool take_password(Bytes& input);
  void begin(wire::Startup startup);
  bool read_parameters(wire::Startup& startup);
  bool add_parameter(Parameter& parameter);
  void ask_password();
  void ask_scram();
  void check_password(Bytes body);
  void sasl_initial(Bytes body);
  void sasl_final(Bytes body);
  void with_verifier(auth::ScramVerifier verifier);
  void reject_password();
  void authenticated();
  void enter_console();
  void enter_pool(const config::Database& line);
  std::string greeting() const;

  ClientSession& client_;
  std::string user_;
  std::string database_;
  std::uint16_t minor_ = 0;
  std::vector<Parameter> wanted_;  // start-up parameters, in order
  auth::Secret secret_;            // of the user; kind None: unknown, or may not use passwords
  config::AuthType method_ = config::AuthType::Scram;
  std::array<std::byte, 4> salt_{};
  std::optional<auth::ScramServer> scram_;
  std::string first_message_;  // of the SASL exchange, while the key is derived
  bool working_ = false;       // a key is being derived on another thread
  bool sasl_began_ = false;
  bool known_user_ = false;
  bool proven_ = false;      // the client is who it says
  bool host_added_ = false;  // to its application_name
};

}  // namespace doorman::session
