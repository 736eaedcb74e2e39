#include "base/unique_fd.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>

namespace doorman {

void expect_descriptors(std::size_t count) {
  const UniqueFd any(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  rlimit limit{};
  if (!any || ::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const auto last = std::min<rlim_t>(static_cast<rlim_t>(any.get()) + count, limit.rlim_cur - 1);
  const UniqueFd highest(::fcntl(any.get(), F_DUPFD_CLOEXEC, static_cast<int>(last)));
}

}  // namespace doorman
