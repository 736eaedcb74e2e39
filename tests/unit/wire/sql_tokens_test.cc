#include "wire/sql_tokens.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace doorman::wire {
namespace {

using namespace std::string_literals;
using Encoding = SqlDialect::Encoding;

// Each token's kind as a letter, then its text.
std::string tokens_of(std::string_view sql, SqlDialect dialect = {}) {
  SqlTokens tokens(sql, dialect);
  std::string all;
  while (true) {
    const SqlToken token = tokens.next();
    if (token.kind == SqlKind::End) return all;
    all += all.empty() ? "" : " ";
    all += "WQUSNPsE!"[static_cast<int>(token.kind)];
    all += ":" + std::string(token.text);
  }
}

std::vector<std::string> first_words(std::string_view sql) {
  SqlTokens tokens(sql);
  std::vector<std::string> all;
  while (tokens.next_statement()) all.emplace_back(tokens.next().text);
  return all;
}

std::string name_of(std::string_view sql, SqlDialect dialect = {}) {
  return SqlTokens(sql, dialect).name().value_or("(none)");
}

constexpr SqlDialect kBackslashes = {.encoding = Encoding::Utf8,
                                     .standard_conforming_strings = false};

TEST(SqlTokens, AreCutAsPostgresCutsThem) {
  EXPECT_EQ(tokens_of(""), "");
  EXPECT_EQ(tokens_of("LISTEN a"), "W:LISTEN W:a");
  EXPECT_EQ(tokens_of("a.b=$1+1.5e3,x$y"), "W:a s:. W:b s:= P:$1 s:+ N:1.5e3 s:, W:x$y");
  EXPECT_EQ(tokens_of("\"a b\"\"c\" 'd''e' U&\"f\" u&'g'"),
            "Q:\"a b\"\"c\" S:'d''e' U:U&\"f\" S:u&'g'");
  EXPECT_EQ(tokens_of("n'a' b'1' X'f' u & \"a\" e 'x'"),
            "W:n S:'a' S:b'1' S:X'f' W:u s:& Q:\"a\" W:e S:'x'");
  EXPECT_EQ(tokens_of("$$a;'b$$ $x$ $$ $y$ $x$ $ $1a"), "S:$$a;'b$$ S:$x$ $$ $y$ $x$ s:$ P:$1 W:a");
  EXPECT_EQ(tokens_of("a$b$c $b$d$b$"), "W:a$b$c S:$b$d$b$");
}

TEST(SqlTokens, CommentsAreBlanks) {
  EXPECT_EQ(tokens_of("a--b\nc/*d/*e*/f*/g-1"), "W:a W:c W:g s:- N:1");
  EXPECT_EQ(tokens_of("*/*x*/ /y"), "s:* s:/ W:y");
  EXPECT_EQ(tokens_of("a -- no end"), "W:a");
  EXPECT_EQ(tokens_of("a /* /* */ b"), "W:a !:/* /* */ b");
}

TEST(SqlTokens, BackslashesEscapeWhereTheyDo) {
  EXPECT_EQ(tokens_of(R"(E'a\'b' 'c\' d)"), R"(S:E'a\'b' S:'c\' W:d)");
  EXPECT_EQ(tokens_of(R"('a\'b' "c\" d)", kBackslashes), R"(S:'a\'b' Q:"c\" W:d)");
  EXPECT_EQ(tokens_of(R"('a\\' b)", kBackslashes), R"(S:'a\\' W:b)");
  EXPECT_EQ(tokens_of(R"(E'a\)"), R"(!:E'a\)");
}

TEST(SqlTokens, StringsGoOnAfterALine) {
  EXPECT_EQ(tokens_of("E'a' -- b\n 'c\\'d' e"), "S:E'a' -- b\n 'c\\'d' W:e");
  EXPECT_EQ(tokens_of("'a' 'b'"), "S:'a' S:'b'");
  EXPECT_EQ(tokens_of("'a'\n"), "S:'a'");
}

TEST(SqlTokens, WhatDoesNotEndIsInvalid) {
  for (const std::string_view sql : {"'a", "\"a", "$$a", "$x$a$y$", "U&\"a", "E'a\\'"}) {
    EXPECT_EQ(tokens_of(sql), "!:"s + std::string(sql));
  }
}

TEST(SqlTokens, StatementsEndAtSemicolons) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(first_words(" ;; -- x\n"), Words{});
  EXPECT_EQ(first_words("a b;c;;d"), (Words{"a", "c", "d"}));
  EXPECT_EQ(first_words(";a ';' ; b"), (Words{"a", "b"}));
  EXPECT_EQ(first_words("create rule r as on insert to t do (a; b); c"), (Words{"create", "c"}));
  EXPECT_EQ(first_words("a); b"), (Words{"a", "b"}));
  EXPECT_EQ(
      first_words("Create or Replace Function f() begin atomic a; select case b when c then d "
                  "end; e; end; g"),
      (Words{"Create", "g"}));
  EXPECT_EQ(first_words("create procedure begin(begin int) begin begin atomic end; a"),
            (Words{"create", "a"}));
  EXPECT_EQ(first_words("create table begin (atomic int); a"), (Words{"create", "a"}));
  EXPECT_EQ(first_words("begin atomic; a"), (Words{"begin", "a"}));
}

