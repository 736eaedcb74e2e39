#include "session/server_login.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "auth/md5.h"
#include "auth/secret.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/text.h"
#include "net/socket_options.h"
#include "session/passwords.h"
#include "session/server.h"
#include "wire/error_response.h"
#include "wire/message_reader.h"
#include "wire/message_writer.h"

namespace doorman::session {

namespace {

Bytes body_of(Bytes message) { return message.subspan(wire::kHeaderSize); }

// An error that another host would give just the same.
bool is_final(std::string_view sqlstate) {
  return sqlstate.starts_with("28") || sqlstate == wire::sqlstate::kInvalidDatabase;
}

std::vector<Parameter> startup_parameters(const PoolSettings& settings) {
  const config::Database& database = settings.database;
  std::vector<Parameter> all = {{"user", settings.server_user}, {"database", database.dbname}};
  const auto add = [&](const char* name, const std::optional<std::string>& value) {
    if (value) all.push_back({name, *value});
  };
  add("client_encoding", database.client_encoding);
  add("datestyle", database.datestyle);
  add("timezone", database.timezone);
  add("application_name", database.application_name);
  return all;
}

}  // namespace

void ServerLogin::next_address() {
  server.stream_.close();  // what the last one may still say is of no interest
  server.inbox_.reset();
  server.framer_ = {};
  working = false;
  ++attempt;
  attempt_at = server.host_->now();
  while (true) {
    if (!addresses.empty()) {
      const net::Address address = addresses.front();
      addresses.erase(addresses.begin());
      try_address(address);
      return;
    }
    if (hosts.empty()) {
      give_up(last_error);
      return;
    }
    const std::string host = hosts.front();
    hosts.erase(hosts.begin());
    if (!begin_host(host)) return;
  }
}

// False: its name is being looked up.
bool ServerLogin::begin_host(const std::string& host) {
  const std::uint16_t port = server.part_->settings.database.port;
  if (host.starts_with('/') || host.starts_with('@')) {
    auto path = net::Address::unix_path(host + "/.s.PGSQL." + std::to_string(port));
    if (path) {
      addresses.push_back(*path);
    } else {
      failed(wire::sqlstate::kCannotConnect, path.error().message);
    }
    return true;
  }
  if (auto numeric = net::Address::numeric(host, port)) {
    addresses.push_back(*numeric);
    return true;
  }
  resolving = host;
  if (server.state_ != ServerState::Resolving) server.enter(ServerState::Resolving);
  Host* worker = server.host_;
  if (const auto known = worker->shared.resolver.find(host)) {
    name_is_known(*known);
    return false;
  }
  worker->shared.resolver.resolve(host,
                                  [worker, id = server.id_](const net::Resolver::Answer& answer) {
                                    worker->post([worker, id, answer] {
                                      ServerSession* found = worker->find_server(id);
                                      if (found != nullptr && found->login_)
                                        found->login_->name_is_known(*answer);
                                    });
                                  });
  return false;
}

void ServerLogin::name_is_known(const net::Resolved& answer) {
  const std::string host = std::exchange(resolving, std::string());
  if (host.empty()) return;
  if (answer.addresses.empty()) {
    failed(wire::sqlstate::kCannotConnect,
           "could not translate host name \"" + host + "\" to address: " + answer.error);
  }
  for (const net::Address& each : answer.addresses) {
    addresses.push_back(each.with_port(server.part_->settings.database.port));
  }
  next_address();
}

void ServerLogin::try_address(const net::Address& address) {
  scram.reset();
  authenticated = false;
  welcome = {};
  server.address_ = address;
  server.enter(ServerState::Connecting);
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) {
    failed(wire::sqlstate::kCannotConnect, std::string("no socket: ") + errno_text(errno));
    next_address();
    return;
  }
  if (auto set = net::set_socket_options(fd.get(), socket_options(server.host_->settings()));
      !set) {
    log(LogLevel::Warning, "S-{}: {}", server.id_, set.error().message);
  }
  const int result = ::connect(fd.get(), address.get(), address.length());
  const int error = result == 0 ? 0 : errno;
  if (error != 0 && error != EINPROGRESS && error != EAGAIN) {
    failed(wire::sqlstate::kCannotConnect,
           "connection to server at \"" + address.text() + "\" failed: " + errno_text(error));
    next_address();
    return;
  }
  server.stream_.assign(std::move(fd));
  server.stream_.attach(server.host_->loop, server.host_->buffers, server, &server.host_->outbox);
  server.stream_.mark_in(server.slot_->in_doubt);
  server.stream_.want_write();
}

