// cmocka's names on top of GoogleTest, for tests that replace C functions at link time
// (-Wl,--wrap=name) and tell the replacement what to expect and what to answer.
//
// Works in a TEST() as well as in cmocka's own form, groups of `void test(void** state)` run by
// cmocka_run_group_tests() in main(). Written from cmocka's documented behaviour; not a copy of it.
//
// * assert_...(), fail() and skip() end the test. They do so with testing::AssertionException,
// which
//   GoogleTest takes for a failure already reported, since unlike cmocka's longjmp() it runs
//   destructors. So they belong into tests and their helpers, not under a noexcept function.
// * What a replacement calls (mock, check_expected, function_called) only records a failure and
// goes
//   on, as it may stand below C code or below callbacks that must not throw.
// * Expectations that a test leaves unused fail it; none is left over for the next test.
//
// One thread only. Include it after all other headers: some of its names are macros in lower case.
#pragma once

#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "support/cmocka_group.h"
#include "support/cmocka_state.h"

// cmocka's names are what this header is for.
// NOLINTBEGIN(readability-identifier-naming, cppcoreguidelines-macro-usage)

using LargestIntegralType = std::uintmax_t;

// ---- Ending a test

[[noreturn]] inline void fail(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  cmocka_detail::end_test("fail()", file, line);
}

[[noreturn]] inline void skip() {
  [] { GTEST_SKIP() << "skip()"; }();
  cmocka_detail::leave_test("skip()", testing::TestPartResult::kSkip);
}

#define fail_msg(...) \
  ::cmocka_detail::end_test(::cmocka_detail::formatted(__VA_ARGS__), __FILE__, __LINE__)

#define print_message(...) \
  static_cast<void>(std::fputs(::cmocka_detail::formatted(__VA_ARGS__).c_str(), stdout))
#define print_error(...) \
  static_cast<void>(std::fputs(::cmocka_detail::formatted(__VA_ARGS__).c_str(), stderr))

// ---- Assertions

#define CMOCKA_ASSERT(condition, message) \
  ((condition) ? static_cast<void>(0) : ::cmocka_detail::end_test((message), __FILE__, __LINE__))

#define assert_true(c) CMOCKA_ASSERT(static_cast<bool>(c), #c " is not true")
#define assert_false(c) CMOCKA_ASSERT(!static_cast<bool>(c), #c " is not false")
#define assert_null(p) CMOCKA_ASSERT((p) == nullptr, #p " is not null")
#define assert_non_null(p) CMOCKA_ASSERT((p) != nullptr, #p " is null")

