#include "session/login.h"

#include <algorithm>

#include "auth/crypto.h"
#include "base/log.h"
#include "base/secret.h"
#include "session/cancel.h"
#include "session/client.h"
#include "session/live.h"
#include "session/passwords.h"
#include "session/server.h"
#include "wire/error_response.h"
#include "wire/framer.h"
#include "wire/message_reader.h"

namespace doorman::session {

namespace {

constexpr std::size_t kMaxPasswordMessage = std::size_t{64} * 1024;
constexpr std::size_t kLongSecret = 32;  // of a cancel key, for clients of protocol 3.2

constexpr std::uint32_t kAskPlain = 3;
constexpr std::uint32_t kAskMd5 = 5;
constexpr std::uint32_t kAskSasl = 10;
constexpr std::uint32_t kSaslContinue = 11;
constexpr std::uint32_t kSaslFinal = 12;

}  // namespace

void Login::take_input(Bytes& input) {
  while (!working_ && !input.empty()) {
    const ClientState state = client_.state();
    if (state == ClientState::Startup) {
      if (!take_startup(input)) return;
    } else if (state == ClientState::Authenticating) {
      if (!take_password(input)) return;
    } else {
      return;
    }
  }
}

bool Login::take_startup(Bytes& input) {
  auto length = wire::startup_length(input);
  if (!length) {  // PostgreSQL closes without a word, too: whoever this is speaks another protocol
    client_.close(length.error().message);
    return false;
  }
  if (!*length || input.size() < **length) return false;
  const unsigned major = read_u16(input.data() + 4);
  auto packet = wire::parse_startup(input.first(**length));
  input = input.subspan(**length);
  if (!packet) {
    refuse_startup(packet.error().message, major);
    return false;
  }
  if (auto* cancel = std::get_if<wire::CancelRequest>(&*packet)) {
    client_.host().cancel(cancel->key);
    client_.close("");
    return false;
  }
  if (auto* startup = std::get_if<wire::Startup>(&*packet)) {
    begin(std::move(*startup));
    return client_.state() == ClientState::Authenticating;
  }
  client_.send("N");  // neither TLS nor GSSAPI encryption: the client decides whether to go on
  return client_.state() == ClientState::Startup;
}

void Login::refuse_startup(const std::string& message, unsigned major) {
  if (major < 3) {  // such a client understands protocol 2's error only: 'E' and a text
    client_.send("EFATAL:  " + message + "\n" + '\0');
    client_.close(message);
    return;
  }
  const bool version = message.starts_with("unsupported");
  client_.fail(version ? wire::sqlstate::kFeatureNotSupported : wire::sqlstate::kProtocolViolation,
               message);
}

void Login::begin(wire::Startup startup) {
  minor_ = std::min(startup.minor, wire::kNewestMinor);
  if (minor_ == 1) minor_ = 0;  // there is no 3.1
  if (!read_parameters(startup)) return;
  client_.local_user_ = user_;
  client_.enter(ClientState::Authenticating);
  if (startup.minor != minor_ || !startup.unknown_options.empty()) {
    client_.send(wire::negotiate_protocol_version(minor_, startup.unknown_options));
  }
  Host& host = client_.host();
  const config::Config& config = *host.rules->config;
  const bool local = host.local != nullptr && host.local->serves(database_);
  if (!local) {
    pool::Charge charge(host.shared.registry.clients, config.settings.max_client_conn);
    if (!charge) {
      client_.fail(wire::sqlstate::kTooManyConnections, "sorry, too many clients already");
      return;
    }
    client_.set_charge(std::move(charge));
    if (host.shared.shutting_down) {
      client_.fail(wire::sqlstate::kCannotConnectNow, "the database system is shutting down");
      return;
    }
  }
  method_ = config.settings.auth_type;
  const auth::Secret* secret = host.rules->users->find(user_);
  known_user_ = secret != nullptr || config.settings.auth_file.empty();
  const bool asks = method_ != config::AuthType::Trust && method_ != config::AuthType::Any;
  if (secret != nullptr && asks) secret_ = *secret;
  ask_password();
}

bool Login::read_parameters(wire::Startup& startup) {
  for (Parameter& each : startup.parameters) {
    if (each.name == "user") {
      user_ = std::move(each.value);
    } else if (each.name == "database") {
      database_ = std::move(each.value);
    } else if (!add_parameter(each)) {
      return false;
    }
  }
  if (user_.empty()) {
    client_.fail(wire::sqlstate::kInvalidAuthorization,
                 "no PostgreSQL user name specified in startup packet");
    return false;
  }
  if (database_.empty()) database_ = user_;
  if (user_.size() > 127 || database_.size() > 63) {
    client_.fail(wire::sqlstate::kInvalidAuthorization, "a user or database name is too long");
    return false;
  }
  return true;
}

bool Login::add_parameter(Parameter& parameter) {
  const auto& ignored = client_.host().settings().ignore_startup_parameters;
  const auto is_ignored = [&](std::string_view name) {
    return std::any_of(ignored.begin(), ignored.end(),
                       [&](const std::string& each) { return same_name(each, name); });
  };
  if (is_ignored(parameter.name)) return true;
  if (parameter.name == "replication") {
    static constexpr std::string_view kOff[] = {"", "0", "false", "off", "no", "f", "n"};
    if (std::find(std::begin(kOff), std::end(kOff), parameter.value) != std::end(kOff)) return true;
    client_.fail(wire::sqlstate::kFeatureNotSupported,
                 "replication connections cannot be pooled: connect to the server itself");
    return false;
  }
  if (parameter.name != "options") {
    wanted_.push_back(std::move(parameter));
    return true;
  }
  auto options = wire::parse_options(parameter.value);
  if (!options) {
    client_.fail(wire::sqlstate::kSyntaxError, options.error().message);
    return false;
  }
  for (Parameter& each : *options) {
    if (!is_ignored(each.name)) wanted_.push_back(std::move(each));
  }
  return true;
}

// ---- Passwords --------------------------------------------------------------------------------

void Login::ask_password() {
  using enum config::AuthType;
  using Kind = auth::Secret::Kind;
  switch (method_) {
    case Any: authenticated(); return;
    case Trust:
      if (known_user_) {
        authenticated();
      } else {
        client_.fail(wire::sqlstate::kInvalidAuthorization,
                     "\"trust\" authentication failed for user \"" + user_ + "\"");
      }
      return;
    case Plain: client_.send(wire::authentication(kAskPlain, {})); return;
    case Md5:
      if (secret_.kind != Kind::Scram && secret_.kind != Kind::None) {
        const std::string random = auth::random_bytes(salt_.size());
        std::copy_n(bytes_of(random).begin(), salt_.size(), salt_.begin());
        client_.send(wire::authentication(kAskMd5, random));
        return;
      }
      if (secret_.kind == Kind::None) {  // unknown, or without a password: looks as if it had one
        client_.send(wire::authentication(kAskMd5, auth::random_bytes(salt_.size())));
        return;
      }
      method_ = config::AuthType::Scram;
      ask_scram();
      return;
    case Scram: ask_scram(); return;
    case Cert:
    case Hba:
    case Ldap:
    case Pam:
    case Reject: break;
  }
  client_.fail(wire::sqlstate::kInvalidAuthorization,
               "the pooler's configuration rejects connections of user \"" + user_ + "\"");
}

void Login::ask_scram() {
  static const std::string message =
      wire::authentication(kAskSasl, std::string(auth::kScramName) + '\0' + '\0');
  client_.send(message);
}

bool Login::take_password(Bytes& input) {
  wire::Header header{};
  const wire::Cut cut = wire::peek(input, header);
  if (cut == wire::Cut::NeedMore) return false;
  if (cut == wire::Cut::Bad || header.total() > kMaxPasswordMessage || header.type != 'p') {
    client_.fail(wire::sqlstate::kProtocolViolation,
                 "expected password response, got message type " +
                     std::to_string(static_cast<unsigned char>(header.type)));
    return false;
  }
  if (input.size() < header.total()) return false;
  const Bytes body = input.subspan(wire::kHeaderSize, header.total() - wire::kHeaderSize);
  if (method_ != config::AuthType::Scram) {
    check_password(body);
  } else if (!sasl_began_) {
    sasl_initial(body);
  } else {
    sasl_final(body);
  }
  if (client_.state() == ClientState::Closing) return false;
  input = input.subspan(header.total());
  return true;
}

void Login::check_password(Bytes body) {
  wire::MessageReader reader(body);
  std::string password(reader.text());
  if (reader.failed() || !reader.at_end()) {
    client_.fail(wire::sqlstate::kProtocolViolation, "invalid password packet size");
    return;
  }
  if (method_ == config::AuthType::Md5) {
    auth::verify_md5(secret_, user_, password, salt_) ? authenticated() : reject_password();
    return;
  }
  if (password.empty()) {
    client_.fail(wire::sqlstate::kInvalidPassword, "empty password returned by client");
    return;
  }
  working_ = true;  // a SCRAM secret costs a key derivation
  Host& host = client_.host();
  host.shared.passwords.run(
      [&host, id = client_.id(), secret = secret_, user = user_, password = std::move(password)] {
        const bool right = auth::verify_plain(secret, user, password);
        host.post([&host, id, right] {
          ClientSession* client = host.find_client(id);
          if (client == nullptr || !client->login_) return;
          client->login_->working_ = false;
          right ? client->login_->authenticated() : client->login_->reject_password();
          client->settle_login();
          if (client->state() != ClientState::Closing) host.wake(*client);  // its query may be here
        });
      });
}

void Login::sasl_initial(Bytes body) {
  wire::MessageReader reader(body);
  const std::string_view mechanism = reader.text();
  const std::uint32_t size = reader.u32();
  const std::string_view first = reader.raw(size == UINT32_MAX ? 0 : size);
  if (reader.failed() || mechanism != auth::kScramName) {
    client_.fail(wire::sqlstate::kProtocolViolation,
                 "client selected an invalid SASL authentication mechanism");
    return;
  }
  sasl_began_ = true;
  Host& host = client_.host();
  const int iterations = host.settings().scram_iterations;
  first_message_ = first;
  if (secret_.kind == auth::Secret::Kind::Scram) {
    auto verifier = auth::parse_verifier(secret_.text);
    if (verifier) {
      with_verifier(verifier.take());
      return;
    }
  }
  if (secret_.kind != auth::Secret::Kind::Plain) {
    with_verifier(host.shared.passwords.mock_verifier(user_, iterations));
    return;
  }
  if (auto ready = host.shared.passwords.verifier(user_, secret_.text, iterations)) {
    with_verifier(std::move(*ready));
    return;
  }
  working_ = true;
  host.shared.passwords.derive_verifier(user_, secret_.text, iterations,
                                        [&host, id = client_.id()](auth::ScramVerifier verifier) {
                                          host.post([&host, id, verifier = std::move(verifier)] {
                                            ClientSession* client = host.find_client(id);
                                            if (client == nullptr || !client->login_) return;
                                            client->login_->working_ = false;
                                            client->login_->with_verifier(verifier);
                                          });
                                        });
}

void Login::with_verifier(auth::ScramVerifier verifier) {
  scram_.emplace(std::move(verifier));
  auto challenge = scram_->first(first_message_);
  if (!challenge) {
    client_.fail(wire::sqlstate::kProtocolViolation, challenge.error().message);
    return;
  }
  client_.send(wire::authentication(kSaslContinue, *challenge));
}

void Login::sasl_final(Bytes body) {
  if (!scram_) {
    client_.fail(wire::sqlstate::kProtocolViolation, "SASL messages in the wrong order");
    return;
  }
  auto proof = scram_->last(text_of(body));
  if (!proof) {
    if (proof.error().code == ErrorCode::Auth) {
      reject_password();
    } else {
      client_.fail(wire::sqlstate::kProtocolViolation, proof.error().message);
    }
    return;
  }
  client_.send(wire::authentication(kSaslFinal, *proof));
  if (client_.state() == ClientState::Closing) return;
  if (secret_.kind == auth::Secret::Kind::Scram) {
    auth::ScramKeys keys = scram_->keys();
    const WipeAtEnd wiped(keys);
    client_.host().shared.passwords.remember_keys(user_, keys);
    wipe_traces();
  }
  authenticated();
}

void Login::reject_password() {
  client_.fail(wire::sqlstate::kInvalidPassword,
               "password authentication failed for user \"" + user_ + "\"");
}

// ---- After the password -----------------------------------------------------------------------

void Login::authenticated() {
  Host& host = client_.host();
  proven_ = true;
  if (host.shared.handed_over) {  // the successor goes on with it
    working_ = true;
    return;
  }
  if (host.local != nullptr && host.local->serves(database_)) {
    enter_console();
    return;
  }
  const config::Database* line = config::line_for(*host.rules->config, database_);
  if (line == nullptr) {
    client_.fail(wire::sqlstate::kInvalidDatabase, "database \"" + database_ + "\" does not exist");
    return;
  }
  if (host.shared.registry.is_disabled(database_)) {
    client_.fail(wire::sqlstate::kCannotConnectNow, "database \"" + database_ + "\" is disabled");
    return;
  }
  enter_pool(*line);
}

void Login::resume() {
  if (!proven_ || client_.state() != ClientState::Authenticating) return;
  working_ = false;
  authenticated();
}

void Login::enter_console() {
  Host& host = client_.host();
  if (!host.local->admits(*host.rules->config, user_)) {
    client_.fail(wire::sqlstate::kInsufficientPrivilege,
                 "user \"" + user_ +
                     "\" may not use the console: name it in admin_users or "
                     "stats_users");
    return;
  }
  std::string out = wire::authentication(0, {});
  const Parameter reported[] = {{"server_version", std::string(PG_DOORMAN_VERSION) + "/pg_doorman"},
                                {"client_encoding", "UTF8"},
                                {"server_encoding", "UTF8"},
                                {"DateStyle", "ISO"},
                                {"TimeZone", "GMT"},
                                {"standard_conforming_strings", "on"},
                                {"is_superuser", "on"},
                                {"integer_datetimes", "on"}};
  for (const Parameter& each : reported) out += wire::parameter_status(each.name, each.value);
  const std::string key =
      host.shared.cancel_keys.issue({.worker = host.worker, .client = client_.id()}, 4);
  client_.set_process_id(read_u32(bytes_of(key).data()));
  out += wire::backend_key_data(key) + wire::ready_for_query('I');
  client_.send(out);
  if (client_.state() == ClientState::Closing) return;
  client_.logged_in_local(user_);
  host.wake(client_);
}

void Login::enter_pool(const config::Database& line) {
  Host& host = client_.host();
  PoolPart* part = host.pool_part(database_, line.user.value_or(user_));
  if (part == nullptr) {
    client_.fail(wire::sqlstate::kInvalidDatabase, "database \"" + database_ + "\" does not exist");
    return;
  }
  pool::Charge of_database = part->shared->charge_client(part->settings.max_db_client_connections);
  // As whom it comes, not whom it becomes.
  const auto& users = host.rules->config->users;
  const auto listed = users.find(user_);
  int most_of_user = host.settings().max_user_client_connections;
  if (listed != users.end())
    most_of_user = listed->second.max_user_client_connections.value_or(most_of_user);
  pool::Charge of_user = host.shared.registry.charge_client_of_user(user_, most_of_user);
  if (!of_database || !of_user) {
    client_.fail(wire::sqlstate::kTooManyConnections,
                 !of_database ? "too many connections for database \"" + database_ + "\""
                              : "too many connections for role \"" + user_ + "\"");
    return;
  }
  client_.join_pool(*part, std::move(of_database), std::move(of_user));
  if (host.settings().log_connections) {
    log(LogLevel::Info, "{} login attempt: db={} user={} tls=no replication=no", client_.describe(),
        database_, user_);
  }
  if (host.settings().application_name_add_host && !host_added_) {
    host_added_ = true;
    auto name = std::find_if(wanted_.begin(), wanted_.end(), [](const Parameter& each) {
      return same_name(each.name, "application_name");
    });
    const std::string who =
        (name == wanted_.end() ? "app" : name->value) + " - " + client_.peer().text();
    if (name != wanted_.end()) wanted_.erase(name);
    wanted_.push_back({.name = "application_name", .value = who});
  }
  if (const WelcomeRef welcome = part->common.welcome()) {
    Greeting& last = part->greeting;
    const bool as_last = last.welcome == welcome && last.wanted == wanted_;
    as_last ? client_.set_parameters(last.parameters) : meet_server();
    const bool known =
        as_last || std::all_of(wanted_.begin(), wanted_.end(), [&](const Parameter& each) {
          const std::string* reported = welcome->find(each.name);
          return (reported != nullptr && *reported == each.value) ||
                 part->accepted(each.name, each.value) != nullptr;
        });
    if (known) {
      if (!as_last) {
        last = {.welcome = welcome,
                .wanted = wanted_,
                .parameters = client_.parameters(),
                .text = greeting()};
      }
      client_.enter(ClientState::Idle);
      client_.welcome();
      return;
    }
  }
  client_.wait_for_server();
}

// What the client will have: the tracked parameters as servers of this pool report them, and what
// the client asked for.
void Login::meet_server() {
  PoolPart& part = *client_.part();
  const WelcomeRef welcome = part.common.welcome();
  ParameterSet set;
  for (const Parameter& each : welcome->reported) {
    if (part.tracked(each.name)) set.set(each.name, each.value);
  }
  for (const Parameter& each : wanted_) {
    const std::string* as_reported = part.accepted(each.name, each.value);
    set.set(each.name, as_reported != nullptr ? *as_reported : each.value);
  }
  client_.set_parameters(client_.host().parameters.intern(set));
}

void Login::accepted(const ParameterSet& as_reported) {
  if (client_.server()->close_needed()) return;  // what the next ones accept is another matter
  PoolPart& part = *client_.part();
  for (const Parameter& each : wanted_) {
    const std::string* value = as_reported.find(each.name);
    part.accept(each.name, each.value, value != nullptr ? *value : each.value);
  }
}

// All that a client is told before its cancel key.
std::string Login::greeting() const {
  wire::MessageWriter out;
  out.begin('R').u32(0).end();
  const WelcomeRef welcome = client_.part()->common.welcome();
  for (const Parameter& each : welcome->reported) {
    const std::string* own = client_.parameters()->find(each.name);
    out.begin('S').text(each.name).text(own != nullptr ? *own : each.value).end();
  }
  return out.take();
}

void Login::send_welcome() {
  static constexpr std::size_t kRest = 64;  // without a notice
  Host& host = client_.host();
  const Greeting& last = client_.part()->greeting;
  const bool as_last =
      last.welcome == client_.part()->common.welcome() && last.parameters == client_.parameters();
  std::string out;
  out.reserve(last.text.size() + kRest);
  out.append(as_last ? last.text : greeting());
  std::string key = host.shared.cancel_keys.issue({.worker = host.worker, .client = client_.id()},
                                                  minor_ >= 2 ? kLongSecret : 4);
  const WipeAtEnd wiped(key);
  client_.set_process_id(read_u32(bytes_of(key).data()));
  out.append(wire::backend_key_data(key));
  const std::string& notice = host.settings().login_notify_message;
  if (!notice.empty()) out += wire::error_response(wire::Severity::Notice, "00000", notice);
  client_.send(out.append(wire::ready_for_query('I')));
}

}  // namespace doorman::session