void ServerLogin::timed_out() {
  const std::string whom = resolving.empty()
                               ? "server at \"" + server.address_.text() + "\""
                               : "name server, which was asked for \"" + resolving + "\",";
  failed(wire::sqlstate::kCannotConnect, whom + " did not answer in time (server_connect_timeout)");
  resolving.clear();
  next_address();
}

void ServerLogin::connected() {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(server.stream_.fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) {
    failed(wire::sqlstate::kCannotConnect, "connection to server at \"" + server.address_.text() +
                                               "\" failed: " + errno_text(error));
    next_address();
    return;
  }
  server.enter(ServerState::LoggingIn);
  server.stream_.want_read(true);
  const std::string startup = wire::startup_message(startup_parameters(server.part_->settings));
  if (!server.stream_.write(bytes_of(startup)) || !server.stream_.flush()) {
    failed(wire::sqlstate::kCannotConnect, "server closed the connection during login");
    next_address();
  }
}

void ServerLogin::failed(std::string_view sqlstate, std::string_view message) {
  log(LogLevel::Warning, "S-{}: {}/{}: {}", server.id_, server.part_->database(),
      server.part_->settings.server_user, message);
  last_error = wire::error_response(wire::Severity::Fatal, sqlstate, message);
}

void ServerLogin::give_up(std::string error_message) {
  last_error = std::move(error_message);
  server.fail("", "login failed");
}

bool ServerLogin::take_message(const wire::Header& header, Bytes message) {
  const Bytes body = body_of(message);
  wire::MessageReader reader(body);
  switch (header.type) {
    case 'R': return authentication(body);
    case 'S': {
      const std::string_view name = reader.text();
      const std::string_view value = reader.text();
      welcome.reported.push_back({.name = std::string(name), .value = std::string(value)});
      return true;
    }
    case 'K': {
      const std::string_view key = text_of(body);
      server.cancel_key_.assign(key.begin(), key.end());
      // In the buffer, which nobody reads again.
      wipe(std::span(const_cast<std::byte*>(body.data()), body.size()));
      return true;
    }
    case 'N':
    case 'v': return true;
    case 'Z':
      if (!authenticated || body.size() != 1) break;
      server.logged_in();
      return true;
    case 'E': {
      const std::string sqlstate(wire::error_field(body, 'C'));
      log(LogLevel::Warning, "S-{}: {}/{}@{}: login failed: {}", server.id_,
          server.part_->database(), server.part_->settings.server_user, server.address_.text(),
          wire::error_field(body, 'M'));
      last_error = std::string(text_of(message));
      if (is_final(sqlstate)) hosts.clear();
      if (is_final(sqlstate)) addresses.clear();
      next_address();
      return false;
    }
    default: break;
  }
  failed(wire::sqlstate::kProtocolViolation, "the server sent an unexpected message at login");
  next_address();
  return false;
}

// ---- Passwords --------------------------------------------------------------------------------

std::optional<std::string> ServerLogin::password() const {
  const config::Database& database = server.part_->settings.database;
  if (database.password) return database.password;
  const auth::Secret* secret = server.host_->rules->users->find(server.part_->settings.server_user);
  if (secret == nullptr || secret->kind == auth::Secret::Kind::None) return std::nullopt;
  return secret->text;
}

void ServerLogin::no_password() {
  failed(wire::sqlstate::kInvalidPassword,
         "the pooler has no password for user \"" + server.part_->settings.server_user +
             "\" that the server's authentication method can use");
  hosts.clear();
  addresses.clear();
  next_address();
}

