// The shim tested on itself: what it lets pass, what it makes fail, and in which words.

#include "support/cmocka.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <string>

namespace {

// As a wrapped function of C would look.
int wrapped(int number, const char* text) {
  function_called();
  check_expected(number);
  check_expected_ptr(text);
  return mock_type(int);
}

const char* named() { return mock_ptr_type(const char*); }
void first() { function_called(); }
void second() { function_called(); }

// The failures of `test` and of what it left behind, one a line; they do not count here.
template <class Test>
std::string failures_of(Test test) {
  testing::TestPartResultArray results;
  {
    const testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    try {
      test();
    } catch (const testing::AssertionException&) {
    }
    cmocka_detail::state().finish(/*report_unused=*/results.size() == 0);
  }
  std::string text;
  for (int i = 0; i < results.size(); ++i) {
    const std::string message = results.GetTestPartResult(i).message();
    text += message.substr(message.starts_with("Failed\n") ? 7 : 0) + "\n";
  }
  return text;
}

TEST(Cmocka, ChecksParametersAndAnswers) {
  expect_function_call(wrapped);
  expect_value(wrapped, number, -5);
  expect_string(wrapped, text, "hello");
  will_return(wrapped, -1);
  assert_int_equal(wrapped(-5, "hello"), -1);

  const std::string name = "doorman";
  will_return(named, name.c_str());
  assert_ptr_equal(named(), name.c_str());
}

TEST(Cmocka, AnswersInTheOrderAndNumberAskedFor) {
  will_return(named, nullptr);
  will_return_count(named, "twice", 2);
  will_return_always(named, "always");
  assert_null(named());
  assert_string_equal(named(), "twice");
  assert_string_equal(named(), "twice");
  for (int i = 0; i < 10; ++i) assert_string_equal(named(), "always");
}

TEST(Cmocka, TakesOtherExpectationsThanEquality) {
  const char bytes[] = {1, 2, 3};
  ignore_function_calls(wrapped);
  will_return_always(wrapped, 0);
  expect_in_range(wrapped, number, 1, 3);
  expect_not_value(wrapped, number, 7);
  expect_any_count(wrapped, number, 2);
  expect_memory(wrapped, text, bytes, sizeof bytes);
  expect_not_string(wrapped, text, "x");
  expect_any_always(wrapped, text);
  wrapped(3, bytes);
  wrapped(8, "y");
  wrapped(9, "z");
  wrapped(10, nullptr);
}

TEST(Cmocka, PassesAssertionsThatHold) {
  enum class Colour { Red, Green };
  const char* nothing = nullptr;
  assert_true(1 < 2);
  assert_false(nothing);
  assert_null(nothing);
  assert_non_null("x");
  assert_int_equal(Colour::Green, 1);
  assert_int_not_equal(1, 2);
  assert_string_not_equal("a", "b");
  assert_memory_equal("abc", "abd", 2);
  assert_memory_not_equal("abc", "abd", 3);
  assert_in_range(2, 1, 3);
  assert_not_in_range(4, 1, 3);
  assert_return_code(0, 0);
}

TEST(Cmocka, EndsTheTestAtTheFirstAssertionThatDoesNotHold) {
  const auto of = [](auto test) { return failures_of(test); };
  EXPECT_EQ(of([] { assert_true(1 > 2), assert_true(false); }), "1 > 2 is not true\n");
  EXPECT_EQ(of([] { assert_false(1 < 2); }), "1 < 2 is not false\n");
  EXPECT_EQ(of([] { assert_int_equal(-1, 2); }), "-1, 2: -1 is not 2\n");
  EXPECT_EQ(of([] { assert_int_not_equal(2, 2); }), "2, 2: both are 2\n");
  EXPECT_EQ(of([] { assert_string_equal("a", "b"); }), "\"a\", \"b\": \"a\" is not \"b\"\n");
  EXPECT_EQ(of([] { assert_memory_equal("a", "b", 1); }), "the bytes of \"a\" and \"b\" differ\n");
  EXPECT_EQ(of([] { assert_non_null(nullptr); }), "nullptr is null\n");
  EXPECT_EQ(of([] { assert_in_range(4, 1, 3); }), "4 is not from 1 to 3\n");
  EXPECT_EQ(of([] { fail(); }), "fail()\n");
  EXPECT_EQ(of([] { fail_msg("%s %d", "code", 7); }), "code 7\n");
}

TEST(Cmocka, FailsOnAnotherParameterThanExpected) {
  EXPECT_EQ(failures_of([] {
              expect_function_call(wrapped);
              expect_value(wrapped, number, 1);
              expect_string(wrapped, text, "a");
              will_return(wrapped, 0);
              wrapped(2, "b");
            }),
            "wrapped(): number is 2, expected 1\nthe expectation of number\n"
            "wrapped(): text is \"b\", expected \"a\"\nthe expectation of text\n");
}

TEST(Cmocka, FailsOnWhatNothingExpects) {
  EXPECT_EQ(failures_of([] { EXPECT_EQ(wrapped(1, ""), 0); }),
            "wrapped() is called, which nothing expects\n"
            "wrapped(): nothing is expected of its parameter number\n"
            "wrapped(): nothing is expected of its parameter text\n"
            "wrapped() has no value to return: no will_return() is left\n");
}

TEST(Cmocka, FailsOnWhatIsExpectedAndDoesNotHappen) {
  EXPECT_EQ(failures_of([] {
              will_return_count(named, "x", 2);
              expect_value(wrapped, number, 1);
              expect_function_call(first);
              expect_function_call_any(second);
              named();
            }),
            "unused: will_return() that named() did not take\n"
            "unused: expected number of wrapped() was not checked\n"
            "unused: expected call of first\n"
            "unused: expected call of second\n");
  EXPECT_EQ(failures_of([] { will_return_always(named, "x"); }),
            "unused: will_return() that named() did not take\n");
  EXPECT_EQ(failures_of([] {
              will_return_maybe(named, "x");
              ignore_function_calls(first);
            }),
            "");
}

TEST(Cmocka, FailsOnCallsInAnotherOrder) {
  const auto expected = [] {
    expect_function_calls(first, 2);
    expect_function_call(second);
  };
  EXPECT_EQ(failures_of([&] { expected(), first(), first(), second(); }), "");
  EXPECT_EQ(failures_of([&] { expected(), first(), second(), first(), second(); }),
            "second() is called, expected is first()\n");
}

TEST(Cmocka, EndsATestThatIsSkipped) {
  EXPECT_EQ(failures_of([] {
              skip();
              ADD_FAILURE() << "goes on after skip()";
            }),
            "skip()\n");
}

}  // namespace
