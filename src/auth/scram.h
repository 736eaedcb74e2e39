// SCRAM-SHA-256 (RFC 5802, RFC 7677), both sides of it, without channel binding.
//
// Messages are the text inside PostgreSQL's SASL messages: this knows no framing and does no I/O.
// The one costly step is PBKDF2 (derive_verifier, salted_password, final_with_password,
// build_scram_secret): it belongs off the event loop. Everything else is a few hashes.
//
// A login under way is plain values: state() can be written out and another process goes on from
// it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "auth/crypto.h"
#include "base/result.h"
#include "base/secret.h"

namespace doorman::auth {

inline constexpr std::string_view kScramName = "SCRAM-SHA-256";

// What we believe of a peer. Ten million iterations are some seconds of one CPU: the worst that a
// hostile server can cost us for each login that we try; PostgreSQL's default is 4,096.
inline constexpr int kMaxIterations = 10'000'000;
inline constexpr std::size_t kMaxScramMessage = 4096;
inline constexpr std::size_t kSaltSize = 16;  // of the salts that we make

// What a server must know of a user. Not the password, yet good for dictionary attacks: a secret.
struct ScramVerifier {
  int iterations = 0;
  std::string salt;  // bytes
  std::array<std::byte, 32> stored_key{};
  std::array<std::byte, 32> server_key{};
};

// What is needed to log in to a server that holds the same verifier.
struct ScramKeys {
  std::array<std::byte, 32> client_key{};
  std::array<std::byte, 32> server_key{};
};

using doorman::wipe;
void wipe(ScramKeys& keys);
// Whether they are those of the password that the verifier was made from.
bool fits(const ScramKeys& keys, const ScramVerifier& verifier);

// "SCRAM-SHA-256$iterations:salt$stored:server", and back to exactly that text.
Result<ScramVerifier> parse_verifier(std::string_view scram_secret_text);
std::string format_verifier(const ScramVerifier& verifier);

std::string make_salt();
std::string make_nonce();  // printable

// Costly.
std::array<std::byte, 32> salted_password(std::string_view password, std::string_view salt,
                                          int iterations);
ScramVerifier derive_verifier(std::string_view password, int iterations, std::string salt);
std::string build_scram_secret(std::string_view password, int iterations);

// For a user that does not exist: looks the same at each try, as a real one would, and no password
// fits. `mock_nonce` is random and lives as long as users' salts do (across restarts, that is).
ScramVerifier mock_verifier(std::string_view user, std::span<const std::byte, 32> mock_nonce,
                            int iterations);

// The server's side: first(), then last(). The user name in the messages is ignored, as PostgreSQL
// does: it stands in the startup packet. After an Error the login is over.
class ScramServer {
 public:
  enum class Step : std::uint8_t { Start, Challenged, Done, Failed };
  struct State {
    Step step = Step::Start;
    ScramVerifier verifier;
    std::string nonce;              // ours; after first() the client's and ours
    char binding_flag = 'n';        // 'n' or 'y', as the client said
    std::string client_first_bare;  // these two are part of what is signed
    std::string server_first;
    std::array<std::byte, 32> client_key{};  // set when Done
  };

  explicit ScramServer(ScramVerifier verifier, std::string nonce = make_nonce());
  explicit ScramServer(State state) : state_(std::move(state)) {}
  ScramServer(ScramServer&&) = default;
  ScramServer& operator=(ScramServer&&) = default;
  ~ScramServer();

  // Takes the data of SASLInitialResponse, gives that of AuthenticationSASLContinue.
  Result<std::string> first(std::string_view client_first);

  // Takes the data of SASLResponse, gives that of AuthenticationSASLFinal. Error: Auth if the
  // password is wrong, Protocol if the message is malformed.
  Result<std::string> last(std::string_view client_final);

  // After success: with it we can be this client towards a server with the same verifier.
  std::array<std::byte, 32> client_key() const;
  ScramKeys keys() const { return {client_key(), state_.verifier.server_key}; }

  const State& state() const { return state_; }

 private:
  Result<std::string> answer_first(std::string_view client_first);
  Result<std::string> answer_last(std::string_view client_final);

  State state_;
};

// The client's side: first(), parse_server_first(), one of final_with_...(), verify_server_final().
class ScramClient {
 public:
  enum class Step : std::uint8_t { Start, Challenged, Proved, Done, Failed };
  struct State {
    Step step = Step::Start;
    std::string nonce;  // ours; after parse_server_first() also the server's
    std::string client_first_bare;
    std::string server_first;
    int iterations = 0;
    std::string salt;
    std::array<std::byte, 32> server_signature{};  // expected; set when Proved
  };
  struct Challenge {
    int iterations;
    std::string salt;  // bytes
  };

  // `user` is for test vectors; PostgreSQL wants none here.
  explicit ScramClient(std::string nonce = make_nonce(), std::string_view user = {});
  explicit ScramClient(State state) : state_(std::move(state)) {}

  std::string first() const;

  // What salted_password() needs. Error: malformed, or more work than kMaxIterations.
  Result<Challenge> parse_server_first(std::string_view server_first);

  Result<std::string> final_with_password(std::string_view password);  // costly
  Result<std::string> final_with_salted_password(std::span<const std::byte, 32> salted);
  Result<std::string> final_with_keys(const ScramKeys& keys);

  // Success: the server knows the verifier too. Only then is it logged in to.
  Result<> verify_server_final(std::string_view server_final);

  const State& state() const { return state_; }

 private:
  Result<Challenge> read_challenge(std::string_view server_first);

  State state_;
};

}  // namespace doorman::auth
