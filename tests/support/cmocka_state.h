// What tests/support/cmocka.h remembers between a test and the functions it replaces. Include that.
#pragma once

#include <gtest/gtest.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace cmocka_detail {

// Counts besides numbers of times.
inline constexpr int kAlways = -1;  // at least once
inline constexpr int kMaybe = -2;   // any number of times, or never

struct Place {
  const char* file;
  int line;
};

// ---- Values: as in cmocka all integers, enums and pointers are compared as the widest integer

template <class T>
std::uintmax_t to_value(const T& value) {
  if constexpr (std::is_null_pointer_v<T>) {
    return 0;
  } else if constexpr (std::is_pointer_v<std::decay_t<T>>) {
    return reinterpret_cast<std::uintptr_t>(static_cast<std::decay_t<const T>>(value));
  } else {
    static_assert(std::is_integral_v<T> || std::is_enum_v<T>, "cmocka knows integers and pointers");
    return static_cast<std::uintmax_t>(value);
  }
}

template <class T>
T from_value(std::uintmax_t value) {
  if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<T>(static_cast<std::uintptr_t>(value));
  } else {
    return static_cast<T>(value);
  }
}

inline const char* to_string(std::uintmax_t value) { return from_value<const char*>(value); }

// Small negative numbers are shown as such.
inline std::string shown(std::uintmax_t value) {
  return value > UINTMAX_MAX / 2 ? std::to_string(static_cast<std::intmax_t>(value))
                                 : std::to_string(value);
}

inline std::string shown_string(const char* text) {
  return text == nullptr ? "(null)" : '"' + std::string(text) + '"';
}

inline bool in_range(std::uintmax_t value, std::uintmax_t low, std::uintmax_t high) {
  return low <= value && value <= high;
}

inline bool same_string(const char* a, const char* b) {
  return a != nullptr && b != nullptr && std::strcmp(a, b) == 0;
}

__attribute__((format(printf, 1, 2))) inline std::string formatted(const char* format, ...) {
  std::va_list args;
  va_start(args, format);
  std::va_list again;
  va_copy(again, args);
  const int size = std::vsnprintf(nullptr, 0, format, args);
  va_end(args);
  std::string text(size > 0 ? static_cast<std::size_t>(size) : 0, '\0');
  std::vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  return text;
}

// ---- Failing

inline void report(const std::string& message, Place place) {
  ADD_FAILURE_AT(place.file, place.line) << message;
}

[[noreturn]] inline void leave_test(const std::string& message,
                                    testing::TestPartResult::Type type) {
  throw testing::AssertionException(testing::TestPartResult(type, nullptr, -1, message.c_str()));
}

[[noreturn]] inline void end_test(const std::string& message, const char* file, int line) {
  report(message, {file, line});
  leave_test(message, testing::TestPartResult::kFatalFailure);
}

struct Compared {
  const char* text;
  const char* file;
  int line;
};

inline void require(bool holds, const std::string& what, const Compared& compared) {
  if (!holds) end_test(std::string(compared.text) + ": " + what, compared.file, compared.line);
}

template <class A, class B>
void values_equal(const A& a, const B& b, Compared compared) {
  const std::uintmax_t left = to_value(a);
  const std::uintmax_t right = to_value(b);
  require(left == right, shown(left) + " is not " + shown(right), compared);
}

template <class A, class B>
void values_differ(const A& a, const B& b, Compared compared) {
  require(to_value(a) != to_value(b), "both are " + shown(to_value(a)), compared);
}

inline void strings_equal(const char* a, const char* b, Compared compared) {
  require(same_string(a, b), shown_string(a) + " is not " + shown_string(b), compared);
}

inline void strings_differ(const char* a, const char* b, Compared compared) {
  require(!same_string(a, b), "both are " + shown_string(a), compared);
}

// ---- Checks of parameters: empty when `value` will do, else what is wrong with it

using Check = std::function<std::string(std::uintmax_t value)>;

template <class T>
Check is_value(const T& expected) {
  return [wanted = to_value(expected)](std::uintmax_t value) {
    return value == wanted ? "" : shown(value) + ", expected " + shown(wanted);
  };
}

template <class T>
Check is_not_value(const T& unwanted) {
  return [refused = to_value(unwanted)](std::uintmax_t value) {
    return value != refused ? "" : shown(value) + ", expected another";
  };
}

inline Check is_string(const char* expected) {
  return [wanted = std::string(expected)](std::uintmax_t value) {
    const char* text = to_string(value);
    return same_string(text, wanted.c_str())
               ? ""
               : shown_string(text) + ", expected " + shown_string(wanted.c_str());
  };
}

inline Check is_not_string(const char* unwanted) {
  return [refused = std::string(unwanted)](std::uintmax_t value) {
    const char* text = to_string(value);
    return same_string(text, refused.c_str()) ? shown_string(text) + ", expected another" : "";
  };
}

