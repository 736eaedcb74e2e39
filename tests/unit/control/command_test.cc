#include "control/command.h"

#include <gtest/gtest.h>

#include <set>

#include "control/courtesy.h"

namespace doorman::control {
namespace {

std::variant<Parsed, Refusal> parse(std::string_view text) {
  auto words = words_of(text);
  EXPECT_TRUE(words) << text;
  return parse_command(*words);
}

// "NAME argument argument", or "refused: message".
std::string parsed(std::string_view text) {
  const auto found = parse(text);
  if (const auto* refusal = std::get_if<Refusal>(&found)) return "refused: " + refusal->message;
  const Parsed& command = *std::get_if<Parsed>(&found);
  if (command.command == nullptr) return "nothing";
  std::string out(command.command->name);
  for (const std::string& argument : command.arguments) out += " " + argument;
  return out;
}

TEST(Command, EachIsFoundByItsName) {
  for (const Command& command : command_table()) {
    std::string text(command.name);
    if (command.takes == Takes::One) text += " x";
    if (command.takes == Takes::Assignment) text += " k = v";
    const auto found = parse(text);
    const auto* hit = std::get_if<Parsed>(&found);
    ASSERT_NE(hit, nullptr) << text;
    EXPECT_EQ(hit->command, &command) << text;
    EXPECT_NE(command.run, nullptr) << text;
    EXPECT_FALSE(command.help.empty()) << text;
  }
}

TEST(Command, NamesAreUniqueAndInCapitals) {
  std::set<std::string_view> names;
  for (const Command& command : command_table()) {
    EXPECT_TRUE(names.insert(command.name).second) << command.name;
    EXPECT_EQ(upper(command.name), command.name);
  }
}

TEST(Command, OnlyShowingIsForStatsUsers) {
  for (const Command& command : command_table()) {
    EXPECT_EQ(command.access == Access::Stats, command.name.starts_with("SHOW ")) << command.name;
  }
}

TEST(Command, CaseDoesNotMatterForKeywordsOnly) {
  EXPECT_EQ(parsed("Show Pools"), "SHOW POOLS");
  EXPECT_EQ(parsed("pause MyDb"), "PAUSE MyDb");
  EXPECT_EQ(parsed("pause \"my db\";"), "PAUSE my db");
  EXPECT_EQ(parsed("pause"), "PAUSE");
}

TEST(Command, SetTakesBothForms) {
  EXPECT_EQ(parsed("SET default_pool_size = 5"), "SET default_pool_size 5");
  EXPECT_EQ(parsed("set default_pool_size=5"), "SET default_pool_size 5");
  EXPECT_EQ(parsed("set k to 'a, b'"), "SET k a, b");
  EXPECT_EQ(parsed("set k ''"), "refused: wrong arguments; expected: SET key = value");
  EXPECT_EQ(parsed("set k = "), "refused: wrong arguments; expected: SET key = value");
  EXPECT_EQ(parsed("set k '=' 1"), "refused: wrong arguments; expected: SET key = value");
}

TEST(Command, SelectIsShow) {
  EXPECT_EQ(parsed("select pools"), "SHOW POOLS");
  EXPECT_EQ(parsed("SELECT version();"), "SHOW VERSION");
  EXPECT_EQ(parsed("select reload"), "refused: unknown command \"SHOW RELOAD\"");
  EXPECT_EQ(parsed("select * from pools").substr(0, 24), "refused: unknown command");
}

TEST(Command, RefusesWhatItDoesNotUnderstand) {
  EXPECT_EQ(parsed("BOGUS"), "refused: unknown command \"BOGUS\"");
  EXPECT_EQ(parsed("SHOW"), "refused: SHOW what?");
  EXPECT_EQ(parsed("show nothing"), "refused: unknown command \"SHOW NOTHING\"");
  EXPECT_EQ(parsed("show pool"),
            "refused: unknown command \"SHOW POOL\"; did you mean \"SHOW POOLS\"?");
  EXPECT_EQ(parsed("relaod"), "refused: unknown command \"RELAOD\"; did you mean \"RELOAD\"?");
  EXPECT_EQ(parsed("\"show\" pools").substr(0, 24), "refused: unknown command");
  EXPECT_EQ(parsed("show pools x"), "refused: wrong arguments; expected: SHOW POOLS");
  EXPECT_EQ(parsed("disable"), "refused: wrong arguments; expected: DISABLE database");
  EXPECT_EQ(parsed("show pools; show stats"), "refused: one command at a time, please");
  EXPECT_EQ(parsed(std::string(1000, 'x')).size(),
            std::string("refused: unknown command \"\"").size() + 67);
}

TEST(Command, RefusalsAreSyntaxErrorsWithAHint) {
  const auto found = parse("BOGUS");
  const auto* refusal = std::get_if<Refusal>(&found);
  ASSERT_NE(refusal, nullptr);
  EXPECT_EQ(refusal->sqlstate, "42601");
  EXPECT_NE(refusal->hint.find("SHOW HELP"), std::string::npos);
}

TEST(Command, NothingIsACommandToo) {
  EXPECT_EQ(parsed(""), "nothing");
  EXPECT_EQ(parsed(" ; -- x"), "nothing");
}

TEST(Command, UsageNamesEach) {
  const std::string text = usage();
  for (const Command& command : command_table()) {
    EXPECT_NE(text.find("\n  " + std::string(command.name)), std::string::npos) << command.name;
  }
}

std::optional<Answer> courtesy_to(std::string_view text) { return courtesy(words_of(text).take()); }

TEST(Courtesy, AnswersWhatDriversAsk) {
  const auto one = courtesy_to("select 1;");
  ASSERT_TRUE(one && one->table);
  EXPECT_EQ(one->table->rows, std::vector<Row>{row("1")});
  const auto encoding = courtesy_to("SHOW Client_Encoding");
  ASSERT_TRUE(encoding && encoding->table);
  EXPECT_EQ(encoding->table->columns.front().name, "client_encoding");
  EXPECT_EQ(encoding->table->rows, std::vector<Row>{row("UTF8")});
  EXPECT_EQ(courtesy_to("set datestyle to 'ISO'")->tag, "SET");
  EXPECT_EQ(courtesy_to("SET timezone = utc")->tag, "SET");
}

TEST(Courtesy, IsSilentOtherwise) {
  for (const char* text :
       {"", "show", "show pools", "set verbose = 1", "select 2", "set timezone"}) {
    EXPECT_FALSE(courtesy_to(text)) << text;
  }
}

}  // namespace
}  // namespace doorman::control