// The left side, the right side, and what must be true of both.
#define CMOCKA_COMPARE(compare, a, b) \
  ::cmocka_detail::compare((a), (b), {.text = #a ", " #b, .file = __FILE__, .line = __LINE__})

#define assert_int_equal(a, b) CMOCKA_COMPARE(values_equal, a, b)
#define assert_int_not_equal(a, b) CMOCKA_COMPARE(values_differ, a, b)
#define assert_uint_equal(a, b) CMOCKA_COMPARE(values_equal, a, b)
#define assert_uint_not_equal(a, b) CMOCKA_COMPARE(values_differ, a, b)
#define assert_ptr_equal(a, b) CMOCKA_COMPARE(values_equal, a, b)
#define assert_ptr_not_equal(a, b) CMOCKA_COMPARE(values_differ, a, b)
#define assert_string_equal(a, b) CMOCKA_COMPARE(strings_equal, a, b)
#define assert_string_not_equal(a, b) CMOCKA_COMPARE(strings_differ, a, b)

#define assert_memory_equal(a, b, size) \
  CMOCKA_ASSERT(std::memcmp((a), (b), (size)) == 0, "the bytes of " #a " and " #b " differ")
#define assert_memory_not_equal(a, b, size) \
  CMOCKA_ASSERT(std::memcmp((a), (b), (size)) != 0, "the bytes of " #a " and " #b " are the same")

#define assert_in_range(value, low, high)                                                         \
  CMOCKA_ASSERT(                                                                                  \
      ::cmocka_detail::in_range(::cmocka_detail::to_value(value), ::cmocka_detail::to_value(low), \
                                ::cmocka_detail::to_value(high)),                                 \
      #value " is not from " #low " to " #high)
#define assert_not_in_range(value, low, high)                                                      \
  CMOCKA_ASSERT(                                                                                   \
      !::cmocka_detail::in_range(::cmocka_detail::to_value(value), ::cmocka_detail::to_value(low), \
                                 ::cmocka_detail::to_value(high)),                                 \
      #value " is from " #low " to " #high)

#define assert_return_code(rc, error) \
  CMOCKA_ASSERT((rc) >= 0, std::string(#rc " is negative: ") + std::strerror(error))

// ---- What a replaced function answers: queued by the test, taken by mock()

#define will_return(function, value) will_return_count(function, value, 1)
// Every time; and it must be asked for at least once.
#define will_return_always(function, value) \
  will_return_count(function, value, ::cmocka_detail::kAlways)
// Every time, or never.
#define will_return_maybe(function, value) \
  will_return_count(function, value, ::cmocka_detail::kMaybe)
#define will_return_count(function, value, count)                                           \
  ::cmocka_detail::state().add_return(#function, ::cmocka_detail::to_value(value), (count), \
                                      {__FILE__, __LINE__})

// The next answer of the function that calls it. 0, and the test fails, if there is none.
inline LargestIntegralType mock(const char* function = __builtin_FUNCTION(),
                                const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return cmocka_detail::state().take_return(function, {file, line});
}
#define mock_type(type) ::cmocka_detail::from_value<type>(::mock())
#define mock_ptr_type(type) ::cmocka_detail::from_value<type>(::mock())

// ---- What a replaced function is called with: queued by the test, compared by check_expected()

#define CMOCKA_EXPECT(function, parameter, check, count) \
  ::cmocka_detail::state().expect(#function, #parameter, (check), (count), {__FILE__, __LINE__})

#define expect_value_count(function, parameter, value, count) \
  CMOCKA_EXPECT(function, parameter, ::cmocka_detail::is_value(value), count)
#define expect_not_value_count(function, parameter, value, count) \
  CMOCKA_EXPECT(function, parameter, ::cmocka_detail::is_not_value(value), count)
#define expect_string_count(function, parameter, text, count) \
  CMOCKA_EXPECT(function, parameter, ::cmocka_detail::is_string(text), count)
#define expect_not_string_count(function, parameter, text, count) \
  CMOCKA_EXPECT(function, parameter, ::cmocka_detail::is_not_string(text), count)
#define expect_memory_count(function, parameter, memory, size, count) \
  CMOCKA_EXPECT(function, parameter, ::cmocka_detail::is_memory(memory, size), count)
#define expect_in_range_count(function, parameter, low, high, count) \
  CMOCKA_EXPECT(function, parameter, ::cmocka_detail::is_in_range(low, high), count)
#define expect_any_count(function, parameter, count) \
  CMOCKA_EXPECT(function, parameter, ::cmocka_detail::is_anything(), count)

#define expect_value(function, parameter, value) expect_value_count(function, parameter, value, 1)
#define expect_not_value(function, parameter, value) \
  expect_not_value_count(function, parameter, value, 1)
#define expect_string(function, parameter, text) expect_string_count(function, parameter, text, 1)
#define expect_not_string(function, parameter, text) \
  expect_not_string_count(function, parameter, text, 1)
#define expect_memory(function, parameter, memory, size) \
  expect_memory_count(function, parameter, memory, size, 1)
#define expect_in_range(function, parameter, low, high) \
  expect_in_range_count(function, parameter, low, high, 1)
#define expect_any(function, parameter) expect_any_count(function, parameter, 1)
#define expect_any_always(function, parameter) \
  expect_any_count(function, parameter, ::cmocka_detail::kAlways)

#define check_expected(parameter)                                                            \
  ::cmocka_detail::state().check(__func__, #parameter, ::cmocka_detail::to_value(parameter), \
                                 {__FILE__, __LINE__})
#define check_expected_ptr(parameter) check_expected(parameter)

// ---- In which order replaced functions are called: over all of them, not only each for itself

#define expect_function_call(function) expect_function_calls(function, 1)
#define expect_function_calls(function, times) \
  ::cmocka_detail::state().expect_calls(#function, (times), {__FILE__, __LINE__})
// At least once, at any point of the order.
#define expect_function_call_any(function)                                       \
  ::cmocka_detail::state().expect_any_order(#function, ::cmocka_detail::kAlways, \
                                            {__FILE__, __LINE__})
#define ignore_function_calls(function)                                         \
  ::cmocka_detail::state().expect_any_order(#function, ::cmocka_detail::kMaybe, \
                                            {__FILE__, __LINE__})

inline void function_called(const char* function = __builtin_FUNCTION(),
                            const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  cmocka_detail::state().called(function, {file, line});
}

// ---- Groups: cmocka_run_group_tests() gives the number of tests that failed

#define cmocka_unit_test(f) \
  CMUnitTest { #f, f, nullptr, nullptr, nullptr }
#define cmocka_unit_test_setup(f, setup) \
  CMUnitTest { #f, f, setup, nullptr, nullptr }
#define cmocka_unit_test_teardown(f, teardown) \
  CMUnitTest { #f, f, nullptr, teardown, nullptr }
#define cmocka_unit_test_setup_teardown(f, setup, teardown) \
  CMUnitTest { #f, f, setup, teardown, nullptr }
#define cmocka_unit_test_prestate(f, state) \
  CMUnitTest { #f, f, nullptr, nullptr, state }
#define cmocka_unit_test_prestate_setup_teardown(f, setup, teardown, state) \
  CMUnitTest { #f, f, setup, teardown, state }

#define cmocka_run_group_tests(tests, setup, teardown) \
  cmocka_run_group_tests_name(#tests, tests, setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
  ::cmocka_detail::run_group((name), (tests), std::size(tests), (setup), (teardown))

// NOLINTEND(readability-identifier-naming, cppcoreguidelines-macro-usage)
