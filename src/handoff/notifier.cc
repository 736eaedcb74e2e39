#include "handoff/notifier.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <cstdlib>

#include "base/helper_threads.h"
#include "base/log.h"
#include "base/text.h"

namespace doorman::handoff {

namespace {

constexpr auto kPatience = std::chrono::seconds(3);

std::uint64_t microseconds(Duration time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

}  // namespace

Notifier::Notifier() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment while threads run.
  const char* socket = std::getenv("NOTIFY_SOCKET");
  if (socket == nullptr || *socket == '\0') return;
  state_ = std::make_shared<State>();
  thread_ = start_thread("notify", [state = state_] { serve(state); });
}

Notifier::~Notifier() {
  if (!state_) return;
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->wake.notify_all();
  const bool stopped = state_->wake.wait_for(lock, kPatience, [&] { return state_->stopped; });
  lock.unlock();
  if (stopped) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void Notifier::serve(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  while (true) {
    state->wake.wait(lock, [&] { return state->stopping || !state->queue.empty(); });
    if (state->queue.empty()) break;
    Message message = std::move(state->queue.front());
    state->queue.pop_front();
    lock.unlock();
    send(message);
    message = Message();  // closes without the lock
    lock.lock();
  }
  state->stopped = true;
  state->wake.notify_all();
}

void Notifier::send(Message& message) {
  if (message.barrier) {
    const int done = ::sd_notify_barrier(0, microseconds(message.limit));
    message.barrier->set_value(done > 0);
    return;
  }
  const int fd = message.fd.get();
  const int sent = ::sd_pid_notify_with_fds(0, 0, message.text.c_str(), &fd, message.fd ? 1U : 0U);
  if (sent >= 0) return;
  static LogLimiter limiter(1, std::chrono::seconds(60));
  log_limited(limiter, LogLevel::Warning, "{}", errno_text("telling the service manager", -sent));
}

bool Notifier::push(Message message) {
  if (!state_) return false;
  const std::lock_guard lock(state_->mutex);
  if (message.is_status) state_->last_status = message.text;
  if (state_->muted) return false;
  if (message.is_status) {
    for (Message& waiting : state_->queue) {
      if (!waiting.is_status) continue;
      waiting.text = std::move(message.text);
      return true;
    }
  }
  const std::size_t limit = message.important ? 2 * kQueue : kQueue;
  if (state_->queue.size() >= limit) {
    ++state_->dropped;
    return false;
  }
  state_->queue.push_back(std::move(message));
  state_->wake.notify_all();
  return true;
}

void Notifier::say(std::string text, Important important) {
  Message message;
  message.important = important == Important::Yes;
  message.text = std::move(text);
  push(std::move(message));
}

void Notifier::ready() { say("READY=1"); }

void Notifier::reloading() {
  say(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", microseconds(clock_now().time_since_epoch())));
}

void Notifier::stopping() { say("STOPPING=1"); }

void Notifier::status(std::string text) {
  Message message;
  message.text = "STATUS=" + std::move(text);
  for (char& c : message.text) {
    if (c == '\n') c = ' ';  // a line end would begin another assignment
  }
  message.is_status = true;
  message.important = true;
  push(std::move(message));
}

void Notifier::keep_alive() { say("WATCHDOG=1", Important::No); }

void Notifier::extend_timeout(Duration more) {
  say(fmt::format("EXTEND_TIMEOUT_USEC={}", microseconds(more)), Important::No);
}

void Notifier::main_pid(pid_t pid) { say(fmt::format("MAINPID={}\nREADY=1", pid)); }

bool Notifier::store(const std::string& name, int fd, Poll poll) {
  if (!state_) return false;
  Message message;
  message.text = "FDSTORE=1\nFDNAME=" + name;
  if (poll == Poll::No) message.text += "\nFDPOLL=0";
  message.fd.reset(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!message.fd) return false;
  return push(std::move(message));
}

void Notifier::remove(const std::string& name) { say("FDSTOREREMOVE=1\nFDNAME=" + name); }

bool Notifier::barrier(Duration limit) {
  if (!state_) return true;
  Message message;
  message.important = true;
  message.barrier = std::make_shared<std::promise<bool>>();
  message.limit = limit;
  std::future<bool> done = message.barrier->get_future();
  if (!push(std::move(message))) return false;
  return done.wait_for(limit) == std::future_status::ready && done.get();
}

void Notifier::mute(bool muted) {
  if (!state_) return;
  std::string status;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->muted == muted) return;
    state_->muted = muted;
    if (!muted) status = state_->last_status;
  }
  if (status.empty()) return;
  Message message;
  message.text = std::move(status);
  message.is_status = true;
  message.important = true;
  push(std::move(message));
}

std::uint64_t Notifier::dropped() const {
  if (!state_) return 0;
  const std::lock_guard lock(state_->mutex);
  return state_->dropped;
}

}  // namespace doorman::handoff
