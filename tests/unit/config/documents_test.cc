// The table of settings, the sample file and the manual page say the same.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "config/config.h"
#include "config/entries.h"
#include "config/table.h"

namespace doorman::config {
namespace {

const std::string kSample = PROJECT_DIR "/config/pg_doorman.ini";
const std::string kManual = PROJECT_DIR "/docs/man/pg_doorman.ini.5";

std::string contents(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// What the manual says of one setting: from its name to the next.
std::string manual_of(const std::string& manual, std::string_view key) {
  const std::size_t begin = manual.find("\n.It Ic " + std::string(key) + "\n");
  if (begin == std::string::npos) return "";
  const std::size_t end =
      std::min(manual.find("\n.It", begin + 1), manual.find("\n.El", begin + 1));
  return manual.substr(begin, end - begin) + "\n";
}

TEST(ConfigDocuments, TheSampleLoads) {
  auto config = load(kSample);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_TRUE(config->notices.empty());
}

TEST(ConfigDocuments, TheSampleHasEverySettingWithHelpAndDefault) {
  const std::string sample = contents(kSample);
  for (const Group& group : groups()) {
    EXPECT_TRUE(contains(sample, "\n;;; " + std::string(group.title) + "\n")) << group.title;
    for (const Setting& setting : group.settings) {
      const std::string value = setting.value_in(Settings());
      const std::string line =
          "\n;" + std::string(setting.key()) + " =" + (value.empty() ? "" : " " + value) + "\n";
      EXPECT_TRUE(contains(sample, line)) << line;
      EXPECT_TRUE(contains(sample, "\n; " + std::string(setting.help))) << setting.key();
    }
  }
  for (const std::string_view key : database_keys()) {
    EXPECT_TRUE(contains(sample, std::string(key))) << key;
  }
  for (const std::string_view key : user_keys()) EXPECT_TRUE(contains(sample, std::string(key)));
}

// Every ";word..." is an example that may lose its semicolon; "; Word" is a remark.
TEST(ConfigDocuments, TheSampleLoadsWithAllItsExamples) {
  std::istringstream sample(contents(kSample));
  std::string text;
  for (std::string line; std::getline(sample, line);) {
    const bool example = line.size() > 1 && line[0] == ';' && line[1] != ';' && line[1] != ' ';
    text += line.substr(example ? 1 : 0) + "\n";
  }
  auto config = parse(text, "sample");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_TRUE(config->notices.empty());
  EXPECT_TRUE(config->fallback);
  EXPECT_EQ(config->databases.size(), 3u);
  EXPECT_EQ(config->databases.at("archive").password, "it's a secret");
}

TEST(ConfigDocuments, TheManualHasEverySettingWithItsDefault) {
  const std::string manual = contents(kManual);
  for (const Group& group : groups()) {
    EXPECT_TRUE(contains(manual, "\n.Ss " + std::string(group.title) + "\n")) << group.title;
    for (const Setting& setting : group.settings) {
      const std::string said = manual_of(manual, setting.key());
      ASSERT_FALSE(said.empty()) << setting.key();
      std::string value = setting.value_in(Settings());
      if (value.empty()) value = "empty";
      EXPECT_TRUE(contains(said, "\nDefault: " + value + ".\n")) << said;
      EXPECT_EQ(contains(said, "\nNeeds a restart.\n"), setting.change == Change::Restart) << said;
      EXPECT_EQ(contains(said, "without effect in this version"), setting.state == State::Later)
          << said;
    }
  }
  for (const auto& section : {database_keys(), user_keys(), peer_keys()}) {
    for (const std::string_view key : section) EXPECT_TRUE(contains(manual, std::string(key)));
  }
}

TEST(ConfigDocuments, TheManualHasNoSettingThatIsNotThere) {
  std::istringstream manual(contents(kManual));
  for (std::string line; std::getline(manual, line);) {
    if (!line.starts_with(".It Ic ")) continue;
    EXPECT_NE(find_setting(line.substr(7)), nullptr) << line;
  }
}

}  // namespace
}  // namespace doorman::config