bool ServerLogin::authentication(Bytes body) {
  wire::MessageReader reader(body);
  const std::uint32_t code = reader.u32();
  const auto secret = auth::classify(password().value_or(std::string()));
  switch (code) {
    case 0: authenticated = true; return true;
    case 3:
      if (secret.kind != auth::Secret::Kind::Plain) break;
      return server.stream_.write(bytes_of(wire::password_message(secret.text + '\0')));
    case 5: return answer_md5(reader.rest());
    case 10: return answer_sasl(reader.rest());
    case 11: return continue_sasl(reader.rest());
    case 12:
      if (scram && scram->verify_server_final(text_of(reader.rest()))) return true;
      failed(wire::sqlstate::kInvalidAuthorization,
             "the server did not prove that it knows the password");
      next_address();
      return false;
    default: break;
  }
  no_password();
  return false;
}

bool ServerLogin::answer_md5(Bytes salt) {
  const auth::Secret secret = auth::classify(password().value_or(std::string()));
  if (salt.size() != 4 ||
      (secret.kind != auth::Secret::Kind::Plain && secret.kind != auth::Secret::Kind::Md5)) {
    no_password();
    return false;
  }
  const std::string stored =
      secret.kind == auth::Secret::Kind::Md5
          ? secret.text
          : auth::md5_secret(server.part_->settings.server_user, secret.text);
  auth::Md5Salt four{};
  std::copy(salt.begin(), salt.end(), four.begin());
  return server.stream_.write(
      bytes_of(wire::password_message(auth::md5_response(stored, four) + '\0')));
}

bool ServerLogin::answer_sasl(Bytes mechanisms) {
  wire::MessageReader reader(mechanisms);
  bool known = false;
  while (!reader.failed() && !reader.at_end()) known = reader.text() == auth::kScramName || known;
  if (!known) {
    no_password();
    return false;
  }
  scram.emplace();
  const std::string first = scram->first();
  std::string data(auth::kScramName);
  data.push_back('\0');
  append_u32(data, static_cast<std::uint32_t>(first.size()));
  return server.stream_.write(bytes_of(wire::password_message(data + first)));
}

bool ServerLogin::continue_sasl(Bytes data) {
  if (!scram) {
    failed(wire::sqlstate::kProtocolViolation, "the server sent SASL messages in the wrong order");
    next_address();
    return false;
  }
  auto challenge = scram->parse_server_first(text_of(data));
  if (!challenge) {
    failed(wire::sqlstate::kProtocolViolation, challenge.error().message);
    next_address();
    return false;
  }
  const auth::Secret secret = auth::classify(password().value_or(std::string()));
  PasswordWork& passwords = server.host_->shared.passwords;
  const auto answer = [this](Result<std::string> final_message) {
    if (!final_message) return false;
    return server.stream_.write(bytes_of(wire::password_message(*final_message)));
  };
  if (secret.kind == auth::Secret::Kind::Scram) {
    auto keys = passwords.keys(server.part_->settings.server_user);
    if (keys) {
      const WipeAtEnd wiped(*keys);
      const bool answered = answer(scram->final_with_keys(*keys));
      wipe_traces();
      return answered;
    }
  }
  if (secret.kind != auth::Secret::Kind::Plain) {
    no_password();
    return false;
  }
  if (const auto key = passwords.salted(secret.text, challenge->salt, challenge->iterations)) {
    return answer(scram->final_with_salted_password(*key));
  }
  working = true;
  Host* worker = server.host_;
  passwords.derive_salted(
      secret.text, challenge->salt, challenge->iterations,
      [worker, id = server.id_, now = attempt](const PasswordWork::Key& key) {
        worker->post([worker, id, now, key] {
          ServerSession* found = worker->find_server(id);
          if (found == nullptr || !found->login_ || found->login_->attempt != now) return;
          ServerLogin& login = *found->login_;
          login.working = false;
          auto message = login.scram->final_with_salted_password(key);
          if (!message || !found->stream_.write(bytes_of(wire::password_message(*message)))) {
            login.next_address();
            return;
          }
          found->go_on();
        });
      });
  return true;
}

}  // namespace doorman::session
