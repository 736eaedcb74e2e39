#include "base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace doorman {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Text, SplitsListsAndTrimsTheirItems) {
  EXPECT_THAT(split_list("a, b ,,\tc"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(split_list("one"), ElementsAre("one"));
  EXPECT_THAT(split_list(""), IsEmpty());
  EXPECT_THAT(split_list(" , ,"), IsEmpty());
  EXPECT_EQ(trim("  a b\r\n"), "a b");
  EXPECT_EQ(trim(" \t"), "");
}

TEST(Text, SaysWhatAnErrnoMeans) {
  EXPECT_EQ(errno_text("opening x", ENOENT), "opening x: No such file or directory");
  EXPECT_EQ(errno_text(EACCES), "Permission denied");
}

TEST(Text, ShowsControlCharacters) {
  EXPECT_EQ(escape_control("a\nb\tc\r\x7f\x1b"), "a\\nb\\tc\\x0d\\x7f\\x1b");
  EXPECT_EQ(escape_control("\xc3\xbc ok"), "\xc3\xbc ok");
}

}  // namespace
}  // namespace doorman
