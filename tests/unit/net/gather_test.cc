#include "net/gather.h"

#include <gtest/gtest.h>

#include <string>

namespace doorman::net {
namespace {

std::string joined(Gather& gather) {
  std::string all;
  for (const iovec& slice : gather.slices()) {
    all.append(static_cast<const char*>(slice.iov_base), slice.iov_len);
  }
  return all;
}

TEST(Gather, NeighboursBecomeOneSlice) {
  const std::string text = "abcdef";
  const Bytes bytes = bytes_of(text);
  Gather gather;
  gather.add(bytes.subspan(0, 2));
  gather.add({});
  gather.add(bytes.subspan(2, 2));
  EXPECT_EQ(gather.slices().size(), 1U);
  gather.add(bytes.subspan(5, 1));
  EXPECT_EQ(gather.slices().size(), 2U);
  EXPECT_EQ(joined(gather), "abcdf");
  EXPECT_EQ(gather.size(), 5U);
}

TEST(Gather, KeepsCopiesUntilReset) {
  Gather gather;
  std::string expected;
  for (int i = 0; i < 2000; ++i) {  // more than one block of copies
    std::string piece = "piece " + std::to_string(i) + ";";
    gather.add_copy(piece);
    expected += piece;
    piece.assign(piece.size(), '?');
  }
  EXPECT_EQ(joined(gather), expected);
  EXPECT_LE(gather.slices().size(), 3U);
  gather.reset();
  EXPECT_TRUE(gather.empty());
  EXPECT_TRUE(gather.slices().empty());
  gather.add_copy("again");
  EXPECT_EQ(joined(gather), "again");
}

TEST(Gather, ACopyMayBeLargerThanABlock) {
  Gather gather;
  const std::string large(100'000, 'x');
  gather.add_copy("a");
  gather.add_copy(large);
  gather.add_copy("b");
  EXPECT_EQ(joined(gather), "a" + large + "b");
}

TEST(Gather, CopiesAndSlicesKeepTheirOrder) {
  const std::string text = "0123456789";
  Gather gather;
  std::string expected;
  for (std::size_t i = 0; i < 10; ++i) {
    gather.add(bytes_of(text).subspan(i, 1));
    gather.add_copy("-");
    expected += text[i];
    expected += '-';
  }
  EXPECT_EQ(joined(gather), expected);
}

TEST(Gather, IsFullWhileThereIsRoomForAFewMore) {
  const std::string text(2 * Gather::kMaxSlices, 'x');
  Gather gather;
  std::size_t slices = 0;
  for (std::size_t i = 0; !gather.full(); i += 2) {
    gather.add(bytes_of(text).subspan(i, 1));
    ++slices;
  }
  EXPECT_EQ(gather.slices().size(), slices);
  EXPECT_EQ(slices, Gather::kMaxSlices - 16);
  for (std::size_t i = 0; i < 16; ++i) gather.add(bytes_of(text).subspan(i * 2, 1));
  EXPECT_EQ(gather.slices().size(), Gather::kMaxSlices);
}

}  // namespace
}  // namespace doorman::net
