#include "daemon/halt.h"

namespace doorman::daemon {

Result<std::unique_ptr<Halt>> Halt::of(const std::vector<Worker*>& workers, Instant by) {
  std::unique_ptr<Halt> halt(new Halt(workers.size()));
  for (Worker* worker : workers) {
    worker->post([worker, state = halt->state_] {
      worker->at_end_of_turn([worker, state] { stand_still(*state, *worker); });
    });
  }
  std::unique_lock lock(halt->state_->mutex);
  const auto all = [&] { return halt->state_->idle == halt->workers_; };
  while (!all()) {
    const Duration left = by - clock_now();
    if (left <= Duration::zero()) return Error{ErrorCode::Limit, "a worker does not come to rest"};
    halt->state_->changed.wait_for(lock, left, all);
  }
  lock.unlock();
  // What workers have sent to each other must not be between two of them.
  halt->each([](Worker& worker) { worker.take_mail(); });
  return halt;
}

Halt::~Halt() {
  const std::lock_guard lock(state_->mutex);
  state_->over = true;
  state_->changed.notify_all();
}

void Halt::each(const std::function<void(Worker&)>& work) {
  std::unique_lock lock(state_->mutex);
  state_->work = work;
  state_->idle = 0;
  ++state_->round;
  state_->changed.notify_all();
  state_->changed.wait(lock, [this] { return state_->idle == workers_; });
}

void Halt::stand_still(State& state, Worker& worker) {
  std::unique_lock lock(state.mutex);
  std::size_t done = state.round;
  for (;;) {
    ++state.idle;
    state.changed.notify_all();
    state.changed.wait(lock, [&] { return state.over || state.round != done; });
    if (state.over) return;
    done = state.round;
    lock.unlock();
    state.work(worker);
    lock.lock();
  }
}

}  // namespace doorman::daemon
