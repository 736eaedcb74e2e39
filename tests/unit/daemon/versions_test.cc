#include "daemon/versions.h"

#include <gtest/gtest.h>

namespace doorman::daemon {
namespace {

Versions release(std::uint64_t records, std::uint64_t oldest, std::uint64_t readable_by) {
  return {.program = "x", .records = records, .oldest = oldest, .readable_by = readable_by};
}

TEST(Versions, OneReadsWhatIsMeantForIt) {
  const Versions reader = release(3, 2, 3);
  EXPECT_TRUE(can_read(reader, release(3, 1, 1)));
  EXPECT_TRUE(can_read(reader, release(2, 1, 1)));
  EXPECT_FALSE(can_read(reader, release(1, 1, 1))) << "too old";
  EXPECT_TRUE(can_read(reader, release(9, 9, 3))) << "it says that 3 is enough";
  EXPECT_FALSE(can_read(reader, release(9, 1, 4)));
  EXPECT_FALSE(can_read(reader, Versions())) << "it has not said";
  EXPECT_FALSE(can_read(Versions(), reader));
}

TEST(Versions, AnErrorSaysWhichOnes) {
  auto refused = can_read(release(3, 2, 1), release(9, 7, 8));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "pg_doorman x reads records of version 2 to 3, these are of version 9 and for readers "
            "of version 8 or later");
}

TEST(Versions, GoIntoARecordAndBack) {
  auto loaded = load_versions(save(our_versions()));
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(can_read(*loaded, our_versions()));
  EXPECT_EQ(loaded->readable_by, our_versions().readable_by);
}

}  // namespace
}  // namespace doorman::daemon
