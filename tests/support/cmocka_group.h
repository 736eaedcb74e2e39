// Groups of cmocka tests as GoogleTest tests. Include tests/support/cmocka.h.
//
// A program's groups are run one after the other, so they are GoogleTest suites of one program: its
// options (--gtest_filter, --gtest_list_tests, --gtest_output) work. With more than one group an
// output file holds the last of them only.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/cmocka_state.h"

using CMUnitTestFunction = void (*)(void** state);
using CMFixtureFunction = int (*)(void** state);  // not 0: it failed

struct CMUnitTest {
  const char* name;
  CMUnitTestFunction test_func;
  CMFixtureFunction setup_func;
  CMFixtureFunction teardown_func;
  void* initial_state;  // nullptr: the test has the group's
};

namespace cmocka_detail {

struct Group {
  CMFixtureFunction setup;
  CMFixtureFunction teardown;
  void* state = nullptr;
  bool ready = false;  // if not, GoogleTest skips the tests
};

// The group that runs now: SetUpTestSuite() is given nothing to find it by.
inline Group* current_group = nullptr;

// GoogleTest makes one of these for each test of a group.
class GroupTest : public testing::Test {
 public:
  explicit GroupTest(const CMUnitTest& test) : test_(test) {}

  static void SetUpTestSuite() {
    Group& group = *current_group;
    group.ready = group.setup == nullptr || group.setup(&group.state) == 0;
    if (!group.ready) ADD_FAILURE() << "the setup of the group failed";
  }

  static void TearDownTestSuite() {
    Group& group = *current_group;
    if (group.ready && group.teardown != nullptr && group.teardown(&group.state) != 0)
      ADD_FAILURE() << "the teardown of the group failed";
  }

  void SetUp() override {
    state_ = test_.initial_state != nullptr ? test_.initial_state : current_group->state;
    if (test_.setup_func != nullptr && test_.setup_func(&state_) != 0)
      end_test("the setup of the test failed", __FILE__, __LINE__);
    ready_ = true;
  }

  void TestBody() override { test_.test_func(&state_); }

  // Also after a test that failed, but not after a setup that did.
  void TearDown() override {
    if (ready_ && test_.teardown_func != nullptr && test_.teardown_func(&state_) != 0)
      ADD_FAILURE() << "the teardown of the test failed";
  }

 private:
  CMUnitTest test_;
  void* state_ = nullptr;
  bool ready_ = false;
};

// The words of the command line, since main() of a cmocka program does not pass them on.
inline void init_gtest() {
  static bool done = false;
  if (std::exchange(done, true)) return;
  static std::vector<std::string> words;
  std::ifstream file("/proc/self/cmdline");
  for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
  static std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int count = static_cast<int>(words.size());
  testing::InitGoogleTest(&count, arguments.data());
}

// GoogleTest would run everything that has run again with the next group.
inline void exclude_all() {
  const testing::UnitTest& unit = *testing::UnitTest::GetInstance();
  std::string filter = GTEST_FLAG_GET(filter);
  for (int i = 0; i < unit.total_test_suite_count(); ++i) {
    filter += filter.find('-') == std::string::npos ? "-" : ":";
    filter += std::string(unit.GetTestSuite(i)->name()) + ".*";
  }
  GTEST_FLAG_SET(filter, filter);
}

inline int run_group(const char* name, const CMUnitTest* tests, std::size_t count,
                     CMFixtureFunction setup, CMFixtureFunction teardown) {
  init_gtest();
  Group group = {.setup = setup, .teardown = teardown};
  current_group = &group;
  for (std::size_t i = 0; i < count; ++i) {
    const CMUnitTest& test = tests[i];
    testing::RegisterTest(name, test.name, nullptr, nullptr, __FILE__, __LINE__,
                          [test]() -> GroupTest* { return new GroupTest(test); });
  }
  const int code = RUN_ALL_TESTS();
  current_group = nullptr;
  exclude_all();
  // The setup of a group can fail where no test does.
  const int failed = testing::UnitTest::GetInstance()->failed_test_count();
  return failed != 0 ? failed : code;
}

}  // namespace cmocka_detail
