#include <gtest/gtest.h>

#include "auth/base64.h"
#include "auth/scram.h"

namespace doorman::auth {
namespace {

using namespace std::string_literals;

// RFC 7677, section 3.
constexpr const char* kClientNonce = "rOprNGfwEbeRWgbNEkqO";
constexpr const char* kServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr const char* kSalt = "W22ZaJ0SNY7soEsUEjb6gQ==";
constexpr const char* kClientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr const char* kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr const char* kClientFinal =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr const char* kServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

const ScramVerifier& pencil() {
  static const ScramVerifier verifier = derive_verifier("pencil", 4096, *base64_decode(kSalt));
  return verifier;
}

// A server that has sent its challenge of the RFC.
ScramServer challenged() {
  ScramServer server(pencil(), kServerNonce);
  auto answer = server.first(kClientFirst);
  EXPECT_TRUE(answer);
  EXPECT_EQ(answer ? *answer : "", kServerFirst);
  return server;
}

ErrorCode refusal_of_first(std::string_view message) {
  ScramServer server(pencil());
  auto answer = server.first(message);
  EXPECT_FALSE(answer) << message;
  EXPECT_EQ(server.state().step, ScramServer::Step::Failed);
  return answer ? ErrorCode::System : answer.error().code;
}

TEST(ScramServer, SpeaksTheExampleOfItsRfc) {
  ScramServer server = challenged();
  auto answer = server.last(kClientFinal);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(*answer, kServerFinal);
  EXPECT_EQ(sha256(server.client_key()), pencil().stored_key);
}

TEST(ScramClient, SpeaksTheExampleOfItsRfc) {
  ScramClient client(kClientNonce, "user");
  EXPECT_EQ(client.first(), kClientFirst);
  auto challenge = client.parse_server_first(kServerFirst);
  ASSERT_TRUE(challenge) << challenge.error().message;
  EXPECT_EQ(challenge->iterations, 4096);
  EXPECT_EQ(base64_encode(challenge->salt), kSalt);
  auto last = client.final_with_password("pencil");
  ASSERT_TRUE(last);
  EXPECT_EQ(*last, kClientFinal);
  EXPECT_TRUE(client.verify_server_final(kServerFinal));
  EXPECT_EQ(client.state().step, ScramClient::Step::Done);
}

// Client and server of ours against each other; what the client is told at the end.
Result<> log_in(ScramServer& server, ScramClient& client, std::string_view password) {
  const std::string challenge = TRY(server.first(client.first()));
  TRY(client.parse_server_first(challenge));
  const std::string proof = TRY(client.final_with_password(password));
  const std::string end = TRY(server.last(proof));
  return client.verify_server_final(end);
}

TEST(Scram, LetsInWhoKnowsThePassword) {
  for (const char* password : {"pencil", "p\u00e9ncil", "\u2168", "", "\xff"}) {
    ScramServer server(derive_verifier(password, 2, "salt"));
    ScramClient client;
    auto end = log_in(server, client, password);
    EXPECT_TRUE(end) << end.error().message;
  }
}

TEST(Scram, TellsAWrongPasswordFromABrokenMessage) {
  ScramServer server(pencil());
  ScramClient client;
  auto end = log_in(server, client, "Pencil");
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, ErrorCode::Auth);
}

TEST(Scram, LetsNobodyInAsAnUnknownUser) {
  ScramServer server(mock_verifier("nobody", sha256(as_bytes("nonce")), 2));
  ScramClient client;
  auto end = log_in(server, client, "");
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, ErrorCode::Auth);
}

TEST(Scram, PassesALoginThroughToAServerWithTheSameVerifier) {
  ScramServer pooler(pencil());
  ScramClient application;
  ASSERT_TRUE(log_in(pooler, application, "pencil"));

  ScramServer postgres(pencil());
  ScramClient client;
  auto challenge = postgres.first(client.first());
  ASSERT_TRUE(challenge);
  ASSERT_TRUE(client.parse_server_first(*challenge));
  auto last = client.final_with_keys(pooler.keys());
  ASSERT_TRUE(last);
  auto end = postgres.last(*last);
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_TRUE(client.verify_server_final(*end));
}

TEST(Scram, TakesASaltedPasswordThatWasMadeEarlier) {
  ScramClient client(kClientNonce, "user");
  ASSERT_TRUE(client.parse_server_first(kServerFirst));
  auto last =
      client.final_with_salted_password(salted_password("pencil", *base64_decode(kSalt), 4096));
  ASSERT_TRUE(last);
  EXPECT_EQ(*last, kClientFinal);
}

