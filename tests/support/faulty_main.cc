// pg_doorman that fails at one step of an upgrade: PG_DOORMAN_FAULT=STEP:HOW, where HOW is exit,
// crash, kill or hang. Steps are named where handoff::reached() is called.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "handoff/step.h"

int main_of_pg_doorman(int argc, char** argv);  // src/main.cc, under this name

namespace {

void fail_at(const char* step) {
  const char* fault = std::getenv("PG_DOORMAN_FAULT");
  const std::string wanted = fault != nullptr ? fault : "";
  const std::string at = std::string(step) + ":";
  if (!wanted.starts_with(at)) return;
  const std::string how = wanted.substr(at.size());
  if (how == "exit") ::_exit(7);
  if (how == "crash") {
    std::signal(SIGSEGV, SIG_DFL);  // a sanitizer would report it
    std::raise(SIGSEGV);
  }
  if (how == "kill") std::raise(SIGKILL);
  while (how == "hang") ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  doorman::handoff::at_step = fail_at;
  return main_of_pg_doorman(argc, argv);
}
