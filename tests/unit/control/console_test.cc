#include "control/console.h"

#include <gtest/gtest.h>

#include "wire/error_response.h"
#include "wire/framer.h"

namespace doorman::control {
namespace {

std::string types_of(const std::string& messages) {
  std::string types;
  Bytes rest = bytes_of(messages);
  wire::Header header{};
  while (wire::peek(rest, header) == wire::Cut::Ready && header.total() <= rest.size()) {
    types += header.type;
    rest = rest.subspan(header.total());
  }
  EXPECT_TRUE(rest.empty());
  return types;
}

TEST(Console, ColumnsAreNamedInRuns) {
  const auto all = columns({{Type::Text, "name  host"}, {Type::Int4, "port"}});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].name, "name");
  EXPECT_EQ(all[1].name, "host");
  EXPECT_EQ(all[1].type, 25u);
  EXPECT_EQ(all[2].name, "port");
  EXPECT_EQ(all[2].type, 23u);
}

TEST(Console, CellsAreText) {
  const Row expected = {"a", "b", "7", "-1", "1", "0", std::nullopt, "x"};
  EXPECT_EQ(row("a", std::string("b"), 7, -1, true, false, std::nullopt, Cell("x")), expected);
}

TEST(Console, ATableIsRowsAndATag) {
  const std::string out =
      messages_of(shown({.columns = columns({{Type::Text, "k"}}), .rows = {row("a"), row("b")}}));
  EXPECT_EQ(types_of(out), "TDDCZ");
  EXPECT_EQ(messages_of(shown({.columns = columns({{Type::Text, "k"}})})).substr(0, 1), "T");
  EXPECT_TRUE(out.ends_with(wire::command_complete("SHOW") + wire::ready_for_query('I')));
}

TEST(Console, OtherAnswersAreTagsNoticesAndErrors) {
  EXPECT_EQ(messages_of(done("PAUSE")),
            wire::command_complete("PAUSE") + wire::ready_for_query('I'));
  Answer help = done("SHOW");
  help.notice = "words";
  EXPECT_EQ(types_of(messages_of(help)), "NCZ");
  EXPECT_EQ(types_of(messages_of(Answer())), "IZ");
  const std::string error = messages_of(Refusal{.sqlstate = "42601", .message = "no"});
  EXPECT_EQ(types_of(error), "EZ");
  EXPECT_EQ(wire::error_field(bytes_of(error).subspan(wire::kHeaderSize), 'C'), "42601");
  EXPECT_EQ(wire::error_field(bytes_of(error).subspan(wire::kHeaderSize), 'V'), "ERROR");
}

TEST(Console, AdmitsThoseThatTheConfigurationNames) {
  config::Config config;
  config.settings.admin_users = {"root"};
  config.settings.stats_users = {"watcher"};
  EXPECT_TRUE(is_admitted(config, "root"));
  EXPECT_TRUE(is_admitted(config, "watcher"));
  EXPECT_FALSE(is_admitted(config, "app"));
  EXPECT_FALSE(is_admitted(config, ""));
  EXPECT_TRUE(is_admin(config, "root"));
  EXPECT_FALSE(is_admin(config, "watcher"));
}

}  // namespace
}  // namespace doorman::control