TEST(Scram, GoesOnFromWrittenState) {
  ScramServer::State server_state = challenged().state();
  ScramClient first(kClientNonce, "user");
  ASSERT_TRUE(first.parse_server_first(kServerFirst));
  ScramClient client(first.state());
  auto last = client.final_with_password("pencil");
  ASSERT_TRUE(last);
  ScramServer server(std::move(server_state));
  auto end = server.last(*last);
  ASSERT_TRUE(end);
  EXPECT_TRUE(ScramServer(server.state()).client_key() == server.client_key());
  EXPECT_TRUE(ScramClient(client.state()).verify_server_final(*end));
}

TEST(ScramServer, RefusesAProofThatWasChangedInAnyByte) {
  const std::string good = kClientFinal;
  const auto refuses = [](const std::string& message) {
    ScramServer server = challenged();
    auto answer = server.last(message);
    return !answer && server.state().step == ScramServer::Step::Failed;
  };
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const char now : "\0\x01,=abcABC012+/\xff\x80 "s) {
      std::string changed = good;
      changed[at] = now;
      if (changed != good) {
        EXPECT_TRUE(refuses(changed)) << changed;
      }
    }
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = good;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      EXPECT_TRUE(refuses(changed)) << changed;
    }
    EXPECT_TRUE(refuses(good.substr(0, at)));
    EXPECT_TRUE(refuses(std::string(good).erase(at, 1)));
    EXPECT_TRUE(refuses(std::string(good).insert(at, "A")));
  }
  EXPECT_TRUE(refuses(good + ","));
  EXPECT_TRUE(refuses(good + ",x=y"));
  EXPECT_TRUE(refuses(good + good));
  EXPECT_FALSE(refuses(good));
}

TEST(ScramServer, RefusesToBeToldTheEndBeforeTheBeginning) {
  ScramServer server(pencil(), kServerNonce);
  EXPECT_FALSE(server.last(kClientFinal));
  EXPECT_FALSE(server.first(kClientFirst));
}

TEST(ScramServer, TakesNothingAfterTheEnd) {
  ScramServer server = challenged();
  ASSERT_TRUE(server.last(kClientFinal));
  EXPECT_FALSE(server.last(kClientFinal));
  ScramServer twice = challenged();
  EXPECT_FALSE(twice.first(kClientFirst));
}

TEST(ScramServer, TakesTheFirstMessagesThatPostgresTakes) {
  for (const char* message : {"n,,n=,r=abc", "y,,n=,r=abc", "n,,n=a=2Cb,r=a,x=1", "n,,n=*,r=!~"})
    EXPECT_TRUE(ScramServer(pencil()).first(message)) << message;
}

TEST(ScramServer, RefusesAMalformedFirstMessage) {
  for (const std::string& message : {""s,
                                     "n"s,
                                     "n,"s,
                                     "n,,"s,
                                     "n,,n="s,
                                     "n,,n=,"s,
                                     "n,,r=abc"s,
                                     "n,,n=,r="s,
                                     "n,,n=,r=a b"s,
                                     "n,,n=,r=\xc3\xa9"s,
                                     "n,,n=,r=abc,"s,
                                     "n,,n=,r=abc,,"s,
                                     "n,,n=,r=abc,1=x"s,
                                     "x,,n=,r=abc"s,
                                     "n,,m=1,n=,r=abc"s,
                                     "n,a=other,n=,r=abc"s,
                                     "p=tls-unique,,n=,r=abc"s,
                                     "n,,n=,r=a\0b"s,
                                     "n=,r=abc"s,
                                     "N,,n=,r=abc"s,
                                     "n,,n=,r=" + std::string(kMaxScramMessage, 'a')}) {
    EXPECT_EQ(refusal_of_first(message), ErrorCode::Protocol);
  }
}

TEST(ScramServer, SaysThatItHasNoChannelBinding) {
  ScramServer server(pencil());
  auto answer = server.first("p=tls-server-end-point,,n=,r=abc");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message, "client asks for channel binding, which is not offered");
}

// The flag is signed with the rest: who changes it on the way ends the login.
TEST(ScramServer, NoticesAChangedChannelBindingFlag) {
  const std::string y_first = "y" + std::string(kClientFirst).substr(1);
  ScramServer server(pencil(), kServerNonce);
  ASSERT_TRUE(server.first(y_first));
  auto answer = server.last(kClientFinal);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::Protocol);
}

