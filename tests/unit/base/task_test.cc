#include "base/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace doorman {
namespace {

TEST(Task, RunsWhatItCarries) {
  int count = 0;
  Task task = [&count] { ++count; };
  task();
  EXPECT_EQ(count, 1);
}

TEST(Task, CarriesWhatCanOnlyBeMoved) {
  auto owned = std::make_unique<std::string>("bytes");
  std::string seen;
  Task task = [owned = std::move(owned), &seen] { seen = *owned; };
  Task moved = std::move(task);
  EXPECT_FALSE(task);  // NOLINT(bugprone-use-after-move): that it is empty is what is tested
  ASSERT_TRUE(moved);
  moved();
  EXPECT_EQ(seen, "bytes");
}

TEST(Task, IsEmptyUntilItIsGivenSomething) {
  Task task;
  EXPECT_FALSE(task);
  task = [] {};
  EXPECT_TRUE(task);
}

TEST(Task, DropsWhatItCarriesWithItself) {
  auto watched = std::make_shared<int>(1);
  {
    const Task task = [watched] {};
    EXPECT_EQ(watched.use_count(), 2);
  }
  EXPECT_EQ(watched.use_count(), 1);
}

TEST(Task, PassesItsArgumentsOn) {
  std::vector<std::string> seen;
  TaskOf<const std::string&, int> task = [&seen](const std::string& text, int times) {
    for (int i = 0; i < times; ++i) seen.push_back(text);
  };
  task("x", 2);
  EXPECT_EQ(seen, (std::vector<std::string>{"x", "x"}));
}

TEST(Task, TakesANamedFunctionObjectByCopy) {
  int count = 0;
  const auto work = [&count] { ++count; };
  Task first = work;
  Task second = work;
  first();
  second();
  EXPECT_EQ(count, 2);
}

}  // namespace
}  // namespace doorman
