// The verb `pg_doorman upgrade`: asks the running process to upgrade, waits for the verdict, and
// has it as exit status: 0 done, 1 failed.
#pragma once

#include <string>

namespace doorman::cli {

int upgrade(const std::string& socket_path);

}  // namespace doorman::cli