inline Check is_memory(const void* expected, std::size_t size) {
  return [wanted = std::string(static_cast<const char*>(expected), size)](std::uintmax_t value) {
    const char* bytes = to_string(value);
    return bytes != nullptr && std::memcmp(bytes, wanted.data(), wanted.size()) == 0
               ? ""
               : "other bytes than expected";
  };
}

template <class A, class B>
Check is_in_range(const A& low, const B& high) {
  return [from = to_value(low), to = to_value(high)](std::uintmax_t value) {
    return in_range(value, from, to)
               ? ""
               : shown(value) + ", expected " + shown(from) + " to " + shown(to);
  };
}

inline Check is_anything() {
  return [](std::uintmax_t) { return std::string(); };
}

// ---- The queues

// How often an entry may still be used, and whether it may be left as it is.
class Uses {
 public:
  explicit Uses(int count) : left_(count) {}

  // True when the entry is used up.
  bool use() {
    used_ = true;
    if (left_ > 0) --left_;
    return left_ == 0;
  }
  bool missing() const { return left_ > 0 || (left_ == kAlways && !used_); }

 private:
  int left_;
  bool used_ = false;
};

template <class T>
struct Entry {
  T content;
  Uses uses;
  Place place;
};

template <class T>
using Queue = std::deque<Entry<T>>;

class State {
 public:
  void add_return(const std::string& function, std::uintmax_t value, int count, Place place) {
    if (count != 0) returns_[function].push_back({value, Uses(count), place});
  }

  std::uintmax_t take_return(const std::string& function, Place place) {
    auto& queue = returns_[function];
    if (queue.empty()) {
      report(function + "() has no value to return: no will_return() is left", place);
      return 0;
    }
    const std::uintmax_t value = queue.front().content;
    if (queue.front().uses.use()) queue.pop_front();
    return value;
  }

  void expect(const std::string& function, const std::string& parameter, Check check, int count,
              Place place) {
    if (count == 0) return;
    parameters_[{function, parameter}].push_back({std::move(check), Uses(count), place});
  }

  void check(const std::string& function, const std::string& parameter, std::uintmax_t value,
             Place place) {
    auto& queue = parameters_[{function, parameter}];
    if (queue.empty()) {
      report(function + "(): nothing is expected of its parameter " + parameter, place);
      return;
    }
    const std::string wrong = queue.front().content(value);
    const Place expected_at = queue.front().place;
    if (queue.front().uses.use()) queue.pop_front();
    if (wrong.empty()) return;
    report(function + "(): " + parameter + " is " + wrong, place);
    report("the expectation of " + parameter, expected_at);
  }

  void expect_calls(const std::string& function, int times, Place place) {
    if (times != 0) order_.push_back({function, Uses(times), place});
  }

  void expect_any_order(const std::string& function, int count, Place place) {
    any_order_.insert_or_assign(function, Entry<std::string>{function, Uses(count), place});
  }

  void called(const std::string& function, Place place) {
    if (const auto found = any_order_.find(function); found != any_order_.end()) {
      found->second.uses.use();
    } else if (order_.empty()) {
      report(function + "() is called, which nothing expects", place);
    } else if (order_.front().content != function) {
      report(function + "() is called, expected is " + order_.front().content + "()", place);
    } else if (order_.front().uses.use()) {
      order_.pop_front();
    }
  }

  // Makes a failure of each expectation that was not met, and forgets them all.
  void finish(bool report_unused) {
    if (report_unused) {
      for (const auto& [function, queue] : returns_)
        report_missing(queue, "will_return() that " + function + "() did not take");
      for (const auto& [key, queue] : parameters_)
        report_missing(queue, "expected " + key.second + " of " + key.first + "() was not checked");
      for (const auto& entry : order_) report_missing(entry, "expected call of " + entry.content);
      for (const auto& [function, entry] : any_order_)
        report_missing(entry, "expected call of " + function);
    }
    *this = State();
  }

 private:
  template <class T>
  static void report_missing(const Entry<T>& entry, const std::string& message) {
    if (entry.uses.missing()) report("unused: " + message, entry.place);
  }
  template <class T>
  static void report_missing(const Queue<T>& queue, const std::string& message) {
    for (const auto& entry : queue) report_missing(entry, message);
  }

  std::map<std::string, Queue<std::uintmax_t>> returns_;
  std::map<std::pair<std::string, std::string>, Queue<Check>> parameters_;
  Queue<std::string> order_;
  std::map<std::string, Entry<std::string>> any_order_;
};

inline State& state() {
  static State instance;
  return instance;
}

// Looks for what is left at the end of each test, whoever wrote it. A test that failed already or
// was skipped did not come to use all it set up: that is not worth words.
class Listener : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override { state().finish(/*report_unused=*/false); }
  void OnTestEnd(const testing::TestInfo& test) override {
    state().finish(/*report_unused=*/test.result()->Passed());
  }
};

inline bool add_listener() {
  testing::UnitTest::GetInstance()->listeners().Append(std::make_unique<Listener>().release());
  return true;
}

inline const bool listening = add_listener();

}  // namespace cmocka_detail
