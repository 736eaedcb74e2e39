#include "wire/message_reader.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace doorman::wire {
namespace {

using namespace std::string_literals;

// A copy with nothing behind it, so that a sanitizer sees every byte that is read too far.
struct Exact {
  explicit Exact(std::string_view text) : size(text.size()), bytes(new std::byte[text.size()]) {
    std::copy_n(bytes_of(text).begin(), size, bytes.get());
  }
  Bytes all() const { return {bytes.get(), size}; }
  std::size_t size;
  std::unique_ptr<std::byte[]> bytes;
};

TEST(MessageReader, ReadsFieldByField) {
  const Exact body("A\x01\x02\x01\x02\x03\x04name\0rawrest"s);
  MessageReader reader(body.all());
  EXPECT_EQ(reader.byte(), 'A');
  EXPECT_EQ(reader.u16(), 0x0102U);
  EXPECT_EQ(reader.u32(), 0x01020304U);
  EXPECT_EQ(reader.text(), "name");
  EXPECT_EQ(reader.raw(3), "raw");
  EXPECT_FALSE(reader.at_end());
  EXPECT_EQ(text_of(reader.rest()), "rest");
  EXPECT_EQ(reader.raw(4), "rest");
  EXPECT_TRUE(reader.at_end());
  EXPECT_FALSE(reader.failed());
  EXPECT_EQ(reader.raw(0), "");
  EXPECT_FALSE(reader.failed());
}

TEST(MessageReader, WhereverTheBodyEndsItFailsInsteadOfReadingOn) {
  const std::string whole = "A\x01\x02\x01\x02\x03\x04name\0raw"s;
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const Exact body(std::string_view(whole).substr(0, size));
    MessageReader reader(body.all());
    EXPECT_EQ(reader.byte(), size >= 1 ? 'A' : '\0');
    EXPECT_EQ(reader.u16(), size >= 3 ? 0x0102U : 0U);
    EXPECT_EQ(reader.u32(), size >= 7 ? 0x01020304U : 0U);
    EXPECT_EQ(reader.text(), size >= 12 ? "name" : "");
    EXPECT_EQ(reader.raw(3), size >= 15 ? "raw" : "");
    EXPECT_EQ(reader.failed(), size < 15) << size;
  }
}

TEST(MessageReader, OnceFailedItGivesNothingMore) {
  const Exact body("abcd"s);
  MessageReader reader(body.all());
  EXPECT_EQ(reader.raw(5), "");
  EXPECT_TRUE(reader.failed());
  EXPECT_EQ(reader.byte(), '\0');
  EXPECT_EQ(reader.u16(), 0U);
  EXPECT_EQ(reader.u32(), 0U);
  EXPECT_EQ(reader.text(), "");
  EXPECT_TRUE(reader.at_end());
  MessageReader unfinished(body.all());
  EXPECT_EQ(unfinished.text(), "");
  EXPECT_EQ(unfinished.raw(1), "");
  EXPECT_TRUE(unfinished.failed());
}

TEST(MessageReader, AHugeLengthIsNoOverflow) {
  const Exact body("abcd"s);
  MessageReader reader(body.all());
  reader.byte();
  EXPECT_EQ(reader.raw(SIZE_MAX), "");
  EXPECT_TRUE(reader.failed());
}

}  // namespace
}  // namespace doorman::wire
