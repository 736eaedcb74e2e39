#include "session/cancel.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/bytes.h"

namespace doorman::session {
namespace {

std::uint32_t process_id(const std::string& key) { return read_u32(bytes_of(key).data()); }

TEST(CancelKeys, FindTheClientTheyWereIssuedFor) {
  CancelKeys keys;
  const std::string one = keys.issue({.worker = 1, .client = 10}, 4);
  const std::string two = keys.issue({.worker = 2, .client = 20}, 32);
  EXPECT_EQ(one.size(), 8U);
  EXPECT_EQ(two.size(), 36U);
  ASSERT_TRUE(keys.find(one));
  EXPECT_EQ(keys.find(one)->client, 10U);
  EXPECT_EQ(keys.find(two)->worker, 2);
  EXPECT_EQ(keys.key_of(process_id(two)), two);
}

TEST(CancelKeys, EveryByteOfTheSecretMatters) {
  CancelKeys keys;
  const std::string key = keys.issue({.worker = 0, .client = 1}, 4);
  for (std::size_t i = 0; i < key.size(); ++i) {
    std::string wrong = key;
    wrong[i] = static_cast<char>(wrong[i] ^ 1);
    EXPECT_FALSE(keys.find(wrong)) << i;
  }
  EXPECT_FALSE(keys.find(key + "x"));
  EXPECT_FALSE(keys.find(key.substr(0, 7)));
  EXPECT_FALSE(keys.find(""));
}

TEST(CancelKeys, EndWithTheirClient) {
  CancelKeys keys;
  const std::string key = keys.issue({.worker = 0, .client = 1}, 4);
  keys.withdraw(process_id(key));
  EXPECT_FALSE(keys.find(key));
  EXPECT_EQ(keys.key_of(process_id(key)), "");
  keys.depart(process_id(key));
  EXPECT_EQ(keys.size(), 0U);
}

TEST(CancelKeys, ARequestThatComesDuringAMoveWaitsForItsEnd) {
  CancelKeys keys;
  const std::string key = keys.issue({.worker = 0, .client = 1}, 4);
  keys.depart(process_id(key));
  EXPECT_FALSE(keys.find(key));
  EXPECT_TRUE(keys.restore(key, {.worker = 3, .client = 1}));
  EXPECT_EQ(keys.find(key)->worker, 3);
  keys.depart(process_id(key));
  EXPECT_FALSE(keys.restore(key, {.worker = 1, .client = 1}));  // nobody asked this time
}

TEST(CancelKeys, AreRestoredAsTheyWere) {
  CancelKeys before;
  const std::string key = before.issue({.worker = 0, .client = 1}, 32);
  CancelKeys after;
  EXPECT_FALSE(after.restore(key, {.worker = 1, .client = 5}));
  EXPECT_FALSE(after.restore("short", {.worker = 1, .client = 6}));
  ASSERT_TRUE(after.find(key));
  EXPECT_EQ(after.find(key)->client, 5U);
  EXPECT_EQ(after.size(), 1U);
}

TEST(CancelKeys, ProcessIdsArePositiveAndDiffer) {
  CancelKeys keys;
  std::set<std::uint32_t> ids;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::uint32_t id = process_id(keys.issue({.worker = 0, .client = i}, 4));
    EXPECT_GT(id, 0U);
    EXPECT_LE(id, 0x7fff'ffffU);
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 1000U);
}

}  // namespace
}  // namespace doorman::session
