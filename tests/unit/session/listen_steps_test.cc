#include "session/listen_steps.h"

#include <gtest/gtest.h>

namespace doorman::session {
namespace {

using Kind = ListenStep::Kind;
using Names = std::vector<std::string>;

ListenSteps steps_of(std::string_view sql) {
  const ListenStepsRef steps = listen_steps(sql, {});
  return steps ? *steps : ListenSteps();
}

TEST(ListenSteps, AreFoundInAnyStatement) {
  EXPECT_EQ(listen_steps("select 'unlisten a'; listen b", {}), nullptr);
  EXPECT_EQ(steps_of("Unlisten Foo; select 1; UNLISTEN \"Bar\"; unlisten *"),
            (ListenSteps{{Kind::Unlisten, "foo"}, {Kind::Unlisten, "Bar"}, {Kind::UnlistenAll}}));
  EXPECT_EQ(steps_of("savepoint a; rollback to a; rollback work to savepoint B; release c; release "
                     "savepoint d"),
            (ListenSteps{{Kind::Savepoint, "a"},
                         {Kind::RollbackTo, "a"},
                         {Kind::RollbackTo, "b"},
                         {Kind::Release, "c"},
                         {Kind::Release, "d"}}));
  EXPECT_EQ(
      steps_of("commit; end transaction; abort work; rollback and chain; commit prepared 'x'"),
      (ListenSteps{{Kind::End}, {Kind::End}, {Kind::End}, {Kind::End}}));
}

TEST(ListenSteps, SurviveARecord) {
  const ListenSteps steps = steps_of("unlisten a; unlisten *; savepoint b; commit");
  auto loaded = load_steps(save_steps(steps));
  ASSERT_TRUE(loaded);
  EXPECT_EQ(*loaded, steps);
}

// A query of its own, with the tags that it brings.
void runs(ListenTransaction& transaction, std::string_view sql, const Names& tags, char status,
          bool fails = false) {
  const ListenStepsRef steps = listen_steps(sql, {});
  for (const std::string& tag : tags) transaction.completed(tag, steps.get(), true);
  if (fails) transaction.failed();
  transaction.ready(status);
}

TEST(ListenTransaction, EndsWithItsQueryWhereThereIsNoBlock) {
  ListenTransaction one;
  runs(one, "unlisten a; unlisten b", {"UNLISTEN", "UNLISTEN"}, 'I');
  EXPECT_EQ(one.unlistened(), (Names{"a", "b"}));
  EXPECT_FALSE(one.unlistens_all());
  one.taken();
  runs(one, "unlisten a; select 1/0", {"UNLISTEN"}, 'I', true);
  EXPECT_EQ(one.unlistened(), Names());
  runs(one, "begin; unlisten a; commit; select 1/0", {"BEGIN", "UNLISTEN", "COMMIT"}, 'I', true);
  EXPECT_EQ(one.unlistened(), Names{"a"});
}

TEST(ListenTransaction, WaitsForTheEndOfItsBlock) {
  ListenTransaction one;
  runs(one, "begin", {"BEGIN"}, 'T');
  runs(one, "unlisten *", {"UNLISTEN"}, 'T');
  EXPECT_FALSE(one.unlistens_all());
  runs(one, "commit", {"COMMIT"}, 'I');
  EXPECT_TRUE(one.unlistens_all());
  one.taken();
  runs(one, "begin; unlisten *", {"BEGIN", "UNLISTEN"}, 'T');
  runs(one, "select 1/0", {}, 'E', true);
  runs(one, "commit", {"ROLLBACK"}, 'I');
  EXPECT_FALSE(one.unlistens_all());
  runs(one, "begin; unlisten *", {"BEGIN", "UNLISTEN"}, 'T');
  runs(one, "commit", {}, 'I', true);  // a deferred constraint
  EXPECT_FALSE(one.unlistens_all());
}

TEST(ListenTransaction, ASavepointTakesBackWhatCameAfterIt) {
  ListenTransaction one;
  runs(one, "begin; unlisten a; savepoint s; unlisten b; savepoint t; unlisten c",
       {"BEGIN", "UNLISTEN", "SAVEPOINT", "UNLISTEN", "SAVEPOINT", "UNLISTEN"}, 'T');
  runs(one, "rollback to s", {"ROLLBACK"}, 'T');
  runs(one, "unlisten d", {"UNLISTEN"}, 'T');
  runs(one, "rollback to s; unlisten e; release s; commit",
       {"ROLLBACK", "UNLISTEN", "RELEASE", "COMMIT"}, 'I');
  EXPECT_EQ(one.unlistened(), (Names{"a", "e"}));
}

TEST(ListenTransaction, AnExecuteStandsForItself) {
  ListenTransaction one;
  const ListenStepsRef steps = listen_steps("unlisten a", {});
  one.completed("UNLISTEN", steps.get(), false);
  one.completed("UNLISTEN", steps.get(), false);
  one.completed("SELECT 1", nullptr, false);
  one.ready('I');
  EXPECT_EQ(one.unlistened(), (Names{"a", "a"}));
}

TEST(ListenTransaction, KnowsNotifyAndDiscardAllByTheirTags) {
  ListenTransaction one;
  runs(one, "notify a", {"NOTIFY"}, 'I');
  EXPECT_TRUE(one.notified());
  one.taken();
  EXPECT_FALSE(one.notified());
  runs(one, "discard all", {"DISCARD ALL"}, 'I');
  EXPECT_TRUE(one.unlistens_all());
}

TEST(ListenTransaction, SurvivesARecord) {
  ListenTransaction one;
  runs(one, "unlisten a", {"UNLISTEN"}, 'I');
  runs(one, "begin; savepoint s; unlisten b", {"BEGIN", "SAVEPOINT", "UNLISTEN"}, 'T');
  ListenTransaction two;
  ASSERT_TRUE(two.load(one.save()));
  EXPECT_EQ(two.unlistened(), Names{"a"});
  runs(two, "commit", {"COMMIT"}, 'I');
  EXPECT_EQ(two.unlistened(), (Names{"a", "b"}));
}

}  // namespace
}  // namespace doorman::session
