#include "control/tokens.h"

#include <gtest/gtest.h>

namespace doorman::control {
namespace {

std::vector<Word> words(std::string_view text) {
  auto found = words_of(text);
  EXPECT_TRUE(found) << text;
  return found ? found.take() : std::vector<Word>();
}

std::string error_of(std::string_view text) {
  auto found = words_of(text);
  return found ? "no error" : found.error().message;
}

TEST(Tokens, BlanksOfAnyKindSeparateWords) {
  const std::vector<Word> expected = {{.text = "show"}, {.text = "pools"}};
  EXPECT_EQ(words("show pools"), expected);
  EXPECT_EQ(words("  show\t\r\n pools \n"), expected);
}

TEST(Tokens, SemicolonsAtTheEndAreDropped) {
  EXPECT_EQ(words("x;"), words("x"));
  EXPECT_EQ(words("x ; ;"), words("x"));
  EXPECT_TRUE(words(" ; ").empty());
  EXPECT_EQ(words("a;b").size(), 3u);
}

TEST(Tokens, EqualsStandsAlone) {
  const std::vector<Word> expected = {{.text = "k"}, {.text = "="}, {.text = "v"}};
  EXPECT_EQ(words("k=v"), expected);
  EXPECT_EQ(words("k = v"), expected);
}

TEST(Tokens, QuotesKeepWhatIsInside) {
  const std::vector<Word> name = {{.text = "My \"Db\"; x", .quoted = true}};
  EXPECT_EQ(words("\"My \"\"Db\"\"; x\""), name);
  const std::vector<Word> value = {{.text = "it's", .quoted = true}};
  EXPECT_EQ(words("'it''s'"), value);
  EXPECT_EQ(words("''").front().text, "");
  EXPECT_EQ(words("\"a\"'b'c").size(), 3u);
}

TEST(Tokens, QuotedWordsAreNoKeywordsOrSymbols) {
  const std::vector<Word> found = words("\"SHOW\" '=' show =");
  EXPECT_FALSE(is_keyword(found[0], "SHOW"));
  EXPECT_FALSE(is_symbol(found[1], '='));
  EXPECT_TRUE(is_keyword(found[2], "SHOW"));
  EXPECT_TRUE(is_symbol(found[3], '='));
}

TEST(Tokens, CommentsAreSkipped) {
  EXPECT_TRUE(words("-- ping").empty());
  EXPECT_EQ(words("/* by /* an */ app */ show -- all\n pools"), words("show pools"));
  EXPECT_EQ(words("a-b"), (std::vector<Word>{{.text = "a-b"}}));
}

TEST(Tokens, SaysWhatIsNotClosed) {
  EXPECT_EQ(error_of("show \"x"), "a quote (\") is not closed");
  EXPECT_EQ(error_of("'x''"), "a quote (') is not closed");
  EXPECT_EQ(error_of("/* x"), "a comment (/*) is not closed");
}

TEST(Tokens, WhereverTheTextEndsTheWordsBeforeAreTheSame) {
  const std::string whole = "set /* why */ \"a \"\"name\" = 'it''s' ; -- done\n show;";
  const std::vector<Word> all = words(whole);
  ASSERT_EQ(all.size(), 6u);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    auto part = words_of(whole.substr(0, size));
    if (!part) continue;
    for (std::size_t i = 0; i < part->size(); ++i) {
      if (i + 1 < part->size()) {
        EXPECT_EQ((*part)[i], all[i]) << size;
      } else {
        EXPECT_TRUE(all[i].text.starts_with((*part)[i].text) || (*part)[i].text == "/" ||
                    (*part)[i].text == "-")
            << size << ": " << (*part)[i].text;
      }
    }
  }
}

}  // namespace
}  // namespace doorman::control
