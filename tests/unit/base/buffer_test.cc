#include "base/buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace doorman {
namespace {

TEST(Buffer, GivesBackWhatWasPutInInOrder) {
  Buffer buffer(8);
  EXPECT_TRUE(buffer.empty());
  buffer.append(bytes_of("abc"));
  buffer.append({});
  buffer.append(bytes_of("def"));
  EXPECT_EQ(text_of(buffer.bytes()), "abcdef");
  buffer.consume(2);
  EXPECT_EQ(text_of(buffer.bytes()), "cdef");
  EXPECT_EQ(buffer.size(), 4U);
  buffer.consume(4);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.capacity(), 8U);
}

TEST(Buffer, MovesWhatIsLeftBeforeItGrows) {
  Buffer buffer(8);
  buffer.append(bytes_of("abcdefgh"));
  buffer.consume(6);
  buffer.append(bytes_of("ijklmn"));
  EXPECT_EQ(text_of(buffer.bytes()), "ghijklmn");
  EXPECT_EQ(buffer.capacity(), 8U);
}

TEST(Buffer, GrowsAsFarAsNeeded) {
  Buffer buffer(4);
  buffer.append(bytes_of("abcd"));
  buffer.consume(1);
  const std::string more(1000, 'x');
  buffer.append(bytes_of(more));
  EXPECT_EQ(text_of(buffer.bytes()), "bcd" + more);
  EXPECT_GE(buffer.capacity(), 1003U);
}

TEST(Buffer, FreeSpaceIsAtLeastWhatWasWantedAndCanBeReadInto) {
  Buffer buffer(16);
  for (const std::size_t wanted : {1U, 16U, 17U, 300U}) {
    const auto space = buffer.free_space(wanted);
    ASSERT_GE(space.size(), wanted);
    std::fill(space.begin(), space.end(), std::byte{'z'});
    buffer.received(wanted);
  }
  EXPECT_EQ(text_of(buffer.bytes()), std::string(1U + 16U + 17U + 300U, 'z'));
}

TEST(Buffer, SameBytesWhereverTheyAreCut) {
  std::string all;
  for (int i = 0; i < 500; ++i) all += std::to_string(i);
  for (std::size_t in = 1; in < 40; in += 3) {
    for (std::size_t out = 1; out <= in; out += 5) {
      Buffer buffer(16);
      std::string seen;
      for (std::size_t at = 0; at < all.size(); at += in) {
        buffer.append(bytes_of(std::string_view(all).substr(at, in)));
        const std::size_t size = std::min(out, buffer.size());
        seen += text_of(buffer.bytes().first(size));
        buffer.consume(size);
      }
      seen += text_of(buffer.bytes());
      ASSERT_EQ(seen, all) << "in " << in << " out " << out;
    }
  }
}

TEST(BufferPool, LendsAndTakesBack) {
  BufferPool pool;
  {
    const BufferPool::Lent none = BufferPool::none();
    EXPECT_FALSE(none);
    const BufferPool::Lent one = pool.lend();
    BufferPool::Lent two = pool.lend();
    EXPECT_EQ(pool.lent(), 2U);
    EXPECT_EQ(one->capacity(), BufferPool::kSize);
    two.reset();
    EXPECT_EQ(pool.lent(), 1U);
  }
  EXPECT_EQ(pool.lent(), 0U);
}

TEST(BufferPool, ABufferComesBackEmpty) {
  BufferPool pool;
  BufferPool::Lent first = pool.lend();
  const Buffer* place = first.get();
  first->append(bytes_of("a secret of somebody else"));
  first.reset();
  const BufferPool::Lent second = pool.lend();
  EXPECT_EQ(second.get(), place);
  EXPECT_TRUE(second->empty());
}

TEST(BufferPool, ABufferThatHasGrownIsNotKept) {
  BufferPool pool;
  BufferPool::Lent large = pool.lend();
  large->append(bytes_of(std::string(BufferPool::kSize + 1, 'x')));
  large.reset();
  EXPECT_EQ(pool.lend()->capacity(), BufferPool::kSize);
}

TEST(BufferPool, LendsSmallOnesForLittle) {
  BufferPool pool;
  BufferPool::Lent small = pool.lend(BufferPool::kSmall);
  EXPECT_EQ(small->capacity(), BufferPool::kSmall);
  const Buffer* place = small.get();
  small.reset();
  EXPECT_EQ(pool.lend(1).get(), place);
  EXPECT_EQ(pool.lend(BufferPool::kSmall + 1)->capacity(), BufferPool::kSize);
  small = pool.lend(1);
  small->append(bytes_of(std::string(BufferPool::kSmall + 1, 'x')));
  EXPECT_EQ(small->size(), BufferPool::kSmall + 1);
}

TEST(BufferPool, KeepsABoundedNumber) {
  BufferPool pool;
  std::vector<BufferPool::Lent> all;
  for (std::size_t i = 0; i < BufferPool::kKept * 2; ++i) all.push_back(pool.lend());
  EXPECT_EQ(pool.lent(), BufferPool::kKept * 2);
  all.clear();
  EXPECT_EQ(pool.lent(), 0U);
}

}  // namespace
}  // namespace doorman
