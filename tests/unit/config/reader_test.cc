// The dialect: what is a line, a name, a section, a comment, an include.
#include "config/reader.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "config/config.h"

namespace doorman::config {
namespace {

using namespace std::string_literals;

// Items as "section/name=value", headers as "[section]".
std::string items(const Lines& lines) {
  std::string all;
  for (const Item& item : lines.items) {
    all += item.header ? "[" + item.section + "]\n"
                       : item.section + "/" + item.name + "=" + item.value + "\n";
  }
  for (const std::string& problem : lines.problems) all += "! " + problem + "\n";
  return all;
}

std::string items_of(std::string_view text) { return items(read_text(text, "f")); }

TEST(ConfigReader, TakesIndentedLinesForLinesOfTheirOwn) {
  EXPECT_EQ(items_of("[a]\nx=1\n  y = 2\n\t[b]\n  z=3\n"), "[a]\na/x=1\na/y=2\n[b]\nb/z=3\n");
}

TEST(ConfigReader, KnowsNoCommentsBehindValues) {
  EXPECT_EQ(items_of("[a]\n; x\n  # y\nq = a ;b # c\n"), "[a]\na/q=a ;b # c\n");
}

TEST(ConfigReader, KeepsLongLinesWhole) {
  const std::string hosts(100000, 'h');
  EXPECT_EQ(items_of("[a]\nx=" + hosts + "\n"), "[a]\na/x=" + hosts + "\n");
  EXPECT_EQ(items_of("[a]\n" + hosts + "=1\n"), "[a]\na/" + hosts + "=1\n");
}

TEST(ConfigReader, ReportsALineThatIsTooLong) {
  EXPECT_EQ(items_of("[a]\nx=" + std::string(2 << 20, 'h') + "\ny=1\n"),
            "[a]\na/y=1\n! f:2: longer than 1 MB\n");
}

TEST(ConfigReader, SeparatesByEqualsSignsOnly) {
  EXPECT_EQ(items_of("[a]\nx=b:c=d\n"), "[a]\na/x=b:c=d\n");
  EXPECT_EQ(items_of("[a]\nx: 1\n"),
            "[a]\n! f:2: expected = after \"x\" (other names need single quotes)\n");
}

TEST(ConfigReader, HasAnyNameInQuotes) {
  EXPECT_EQ(items_of("[a]\n'b c'=1\n'it''s' = 2\n';[]=' = 3\n'k'=x\n'm:n;'=\n"),
            "[a]\na/b c=1\na/it's=2\na/;[]==3\na/k=x\na/m:n;=\n");
  EXPECT_EQ(items_of("[a]\n'b = 1\n''=2\n\"c\"=3\n"),
            "[a]\n! f:2: a quoted name without its closing quote\n"
            "! f:3: expected a section, or a name, = and a value\n"
            "! f:4: expected a section, or a name, = and a value\n");
}

TEST(ConfigReader, ReportsWhatIsNoLine) {
  EXPECT_EQ(items_of("[a]\nx\n= 1\n[b\n[c] d\n%inc f\n%include\nx\0y=1\n"s),
            "[a]\n! f:2: expected = after \"x\"\n"
            "! f:3: expected a section, or a name, = and a value\n"
            "! f:4: a section without its closing ]\n"
            "! f:5: text behind the ] of a section\n"
            "! f:6: expected %include FILE\n"
            "! f:7: expected %include FILE\n"
            "! f:8: a zero byte\n");
}

TEST(ConfigReader, KnowsWhereItemsStand) {
  const Lines lines = read_text("\n[a]\n\nx=1", "some/file");
  ASSERT_EQ(lines.items.size(), 2u);
  EXPECT_EQ(lines.items[0].place, "some/file:2");
  EXPECT_EQ(lines.items[1].place, "some/file:4");
}

TEST(ConfigReader, SkipsAByteOrderMark) { EXPECT_EQ(items_of("\xef\xbb\xbf[a]\n"), "[a]\n"); }

// inih would read these as its own comments or cut them.
TEST(ConfigReader, ReportsStrangeSectionsAsTheyStand) {
  for (const std::string& name : {"a ;b"s, " pgbouncer "s, std::string(500, 's'), ""s}) {
    auto config = parse("[" + name + "]\nx=1\n[pgbouncer]\n", "f");
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().message.find("f:1: unknown section [" + name + "]"), 0u);
    EXPECT_EQ(config.error().message.find('\n'), std::string::npos) << "its lines are skipped";
  }
}

TEST(ConfigReader, GivesTheSameForAllLineEnds) {
  const std::string text = "[pgbouncer]\npool_mode=statement\n'a\n[databases]\n'b c'= port=1\n";
  const std::string expected = items_of(text);
  for (const std::string end : {"\r\n", " \n", "\t \r\n"}) {
    std::string changed;
    for (const char c : text) changed += c == '\n' ? end : std::string(1, c);
    const Lines lines = read_text(changed, "f");
    EXPECT_EQ(items(lines), expected);
  }
}

TEST(ConfigReader, NeedsASectionAndAFile) {
  EXPECT_EQ(parse("[databases]\n", "f").error().message,
            "f: no section [pg_doorman], nor [pgbouncer]");
  EXPECT_EQ(parse("", "f").error().message, "f: no section [pg_doorman], nor [pgbouncer]");
  EXPECT_EQ(parse("x=1\ny=2\n[pgbouncer]\n", "f").error().message,
            "f:1: \"x\" stands before the first section");
  EXPECT_EQ(load("/nonexistent/f.ini").error().message,
            "/nonexistent/f.ini: No such file or directory");
  EXPECT_EQ(load("/tmp").error().message, "/tmp: not a regular file");
}

class ConfigInclude : public testing::Test {
 protected:
  ConfigInclude() {
    std::string pattern = testing::TempDir() + "config_include_XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~ConfigInclude() override { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name)) << text;
  }

