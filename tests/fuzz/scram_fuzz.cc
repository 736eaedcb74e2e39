// Whatever a peer sends: no message but the right one logs in, on either side, and a stored secret
// that is understood is written back as it was.
//
// The first byte says what the others are; the messages in them end with a newline.

#include <algorithm>
#include <string>

#include "auth/base64.h"
#include "auth/saslprep.h"
#include "auth/scram.h"

namespace {

using doorman::auth::ScramClient;
using doorman::auth::ScramServer;
using doorman::auth::ScramVerifier;

constexpr const char* kNonce = "clientnonce";
constexpr const char* kServerNonce = "servernonce";

const ScramVerifier& verifier() {
  static const ScramVerifier kept = doorman::auth::derive_verifier("pencil", 1, "salt");
  return kept;
}

std::string_view take_line(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('\n'), rest.size());
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return line;
}

// A client that does not know the password, and says anything.
void any_client(std::string_view input) {
  ScramServer server(verifier(), kServerNonce);
  auto challenge = server.first(take_line(input));
  ScramServer moved(server.state());
  CHECK(!moved.last(take_line(input)));
  if (challenge) CHECK(challenge->size() > 0);
}

// A server that does not know the verifier, and says anything.
void any_server(std::string_view input) {
  ScramClient client(kNonce);
  if (!client.parse_server_first(take_line(input))) return;
  CHECK(client.final_with_salted_password(doorman::auth::Key{}));
  // The fuzzer cannot know the signature, since the password in it is not its own to choose.
  CHECK(!client.verify_server_final(take_line(input)));
}

// The right last message with a few bytes changed: position and new byte by turns.
void damaged_proof(std::string_view input) {
  ScramServer server(verifier(), kServerNonce);
  ScramClient client(kNonce);
  auto challenge = server.first(client.first());
  CHECK(challenge);
  CHECK(client.parse_server_first(*challenge));
  static const auto salted = doorman::auth::salted_password("pencil", "salt", 1);
  auto good = client.final_with_salted_password(salted);
  CHECK(good);

  std::string message = *good;
  for (; input.size() >= 2; input.remove_prefix(2))
    message[static_cast<unsigned char>(input[0]) % message.size()] = input[1];
  auto end = server.last(message);
  CHECK(static_cast<bool>(end) == (message == *good));
  if (end) CHECK(client.verify_server_final(*end));
}

void stored_text(std::string_view input) {
  if (auto stored = doorman::auth::parse_verifier(input))
    CHECK(doorman::auth::format_verifier(*stored) == input);
  if (auto bytes = doorman::auth::base64_decode(input))
    CHECK(doorman::auth::base64_encode(*bytes) == input);
  CHECK(doorman::auth::prepare_password(input).empty() == input.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 4) {
    case 0: any_client(input); break;
    case 1: any_server(input); break;
    case 2: damaged_proof(input); break;
    default: stored_text(input); break;
  }
  return 0;
}
