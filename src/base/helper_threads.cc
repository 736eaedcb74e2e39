#include "base/helper_threads.h"

#include <pthread.h>

#include <csignal>
#include <utility>

#include "base/check.h"

namespace doorman {

std::thread start_thread(const std::string& name, std::function<void()> body) {
  // Set here and not in the thread, which would be open to signals until it got to it. A fault of
  // its own must still reach the thread, else a handler that writes a trace would be skipped.
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&blocked, fault);
  CHECK(pthread_sigmask(SIG_SETMASK, &blocked, &before) == 0);
  std::thread thread(std::move(body));
  CHECK(pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
  pthread_setname_np(thread.native_handle(), name.substr(0, 15).c_str());
  return thread;
}

HelperThreads::HelperThreads(int count, const std::string& name) {
  CHECK(count > 0);
  for (int i = 0; i < count; ++i) {
    threads_.push_back(start_thread(name, [this] { serve(); }));
  }
}

HelperThreads::~HelperThreads() {
  std::deque<std::function<void()>> dropped;  // destroyed without the lock: captures may use us
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(queue_);
  }
  wake_.notify_all();
  dropped.clear();
  for (std::thread& thread : threads_) thread.join();
}

void HelperThreads::run(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    queue_.push_back(std::move(work));
  }
  wake_.notify_one();
}

std::size_t HelperThreads::size() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void HelperThreads::serve() {
  while (true) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace doorman