TEST(SqlTokens, AStatementMayBeLeftAnywhere) {
  SqlTokens sql("a b; c d; e");
  ASSERT_TRUE(sql.next_statement());
  EXPECT_EQ(sql.next().text, "a");
  EXPECT_EQ(sql.next().text, "b");
  EXPECT_EQ(sql.next().kind, SqlKind::Semicolon);
  ASSERT_TRUE(sql.next_statement());
  EXPECT_TRUE(sql.peek().is("C"));
  ASSERT_TRUE(sql.next_statement());  // nothing of it was read
  EXPECT_TRUE(sql.next().is("C"));
  ASSERT_TRUE(sql.next_statement());
  EXPECT_TRUE(sql.next().is("E"));
  EXPECT_FALSE(sql.next_statement());
  EXPECT_FALSE(sql.next_statement());
}

TEST(SqlTokens, KeywordsAreWordsInAnyCase) {
  EXPECT_TRUE(SqlTokens("LisTen").next().is("LISTEN"));
  EXPECT_FALSE(SqlTokens("listen_").next().is("LISTEN"));
  EXPECT_FALSE(SqlTokens("\"LISTEN\"").next().is("LISTEN"));
  EXPECT_FALSE(SqlTokens("'LISTEN'").next().is("LISTEN"));
  EXPECT_TRUE(SqlTokens("*").next().is('*'));
}

TEST(SqlTokens, NamesAreFoldedUnquotedAndCut) {
  EXPECT_EQ(name_of("FooBar"), "foobar");
  EXPECT_EQ(name_of("\"Foo\"\"Bar\""), "Foo\"Bar");
  EXPECT_EQ(name_of("\xc3\x84X"), "\xc3\x84x");  // only ASCII is folded
  EXPECT_EQ(name_of("'a'"), "(none)");
  EXPECT_EQ(name_of("*"), "(none)");
  EXPECT_EQ(name_of("\"\""), "(none)");
  EXPECT_EQ(name_of(std::string(70, 'A')), std::string(63, 'a'));
  EXPECT_EQ(name_of(std::string(62, 'a') + "\xc3\xa4"), std::string(62, 'a'));
  EXPECT_EQ(name_of(std::string(61, 'a') + "\xc3\xa4z"), std::string(61, 'a') + "\xc3\xa4");
  EXPECT_EQ(name_of(std::string(62, 'a') + "\xe4\xe4", SqlDialect::of("LATIN1", true)),
            std::string(62, 'a') + "\xe4");
  EXPECT_EQ(name_of(std::string(62, 'a') + "\x83\x5c", SqlDialect::of("SJIS", true)),
            std::string(62, 'a'));
}

TEST(SqlTokens, NamesMayBeUnicodeEscapes) {
  EXPECT_EQ(name_of("U&\"d\\0061t\\+000061\\\\\""), "data\\");
  EXPECT_EQ(name_of("u&\"d!0061t!!\" uescape '!'"), "dat!");
  EXPECT_EQ(name_of("U&\"\\00e4\\20ac\\d83d\\de00\""), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  for (const std::string_view wrong :
       {"U&\"\\00e\"", "U&\"\\d83d\"", "U&\"\\de00\"", "U&\"\\d83dx\"", "U&\"\\0000\"",
        "U&\"\\+110000\"", "U&\"a\" UESCAPE '!!'"}) {
    EXPECT_EQ(name_of(wrong), "(none)") << wrong;
  }
  SqlTokens sql("U&\"a\" uescape '!' b");
  EXPECT_EQ(sql.name(), "a");
  EXPECT_EQ(sql.name(), "b");
  EXPECT_EQ(sql.name(), std::nullopt);
}

TEST(SqlTokens, ASecondByteIsNoAscii) {
  const SqlDialect sjis = SqlDialect::of("sjis", false);
  EXPECT_EQ(tokens_of("'\x83\x5c' a", sjis), "S:'\x83\x5c' W:a");
  EXPECT_EQ(tokens_of("\x83\x5c\xb1 a", sjis), "W:\x83\x5c\xb1 W:a");
  const SqlDialect gbk = SqlDialect::of("GBK", false);
  EXPECT_EQ(tokens_of("'\xb1\x5c' $a$\xb1\x24$a$", gbk), "S:'\xb1\x5c' S:$a$\xb1\x24$a$");
  EXPECT_EQ(tokens_of("'\xb1", gbk), "!:'\xb1");
  EXPECT_EQ(SqlDialect::of("UTF8", true).encoding, Encoding::Utf8);
  EXPECT_EQ(SqlDialect::of("EUC_JP", true).encoding, Encoding::Bytes);
}

}  // namespace
}  // namespace doorman::wire
