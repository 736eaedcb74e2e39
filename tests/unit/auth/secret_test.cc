#include "auth/secret.h"

#include <gtest/gtest.h>

#include "auth/crypto.h"
#include "auth/scram.h"
#include "base/secret.h"

namespace doorman::auth {
namespace {

// As PostgreSQL 15 stored them, for role "shop" and password "pencil".
constexpr const char* kMd5 = "md563c9aec143c760151c7b661829b79762";
constexpr const char* kScram =
    "SCRAM-SHA-256$4096:TO3CVCY5g65VV9E2fpsEYg==$l9oB508wp8b0EvtFRGE05PCfR2pfqITUtqslH2vFOpc=:"
    "hKYOjXrIw0thnoBM32Oz2wc8qkOXD4p7ubzlO4pvQZc=";

constexpr Md5Salt kSalt = {std::byte{0}, std::byte{1}, std::byte{0xfe}, std::byte{0xff}};

TEST(Classify, KnowsEachKind) {
  EXPECT_EQ(classify("").kind, Secret::Kind::None);
  EXPECT_EQ(classify("pencil").kind, Secret::Kind::Plain);
  EXPECT_EQ(classify(kMd5).kind, Secret::Kind::Md5);
  EXPECT_EQ(classify(kScram).kind, Secret::Kind::Scram);
  EXPECT_EQ(classify(kScram).text, kScram);
}

TEST(Classify, TakesWhatOnlyLooksLikeAHashAsPlain) {
  const std::string md5 = kMd5;
  const std::string scram = kScram;
  for (const std::string& text :
       {md5 + "0", md5.substr(0, 34), "MD5" + md5.substr(3), md5.substr(0, 34) + "A",
        md5.substr(0, 34) + "g", scram + "=", scram.substr(0, scram.size() - 1), "X" + scram,
        std::string("SCRAM-SHA-256$"), std::string("SCRAM-SHA-256$0:AA==$AA==:AA==")}) {
    EXPECT_EQ(classify(text).kind, Secret::Kind::Plain) << text;
  }
}

TEST(Md5, HashesAsPostgresDoes) { EXPECT_EQ(md5_secret("shop", "pencil"), kMd5); }

TEST(Md5, AnswersOnlyForAStoredHash) {
  EXPECT_TRUE(is_md5_secret(md5_response(kMd5, kSalt)));
  EXPECT_NE(md5_response(kMd5, kSalt), md5_response(kMd5, {}));
  EXPECT_EQ(md5_response("pencil", kSalt), "");
}

TEST(VerifyPlain, FitsTheSamePasswordWhateverIsStored) {
  for (const char* stored : {"pencil", kMd5, kScram}) {
    const Secret secret = classify(stored);
    EXPECT_TRUE(verify_plain(secret, "shop", "pencil")) << stored;
    for (const char* wrong : {"", "pencil ", "penci", "Pencil", stored + 1})
      EXPECT_FALSE(verify_plain(secret, "shop", wrong)) << stored << " " << wrong;
  }
  EXPECT_FALSE(verify_plain(classify(kMd5), "other", "pencil"));
}

TEST(VerifyPlain, LetsNobodyInWithTheHashItself) {
  EXPECT_FALSE(verify_plain(classify(kMd5), "shop", kMd5));
  EXPECT_FALSE(verify_plain(classify(kScram), "shop", kScram));
}

TEST(VerifyPlain, LetsNobodyInWithoutAPassword) {
  EXPECT_FALSE(verify_plain(classify(""), "shop", ""));
  EXPECT_FALSE(verify_plain(classify(md5_secret("shop", "")), "shop", ""));
  EXPECT_FALSE(verify_plain(classify(build_scram_secret("", 1)), "shop", ""));
}

TEST(VerifyMd5, FitsPlainAndMd5) {
  const std::string response = md5_response(kMd5, kSalt);
  EXPECT_TRUE(verify_md5(classify("pencil"), "shop", response, kSalt));
  EXPECT_TRUE(verify_md5(classify(kMd5), "shop", response, kSalt));
  EXPECT_FALSE(verify_md5(classify("pencil"), "other", response, kSalt));
  EXPECT_FALSE(verify_md5(classify("pencil"), "shop", response, {}));
  EXPECT_FALSE(verify_md5(classify(kMd5), "shop", kMd5, kSalt));
  EXPECT_FALSE(verify_md5(classify(kMd5), "shop", "", kSalt));
}

TEST(VerifyMd5, NeverFitsScramOrNothing) {
  EXPECT_FALSE(verify_md5(classify(kScram), "shop", md5_response(kMd5, kSalt), kSalt));
  EXPECT_FALSE(
      verify_md5(classify(""), "shop", md5_response(md5_secret("shop", ""), kSalt), kSalt));
  EXPECT_FALSE(verify_md5(classify(""), "shop", "", kSalt));
}

TEST(Wipe, ClearsAllThatTheTextHadRoomFor) {
  std::string text(100, 'x');
  text.resize(10);
  const char* bytes = text.data();
  const std::size_t room = text.capacity();
  wipe(text);
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(text.data(), bytes);
  text.resize(room);
  EXPECT_EQ(text, std::string(room, '\0'));
}

TEST(Wipe, HappensAtTheEndOfAScope) {
  Key key = sha256(as_bytes("secret"));
  { const WipeAtEnd wiped(key); }
  EXPECT_EQ(key, Key{});
  wipe(std::span<std::byte>());
}

}  // namespace
}  // namespace doorman::auth
