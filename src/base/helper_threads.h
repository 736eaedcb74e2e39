// A small fixed pool of threads for work that would hold up a worker's loop: name lookups, password
// hashes.
//
// The work takes values and gives a value back by itself (a mailbox, a cache with a lock): there is
// no return value here. The queue has no limit, since what is queued is bounded by who asks (one
// lookup per name, one hash per login); size() tells how long it is, for those who refuse or count.
// run() and size() may be called from any thread, also from the work itself.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace doorman {

// A thread that takes no signals: they go to the threads that wait for them. `name` is what ps and
// gdb show, cut to 15 bytes.
std::thread start_thread(const std::string& name, std::function<void()> body);

class HelperThreads {
 public:
  HelperThreads(int count, const std::string& name);
  HelperThreads(const HelperThreads&) = delete;
  HelperThreads& operator=(const HelperThreads&) = delete;

  // Lets the work that is running end, and drops what has not begun. Must not run on a helper.
  ~HelperThreads();

  // Work is begun in the order of the calls. During the destructor it is dropped.
  void run(std::function<void()> work);

  // How much work waits for a thread; what is running does not count.
  std::size_t size() const;

 private:
  void serve();

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace doorman
