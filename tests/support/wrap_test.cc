// How a test replaces a C function: linked with -Wl,--wrap=getpid, calls of getpid() arrive in
// __wrap_getpid(). In cmocka's own form, with its groups and fixtures.

#include <unistd.h>

#include "support/cmocka.h"

extern "C" {
pid_t __real_getpid();                 // NOLINT(bugprone-reserved-identifier): ld's names
pid_t __wrap_getpid();                 // NOLINT(bugprone-reserved-identifier)
int __wrap_setpgid(pid_t p, pid_t g);  // NOLINT(bugprone-reserved-identifier)

pid_t __wrap_getpid() { return mock_type(pid_t); }

int __wrap_setpgid(pid_t p, pid_t g) {
  function_called();
  check_expected(p);
  check_expected(g);
  return mock_type(int);
}
}

namespace {

int group_setup(void** state) {
  static int tests_run = 0;
  *state = &tests_run;
  return 0;
}

int group_teardown(void** state) { return *static_cast<int*>(*state) == 3 ? 0 : -1; }

int count(void** state) {
  ++*static_cast<int*>(*state);
  return 0;
}

void is_told_its_process_id(void**) {
  will_return(__wrap_getpid, 4711);
  assert_int_equal(getpid(), 4711);
  assert_true(__real_getpid() > 0);
}

void leads_a_group_of_its_own(void**) {
  will_return(__wrap_getpid, 17);
  expect_function_call(__wrap_setpgid);
  expect_value(__wrap_setpgid, p, 17);
  expect_value(__wrap_setpgid, g, 0);
  will_return(__wrap_setpgid, -1);
  assert_int_equal(setpgid(getpid(), 0), -1);
}

void has_the_state_of_its_group(void** state) {
  assert_non_null(*state);
  assert_int_equal(*static_cast<int*>(*state), 3);
}

void has_a_state_of_its_own(void** state) {
  assert_string_equal(static_cast<const char*>(*state), "own");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test_setup(is_told_its_process_id, count),
      cmocka_unit_test_setup(leads_a_group_of_its_own, count),
      cmocka_unit_test_setup_teardown(has_the_state_of_its_group, count, nullptr),
  };
  static char own[] = "own";
  const CMUnitTest more[] = {cmocka_unit_test_prestate(has_a_state_of_its_own, own)};
  const int failed = cmocka_run_group_tests_name("Wrapped", tests, group_setup, group_teardown);
  return failed + cmocka_run_group_tests_name("Prestate", more, nullptr, nullptr);
}
