#include "auth/base64.h"
#include "auth/scram.h"
#include "auth/scram_text.h"
#include "base/check.h"
#include "base/secret.h"

namespace doorman::auth {

namespace {

// What the client bound its login to comes back in its last message: "c=" and the base64 of the
// header that it began with.
std::string_view expected_binding(char flag) { return flag == 'y' ? "eSws" : "biws"; }

struct ClientFirst {
  char binding_flag;
  std::string_view bare;
  std::string_view nonce;
};

Result<ClientFirst> parse_client_first(std::string_view message) {
  TRY(scram_text::check_message(message));
  if (message.starts_with("p="))
    return Error{ErrorCode::Protocol, "client asks for channel binding, which is not offered"};
  if (message.size() < 3 || (message[0] != 'n' && message[0] != 'y') || message[1] != ',')
    return scram_text::malformed("channel binding flag");
  if (message.substr(2).starts_with("a="))
    return Error{ErrorCode::Protocol, "client asks for another identity (authzid): not supported"};
  if (message[2] != ',') return scram_text::malformed("header");

  ClientFirst first = {.binding_flag = message[0], .bare = message.substr(3), .nonce = {}};
  std::string_view rest = first.bare;
  if (rest.starts_with("m="))
    return Error{ErrorCode::Protocol, "client requires an unknown SCRAM extension"};
  TRY(scram_text::take(rest, 'n'));
  first.nonce = TRY(scram_text::take(rest, 'r'));
  if (!scram_text::is_nonce(first.nonce)) return scram_text::malformed("nonce");
  TRY(scram_text::skip_extensions(rest));
  return first;
}

struct ClientFinal {
  std::string_view without_proof;
  std::string_view binding;
  std::string_view nonce;
  Key proof;
};

Result<ClientFinal> parse_client_final(std::string_view message) {
  TRY(scram_text::check_message(message));
  const std::size_t at = message.rfind(",p=");
  if (at == std::string_view::npos) return scram_text::malformed("attribute p= is missing");

  ClientFinal last;
  last.without_proof = message.substr(0, at);
  std::string_view rest = last.without_proof;
  last.binding = TRY(scram_text::take(rest, 'c'));
  last.nonce = TRY(scram_text::take(rest, 'r'));
  TRY(scram_text::skip_extensions(rest));
  last.proof = TRY(scram_text::parse_key(message.substr(at + 3), "proof"));
  return last;
}

}  // namespace

ScramServer::ScramServer(ScramVerifier verifier, std::string nonce) {
  CHECK(scram_text::is_nonce(nonce));
  state_.verifier = std::move(verifier);
  state_.nonce = std::move(nonce);
}

ScramServer::~ScramServer() {
  wipe(state_.client_key);
  wipe(state_.verifier.stored_key);
  wipe(state_.verifier.server_key);
}

Result<std::string> ScramServer::first(std::string_view client_first) {
  auto answer = answer_first(client_first);
  state_.step = answer ? Step::Challenged : Step::Failed;
  return answer;
}

Result<std::string> ScramServer::last(std::string_view client_final) {
  auto answer = answer_last(client_final);
  state_.step = answer ? Step::Done : Step::Failed;
  return answer;
}

// A client may send its messages in any number: too many are its error, not ours.
Result<std::string> ScramServer::answer_first(std::string_view client_first) {
  if (state_.step != Step::Start) return scram_text::malformed("not the first message");
  const ClientFirst parsed = TRY(parse_client_first(client_first));
  state_.binding_flag = parsed.binding_flag;
  state_.client_first_bare = parsed.bare;
  state_.nonce.insert(0, parsed.nonce);
  state_.server_first.append("r=").append(state_.nonce).append(",s=");
  state_.server_first.append(base64_encode(state_.verifier.salt)).append(",i=");
  state_.server_first.append(std::to_string(state_.verifier.iterations));
  return state_.server_first;
}

Result<std::string> ScramServer::answer_last(std::string_view client_final) {
  if (state_.step != Step::Challenged) return scram_text::malformed("not the last message");
  const ClientFinal parsed = TRY(parse_client_final(client_final));
  if (parsed.binding != expected_binding(state_.binding_flag))
    return scram_text::malformed("channel binding does not fit the first message");
  if (!same_text(parsed.nonce, state_.nonce)) return scram_text::malformed("nonce is not ours");

  const std::string text =
      scram_text::signed_text(state_.client_first_bare, state_.server_first, parsed.without_proof);
  Key client_key = parsed.proof;
  xor_into(client_key, hmac_sha256(state_.verifier.stored_key, text));
  const WipeAtEnd wiped(client_key);
  if (!same_bytes(sha256(client_key), state_.verifier.stored_key))
    return Error{ErrorCode::Auth, "the password does not fit"};

  state_.client_key = client_key;
  return "v=" + base64_encode(hmac_sha256(state_.verifier.server_key, text));
}

Key ScramServer::client_key() const {
  CHECK(state_.step == Step::Done);
  return state_.client_key;
}

}  // namespace doorman::auth
