// Task: something to be run once, by somebody else. Like std::function, but it can carry what can
// only be moved (descriptors, sessions).
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace doorman {

template <class... Args>
class TaskOf {
 public:
  TaskOf() = default;
  // The constraint keeps it from hiding the move constructor.
  template <class Call>
  requires(!std::is_same_v<std::remove_cvref_t<Call>, TaskOf>)
      // NOLINTNEXTLINE(bugprone-forwarding-reference-overload)
      TaskOf(Call&& call)
      : body_(std::make_unique<Body<std::remove_cvref_t<Call>>>(std::forward<Call>(call))) {}

  explicit operator bool() const { return body_ != nullptr; }
  void operator()(Args... args) { body_->run(std::forward<Args>(args)...); }

 private:
  struct Base {
    Base() = default;
    Base(const Base&) = delete;
    Base& operator=(const Base&) = delete;
    virtual ~Base() = default;
    virtual void run(Args... args) = 0;
  };
  template <class Call>
  struct Body final : Base {
    explicit Body(Call&& c) : call(std::move(c)) {}
    explicit Body(const Call& c) : call(c) {}
    void run(Args... args) override { call(std::forward<Args>(args)...); }
    Call call;
  };
  std::unique_ptr<Base> body_;
};

using Task = TaskOf<>;

}  // namespace doorman
