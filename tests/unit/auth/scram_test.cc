// The oracle is PostgreSQL: what it stores for a password is what we must derive from it.
#include "auth/scram.h"

#include <gtest/gtest.h>

#include "auth/saslprep.h"

namespace doorman::auth {
namespace {

using namespace std::string_literals;

struct Stored {
  const char* password;
  const char* salt;
  const char* keys;
};

// Made by PostgreSQL 15: CREATE ROLE ... PASSWORD, then rolpassword, in a UTF-8 database.
constexpr Stored kByPostgres[] = {
    {"\x70\x65\x6e\x63\x69\x6c", "TO3CVCY5g65VV9E2fpsEYg==",  // plain ASCII
     "l9oB508wp8b0EvtFRGE05PCfR2pfqITUtqslH2vFOpc=:"
     "hKYOjXrIw0thnoBM32Oz2wc8qkOXD4p7ubzlO4pvQZc="},
    {"\x70\xc3\xa9\x6e\x63\x69\x6c", "WWXjeGrshmnmz6OZF426Dw==",  // composed already
     "qW04RIi8XKXfhVRccGfLl3Dofu3IBIuBLsnSBFbIfks=:"
     "D3dAttetMI8/0azDcc936MTd6cU3daBBYykTCwjxks0="},
    {"\x49\xc2\xad\x58",
     "yBH1AHA2K1Yv1QqtfsjDag==",  // RFC 4013, 1: a soft hyphen is mapped to nothing
     "Q/gv5pdekTO3cev0JZ+Jf3wvfq90x1uc0SMt/KRB/IM=:"
     "efFlYmN/aiGSE0EgVD6l5Unsy7p1PGFkN4CYBXAQJYs="},
    {"\xc2\xaa", "q3AtGTah0RK9U+6ElcPJXQ==",  // RFC 4013, 4: NFKC
     "KJbtHELYvrKScfxZ87rWDoevCq6iASzSzBHVrqBbeJk=:"
     "sZM4OwgAI4/bBb99zGKrphNNTEmGA6rFgndTWZWsVAY="},
    {"\xe2\x85\xa8", "EXsPaxw3bexkwGK9dIunAg==",  // RFC 4013, 5: NFKC
     "73AJzxDfqGhjZxJRaVuWv4IW3MpK6JFboOJtdXn6zCM=:"
     "cRuBFYE5j4rrNdbLVEp/rtMlRlH+A3RbZF+NomX3SjM="},
    {"\x61\xc2\xa0\x62", "dKHFCKBp2wazd/qwPbGI3w==",  // a space that is not ASCII
     "PnaYDheG2kdf+m+aAYBwi8ikwS+Tqmj3sn4Nb5hK8bI=:"
     "oZRLwIgcHHwC8eEdBWsQ38NFWwTrolvMeB8nlq2cG/0="},
    {"\x07", "nZ0gp5PzqAgV1pVGsTqiAQ==",  // RFC 4013, 6: prohibited, so raw
     "wj+++jZJSmgbhNuvQCocBmtfwl/u9PltInUnuJ0nK3A=:"
     "YtgwfUu6dWDAUfVaHTzfmewuVh+ADTgo9KThp7qAKL0="},
    {"\xd8\xa7\x31",
     "bmWGr6PJ2ZATCxzDkmeZjg==",  // RFC 4013, 7: breaks the bidirectional rule, so raw
     "rpZYV7aZpqcmYsDmsM5bjRVI+9vExt36Qvd36mX22vU=:"
     "4wnf+90WmO5G+WjwxurUPqdYib7MRsRaN7VVpFTrA20="},
    {"\xd8\xa7\x78\xd8\xa8", "hoD4/18ifUaUdmglG+YtEg==",  // the same rule
     "EeGFOfTeoA7VUqKdAKN6PjCzu5DcX/cWvxBAZkDyut0=:"
     "qHIlJ1E2kRjmzqIKFUCnaOUeZjPMpPBcNm/m/47Jtnw="},
    {"\xc8\xa1", "9jsY/z4lOOuQbIwn80uKNQ==",  // unassigned in Unicode 3.2, so raw
     "FpCEGohH7rk2dzhxi4t2A6zlA1V8k3yTuw4VTsWF7Cw=:"
     "7US3EXXGKKba1IUhP1eU2neNrlCofENmWcxDlcdu7OM="},
    {"\xc2\xad", "XGcRngP2MnGOIymVcG1jfw==",  // nothing is left, so raw
     "6/EbeMCwyayDmPppMv59EKbONT5kSwByVpWg9vi+qg8=:"
     "A/naDjlrlKn7DegVv6RgEc+qYn9K0BcHoF8j0hWR8pY="},
    {"\xe1\xba\x9b\xcc\xa3", "GKX0iPaBV+JFSlYqoHg49w==",  // NFKC of two marks
     "bqBcRs/qqopJxstUD3tRx+pnTxj4p/cS+Q7sPlQhOEg=:"
     "IXmu+PRlUSk3yt8uOPPSMeZOqvEym6o8WaICzOvjS3U="},
    {"\x78\xf0\x9f\x98\x80", "hr1UHwZ+g32lzzUEGgHu2w==",  // unassigned in Unicode 3.2, so raw
     "U9J0xfHpxk5UKszkGxuilhj/fptwT4J90lk47aPning=:"
     "RXKIrq2CXWpO3oNqUtDClhu9Spea1OZuvbmFLYHhAYo="},
    {"\x61\xe2\x80\x8b\x62", "cTy04GDk3cSa6IvVkgfvTw==",  // zero width space
     "Nr4FOOiSXRkG45PjMPM34yWQYyQk2pZoFSjwfk5q5vc=:"
     "PDY9kLKZoHelTy7HWpykMSvvyRrW+BJkFlqv1KBmebI="},
    {"\xc3\x85\xe2\x84\xab", "sgd2zxcfpSBEoEF9yhp6bw==",  // two forms of one letter
     "Dn4ijJeceKeEF9WkJURC8kN6m0/Mz82vblQiuyfNzTU=:"
     "5umHVSdD+o3cL/t0RAuHSguvibFIGzcJyg5ElbZ1MWE="},
    {"\x65\xcc\x81", "sh11twK0l0AZAwQ4qQDfcA==",  // composed
     "XznTjwa5yE/nOrmeEa+QTGW2VHhEqz3tFDLyzyBYQZQ=:"
     "lZxCMdapdk1LPoqTBPBr4f6ABszd4woG343HWQ8B7Xo="},
    {"\xcd\x80\xcd\x81", "MCAi7eibH6OUUY/3qQ9vjw==",  // prohibited, so raw
     "sTm0qJGkiO3qdrshX2FC0yhHlElOEPfep4gBKKfA/O0=:"
     "WuzUIn7zNSiJetveZZUWQKquDOdL9gYiMEp8Msc59AQ="},
    {"\xe2\x80\xa8", "wKudamUQZuI9Ko4IjINnog==",  // prohibited, so raw
     "DjwgN1jDVioge4UUKuA2Tl0EZ8/+8VYd++8rezcOJsU=:"
     "qHHzIesDsLHKCooF9VdRsRp78TS44xU7pXIsqwy8F4k="},
    {"\xd8\xa7\x20\x31", "5+1tWMiN4bxHzygWNAfyIg==",  // bidirectional with a space
     "q3RHv0SFQOfoaJnQS/1iwK0kpkFd7kLakmsqjXRFDdk=:"
     "H7JLsxtKevcXInd5eDeu2XGI9h7e7MbKpmz6OKHNsnM="},
    {"\x41\xcd\x85", "iM81MP501bCfX1s2GHFjlw==",  // NFKC casefold stays
     "MkL0G5fJYm9vrvjZqn/YRNZIutzpclMeDRlCmweYTWM=:"
     "ClD3iPRw12V/R61u/lXMjLlNFQrQHr0I4D6Blk3sQLg="},
    {"\x61\xe1\x9a\x80\x62", "qq3QVcKAewILuMX14u5+vw==",  // Ogham space
     "zt7uqlGmD+EjyWy06r2rkRvLam0tjCzP3FX/gbKcZOg=:"
     "KHJP6qHywmqwVeMT8LYB25HRQH4sskhkecufNhIBdrc="},
    {"\xef\xbb\xbf\x78", "q4XhGTMlpZR7aB6EbY7XAQ==",  // byte order mark
     "CGY+Re9Y5uu5VPkZWq+Py5MLfiq0AvudI4N11/8dp6s=:"
     "fJmFOPWvDiH7rxjL1GZGH3zGo8FPem4uYVypf2BVvyI="},
};

TEST(Verifier, IsTheOneThatPostgresMakes) {
  for (const Stored& stored : kByPostgres) {
    const std::string text = "SCRAM-SHA-256$4096:"s + stored.salt + "$" + stored.keys;
    auto verifier = parse_verifier(text);
    ASSERT_TRUE(verifier) << verifier.error().message;
    EXPECT_EQ(verifier->iterations, 4096);
    EXPECT_EQ(format_verifier(*verifier), text);
    EXPECT_EQ(format_verifier(derive_verifier(stored.password, 4096, verifier->salt)), text);
  }
}

TEST(Verifier, IsRefusedWhenItIsNotWrittenAsPostgresWrites) {
  const std::string good =
      "SCRAM-SHA-256$4096:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  ASSERT_TRUE(parse_verifier(good));
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(parse_verifier(good.substr(0, size))) << size;
  const auto with = [&](const std::string& old, const std::string& now) {
    return std::string(good).replace(good.find(old), old.size(), now);
  };
  for (const auto& text :
       {good + "=", good + ":", with("4096", "0"), with("4096", "-1"), with("4096", "+1"),
        with("4096", "04096"), with("4096", " 4096"), with("4096", ""), with("4096", "10000001"),
        with("4096", "99999999999"), with("c2FsdA==", ""), with("c2FsdA==", "c2FsdB=="),
        with("SCRAM-SHA-256", "SCRAM-SHA-1"), with("SCRAM", "scram"), with("$A", "$$A"),
        with("c2FsdA==", std::string(4096, 'A'))}) {
    EXPECT_FALSE(parse_verifier(text)) << text;
  }
  EXPECT_TRUE(parse_verifier(with("4096", "10000000")));
}

TEST(Verifier, OfTheSamePasswordHasAnotherSaltEachTime) {
  const std::string one = build_scram_secret("pencil", 1);
  const std::string two = build_scram_secret("pencil", 1);
  EXPECT_NE(one, two);
  auto verifier = parse_verifier(one);
  ASSERT_TRUE(verifier) << one;
  EXPECT_EQ(verifier->salt.size(), kSaltSize);
  EXPECT_EQ(format_verifier(derive_verifier("pencil", 1, verifier->salt)), one);
}

TEST(MockVerifier, IsStableForAUserAndDiffersBetweenThem) {
  const Key nonce = sha256(as_bytes("nonce"));
  const auto mock = mock_verifier("nobody", nonce, 4096);
  EXPECT_EQ(mock.iterations, 4096);
  EXPECT_EQ(mock.salt.size(), kSaltSize);
  EXPECT_EQ(format_verifier(mock), format_verifier(mock_verifier("nobody", nonce, 4096)));
  EXPECT_NE(mock.salt, mock_verifier("nobody2", nonce, 4096).salt);
  EXPECT_NE(mock.salt, mock_verifier("nobody", sha256(as_bytes("other")), 4096).salt);
  EXPECT_NE(mock.stored_key, mock.server_key);
}

// The examples of RFC 4013, section 3.
TEST(Saslprep, GivesTheExamplesOfItsRfc) {
  EXPECT_EQ(prepare_password("I\u00adX"), "IX");
  EXPECT_EQ(prepare_password("user"), "user");
  EXPECT_EQ(prepare_password("USER"), "USER");
  EXPECT_EQ(prepare_password("\u00aa"), "a");
  EXPECT_EQ(prepare_password("\u2168"), "IX");
}

TEST(Saslprep, LeavesWhatItRefusesAsItIs) {
  for (const std::string& password :
       {"\x07"s, "\u06271"s, "\u00ad"s, "\u0221"s, "\xff\xfe"s, "caf\xe9"s, "\xc3"s,
        "\xed\xa0\x80"s, "\u00aa\0\u00aa"s, ""s, std::string(70'000, 'x')}) {
    EXPECT_EQ(prepare_password(password), password);
  }
}

TEST(Saslprep, TakesWhatEndsInTheMiddleOfACharacter) {
  const std::string whole = "p\u00e4ss\u00a0\u2168\u00ad\U0001f512";
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    EXPECT_EQ(prepare_password(whole.substr(0, size)).empty(), size == 0) << size;
  }
}

TEST(Saslprep, TakesALongPassword) {
  std::string password;
  std::string prepared;
  for (int i = 0; i < 30'000; ++i) {
    password += "\u00aa";
    prepared += "a";
  }
  EXPECT_EQ(prepare_password(password), prepared);
}

TEST(Scram, KeysFitTheVerifierOfTheirPassword) {
  ScramServer server(derive_verifier("right", 4096, "a salt of 16 bys"), "server");
  const ScramVerifier verifier = server.state().verifier;
  ScramClient client("client");
  ASSERT_TRUE(client.parse_server_first(*server.first(client.first())));
  ASSERT_TRUE(server.last(*client.final_with_password("right")));
  ScramKeys keys = server.keys();
  EXPECT_TRUE(fits(keys, verifier));
  EXPECT_FALSE(fits(keys, derive_verifier("wrong", 4096, "a salt of 16 bys")));
  keys.server_key[0] ^= std::byte{1};
  EXPECT_FALSE(fits(keys, verifier));
  wipe(keys);
  EXPECT_EQ(keys.client_key, ScramKeys().client_key);
}

}  // namespace
}  // namespace doorman::auth
