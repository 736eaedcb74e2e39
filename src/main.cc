#include <cstdio>

int main() {
  std::puts("pg_doorman");
  return 0;
}
