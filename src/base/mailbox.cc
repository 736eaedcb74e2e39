#include "base/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "base/check.h"

namespace doorman {

Mailbox::Mailbox() : event_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { CHECK(event_.get() >= 0); }

void Mailbox::post(Task task) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(task));
  }
  if (!first) return;  // whoever posted first has rung already
  const std::uint64_t one = 1;
  CHECK(::write(event_.get(), &one, sizeof one) == sizeof one);
}

std::size_t Mailbox::drain() {
  std::uint64_t count = 0;
  if (::read(event_.get(), &count, sizeof count) < 0) return 0;
  {
    const std::lock_guard lock(mutex_);
    running_.swap(posted_);
  }
  const std::size_t done = running_.size();
  for (Task& task : running_) task();
  running_.clear();
  return done;
}

}  // namespace doorman
