// pg_doorman that fails at one step of an upgrade: PG_DOORMAN_FAULT=STEP:HOW, where HOW is exit,
// crash, kill or hang. Steps are named where handoff::reached() is called.
//
// With PG_DOORMAN_RECORDS it stands in for another release, which writes records of that version:
// 1 lacks what came with 2, 3 has a field in every record that nobody knows.
// PG_DOORMAN_READABLE_BY=N in its environment: only readers of version N or later may read them;
// PG_DOORMAN_OLDEST=N: it reads no older ones.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "base/record.h"
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

#ifdef PG_DOORMAN_RECORDS
void be_another_release() {
  doorman::RecordFormat& format = doorman::record_format;
  const auto current = format.version;
  format.version = PG_DOORMAN_RECORDS;
  if (format.version > current) format.extra = "of a later release";
  const auto set = [](std::uint8_t& what, const char* name) {
    const char* value = std::getenv(name);
    if (value != nullptr) what = static_cast<std::uint8_t>(std::strtoul(value, nullptr, 10));
  };
  set(format.readable_by, "PG_DOORMAN_READABLE_BY");
  set(format.oldest, "PG_DOORMAN_OLDEST");
}
#else
void be_another_release() {}
#endif

}  // namespace

int main(int argc, char** argv) {
  be_another_release();
  doorman::handoff::at_step = fail_at;
  return main_of_pg_doorman(argc, argv);
}