TEST(ScramClient, RefusesAMalformedChallenge) {
  const std::string nonce = kClientNonce;
  for (const std::string& message :
       {""s, "r="s, "r=" + nonce + ",s=c2FsdA==,i=4096", "r=other,s=c2FsdA==,i=4096"s,
        "r=" + nonce + "x",
        "r=" + nonce + "x,s=c2FsdA==", "r=" + nonce + "x,s=c2FsdA==,i=", "r=" + nonce + "x,s=,i=1",
        "r=" + nonce + "x,s=c2FsdA,i=1", "r=" + nonce + "x,s=c2FsdA==,i=0",
        "r=" + nonce + "x,s=c2FsdA==,i=-1", "r=" + nonce + "x,s=c2FsdA==,i=1x",
        "r=" + nonce + "x,s=c2FsdA==,i=1,", "r=" + nonce + "x,s=c2FsdA==,i=10000001",
        "r=" + nonce + "x,s=c2FsdA==,i=99999999999999999999", "m=1,r=" + nonce + "x,s=c2FsdA==,i=1",
        "r=" + nonce + " x,s=c2FsdA==,i=1", "r=" + nonce + "x\0,s=c2FsdA==,i=1"s,
        "r=" + nonce + std::string(kMaxScramMessage, 'x') + ",s=c2FsdA==,i=1"}) {
    ScramClient client(kClientNonce);
    auto challenge = client.parse_server_first(message);
    ASSERT_FALSE(challenge) << message;
    EXPECT_EQ(challenge.error().code, ErrorCode::Protocol);
  }
}

// Only the nonce and the number of rounds have an end that nothing marks.
TEST(Scram, RefusesMessagesThatEndTooEarly) {
  const std::string first = kClientFirst;
  for (std::size_t size = 0; size < first.size(); ++size) {
    ScramServer server(pencil(), kServerNonce);
    const bool in_nonce = size > first.find("r=") + 2;
    EXPECT_EQ(static_cast<bool>(server.first(first.substr(0, size))), in_nonce) << size;
  }
  const std::string challenge = kServerFirst;
  for (std::size_t size = 0; size < challenge.size(); ++size) {
    ScramClient client(kClientNonce, "user");
    const bool in_rounds = size > challenge.find(",i=") + 3;
    EXPECT_EQ(static_cast<bool>(client.parse_server_first(challenge.substr(0, size))), in_rounds)
        << size;
  }
  const std::string end = kServerFinal;
  for (std::size_t size = 0; size < end.size(); ++size) {
    ScramClient client(kClientNonce, "user");
    ASSERT_TRUE(client.parse_server_first(kServerFirst));
    ASSERT_TRUE(client.final_with_password("pencil"));
    EXPECT_FALSE(client.verify_server_final(end.substr(0, size))) << size;
  }
}

TEST(ScramClient, BelievesOnlyAServerThatKnowsTheVerifier) {
  const auto end = [](const std::string& server_final) {
    ScramClient client(kClientNonce, "user");
    EXPECT_TRUE(client.parse_server_first(kServerFirst));
    EXPECT_TRUE(client.final_with_password("pencil"));
    return client.verify_server_final(server_final);
  };
  const std::string good = kServerFinal;
  EXPECT_TRUE(end(good));
  for (const std::string& bad : {""s, "v="s, good.substr(1), good.substr(0, good.size() - 1),
                                 good + ",", "v=" + base64_encode(std::string(32, 'x'))}) {
    EXPECT_FALSE(end(bad)) << bad;
  }
  auto refused = end("e=invalid-proof\nFAKE LOG LINE");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::Auth);
  EXPECT_EQ(refused.error().message, "server refuses: invalid-proof?FAKE LOG LINE");
}

TEST(ScramClient, DoesNotBelieveSuccessBeforeItsProof) {
  ScramClient client(kClientNonce, "user");
  ASSERT_TRUE(client.parse_server_first(kServerFirst));
  EXPECT_FALSE(client.verify_server_final("v=" + base64_encode(Key{})));
}

TEST(ScramClient, ChoosesANewNonceEachTime) {
  EXPECT_NE(ScramClient().first(), ScramClient().first());
  EXPECT_EQ(ScramClient("abc", "a,b=c").first(), "n,,n=a=2Cb=3Dc,r=abc");
}

}  // namespace
}  // namespace doorman::auth
