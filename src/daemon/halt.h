// Halt: all workers stand still between two turns, until it is destroyed.
//
// Nothing is in any callback then, so sessions can be written down or built as a whole. Work on
// them is done on the workers' own threads, all at once. Made on the main thread; while it lives no
// worker runs tasks that are posted, so nobody may wait for one.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "daemon/worker.h"

namespace doorman::daemon {

class Halt {
 public:
  // Error: a worker has not come to the end of its turn until `by`; they all go on.
  static Result<std::unique_ptr<Halt>> of(const std::vector<Worker*>& workers, Instant by);
  Halt(const Halt&) = delete;
  Halt& operator=(const Halt&) = delete;
  ~Halt();

  // Runs `work` on every worker's thread at the same time, and waits.
  void each(const std::function<void(Worker&)>& work);

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::function<void(Worker&)> work;  // of the present round
    std::size_t round = 0;
    std::size_t idle = 0;  // workers that stand still and have nothing to do
    bool over = false;
  };

  explicit Halt(std::size_t workers) : workers_(workers), state_(std::make_shared<State>()) {}
  static void stand_still(State& state, Worker& worker);

  const std::size_t workers_;
  std::shared_ptr<State> state_;  // also of workers that come late
};

}  // namespace doorman::daemon
