// Mailbox: how one thread gives another something to do. One mutex, one vector, one eventfd.
//
// post() may be called by any thread, also after the owner stopped listening (the task is then
// dropped with the Mailbox). drain() belongs to the owner, who watches fd() in its loop.
#pragma once

#include <mutex>
#include <vector>

#include "base/task.h"
#include "base/unique_fd.h"

namespace doorman {

class Mailbox {
 public:
  Mailbox();

  void post(Task task);
  int fd() const { return event_.get(); }  // readable while there is something to drain

  // Runs what has been posted, in order, and returns how many tasks that were.
  std::size_t drain();

 private:
  UniqueFd event_;
  std::mutex mutex_;
  std::vector<Task> posted_;   // guarded by mutex_
  std::vector<Task> running_;  // the owner's
};

}  // namespace doorman