  std::string directory_;
};

TEST_F(ConfigInclude, ReadsAnotherFileInPlaceOfTheLine) {
  write("main.ini", "[pgbouncer]\nverbose=1\n%include " + path("other.ini") + "\nlisten_port=1\n");
  write("other.ini", "verbose=2\nlisten_port=2\n[databases]\na =\n[pg_doorman]");
  auto config = load(path("main.ini"));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->settings.verbose, 2);
  EXPECT_EQ(config->settings.listen_port, 1);
  EXPECT_EQ(config->databases.count("a"), 1u);
}

TEST_F(ConfigInclude, NamesTheFileAndLineOfAProblem) {
  write("main.ini", "[pgbouncer]\n%include " + path("other.ini") + "\nbad=1\n");
  write("other.ini", "\nworse=2\n");
  EXPECT_EQ(load(path("main.ini")).error().message,
            path("other.ini") + ":2: unknown setting \"worse\"\n" + path("main.ini") +
                ":3: unknown setting \"bad\"");
}

TEST_F(ConfigInclude, LooksInTheWorkingDirectoryThenBesideTheIncluder) {
  write("main.ini", "[pgbouncer]\n%include sub/a.ini\n");
  write("sub/a.ini", "%include b.ini\n");
  write("sub/b.ini", "verbose=1\n");
  EXPECT_EQ(load(path("main.ini"))->settings.verbose, 1);

  write("work/b.ini", "verbose=2\n");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(path("work"));
  auto config = load(path("main.ini"));
  std::filesystem::current_path(before);
  EXPECT_EQ(config->settings.verbose, 2);
}

TEST_F(ConfigInclude, SaysWhichFileIsMissing) {
  write("main.ini", "[pgbouncer]\n%include none.ini\n%include /dev/zero\n");
  EXPECT_EQ(load(path("main.ini")).error().message,
            path("main.ini") + ":2: %include none.ini: No such file or directory\n" +
                path("main.ini") + ":3: %include /dev/zero: not a regular file");
}

TEST_F(ConfigInclude, EndsWhenAFileIncludesItself) {
  write("main.ini", "[pgbouncer]\n%include " + path("main.ini") + "\n");
  EXPECT_EQ(load(path("main.ini")).error().message,
            path("main.ini") + ":2: includes are nested deeper than 10");
  write("twice.ini", "[pgbouncer]\n%include twice.ini\n%include twice.ini\n");
  EXPECT_FALSE(load(path("twice.ini")));
}

TEST_F(ConfigInclude, NestsTenDeep) {
  write("0.ini", "[pgbouncer]\n%include 1.ini\n");
  for (int i = 1; i < 10; ++i) {
    write(std::to_string(i) + ".ini", "%include " + std::to_string(i + 1) + ".ini\n");
  }
  write("10.ini", "verbose=3\n");
  auto config = load(path("0.ini"));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->settings.verbose, 3);
}

}  // namespace
}  // namespace doorman::config
