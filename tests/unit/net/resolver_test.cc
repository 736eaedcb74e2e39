#include "net/resolver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <optional>
#include <semaphore>
#include <string>

namespace doorman::net {
namespace {

using namespace std::chrono_literals;

constexpr auto kBound = 10s;  // for what must happen; never waited out when all is well

Resolved answer_of(const char* number) {
  return {.addresses = {*Address::numeric(number, 0)}, .error = ""};
}

// A Resolver with names and a clock of the test's own.
class ResolverTest : public testing::Test {
 protected:
  Resolver::Hooks hooks() {
    return {.look_up = [this](const std::string& host) { return look_up(host); },
            .now = [this] { return Resolver::Clock::time_point(time_.load()); }};
  }

  Resolved look_up(const std::string& host) {
    ++lookups_;
    if (host.starts_with("slow")) {
      slow_began_.release();
      may_end_.acquire();
    }
    if (host == "missing") return {.addresses = {}, .error = "no such name"};
    if (host == "changing") return answer_of(lookups_ == 1 ? "10.0.0.1" : "10.0.0.2");
    return answer_of("10.0.0.9");
  }

  // The answer to one request, or nothing when it took too long.
  Resolver::Answer ask(const std::string& host) {
    auto promise = std::make_shared<std::promise<Resolver::Answer>>();
    auto future = promise->get_future();
    resolver_->resolve(host, [promise](Resolver::Answer answer) { promise->set_value(answer); });
    return future.wait_for(kBound) == std::future_status::ready ? future.get() : nullptr;
  }

  std::string first_address(const std::string& host) {
    const Resolver::Answer answer = ask(host);
    return answer && !answer->addresses.empty() ? answer->addresses[0].host() : "none";
  }

  void pass(Resolver::Clock::duration time) { time_ = time_.load() + time; }

  std::atomic<Resolver::Clock::duration> time_ = Resolver::Clock::duration(1h);
  std::atomic<int> lookups_ = 0;
  std::counting_semaphore<> slow_began_{0};
  std::counting_semaphore<> may_end_{0};
  std::optional<Resolver> resolver_{std::in_place, ResolverTtl{.found = 15s, .failed = 5s},
                                    hooks()};
};

TEST_F(ResolverTest, KeepsAnAnswerUntilItsTimeIsOver) {
  EXPECT_EQ(resolver_->find("changing"), nullptr);
  EXPECT_EQ(first_address("changing"), "10.0.0.1");
  pass(14999ms);
  ASSERT_NE(resolver_->find("changing"), nullptr);
  EXPECT_EQ(first_address("changing"), "10.0.0.1");
  EXPECT_EQ(lookups_, 1);
  pass(1ms);
  EXPECT_EQ(resolver_->find("changing"), nullptr);
  EXPECT_EQ(first_address("changing"), "10.0.0.2");
  EXPECT_EQ(lookups_, 2);
}

TEST_F(ResolverTest, KeepsAFailureForItsOwnTime) {
  const Resolver::Answer answer = ask("missing");
  ASSERT_NE(answer, nullptr);
  EXPECT_TRUE(answer->addresses.empty());
  EXPECT_EQ(answer->error, "no such name");
  pass(4s);
  EXPECT_EQ(resolver_->find("missing"), answer);
  pass(1s);
  EXPECT_EQ(resolver_->find("missing"), nullptr);
}

TEST_F(ResolverTest, AppliesANewTimeToWhatItKnows) {
  ask("one");
  resolver_->set_ttl({.found = 1s, .failed = 1s});
  pass(1s);
  EXPECT_EQ(resolver_->find("one"), nullptr);
  resolver_->set_ttl({.found = 1h, .failed = 1s});
  EXPECT_NE(resolver_->find("one"), nullptr);
}

TEST_F(ResolverTest, GivesTheAnswerThoughNothingIsKept) {
  resolver_->set_ttl({.found = 0s, .failed = 0s});
  EXPECT_EQ(first_address("one"), "10.0.0.9");
  EXPECT_EQ(resolver_->find("one"), nullptr);
}

TEST_F(ResolverTest, LooksUpOnceHoweverManyAsk) {
  std::counting_semaphore<> answered{0};
  for (int i = 0; i < 100; ++i) {
    resolver_->resolve("slow", [&](const Resolver::Answer& answer) {
      EXPECT_EQ(answer->addresses.size(), 1u);
      answered.release();
    });
  }
  ASSERT_TRUE(slow_began_.try_acquire_for(kBound));
  EXPECT_EQ(resolver_->counters().queries, 1u);
  EXPECT_EQ(resolver_->counters().pending, 0u);
  may_end_.release();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(answered.try_acquire_for(kBound));
  EXPECT_EQ(lookups_, 1);
  EXPECT_EQ(resolver_->counters().queries, 0u);
}

TEST_F(ResolverTest, AnswersOtherNamesWhileOneIsSlow) {
  resolver_->resolve("slow", [](const Resolver::Answer&) {});
  ASSERT_TRUE(slow_began_.try_acquire_for(kBound));
  EXPECT_EQ(first_address("quick"), "10.0.0.9");
  EXPECT_EQ(resolver_->find("slow"), nullptr);
  may_end_.release();
}

TEST_F(ResolverTest, CountsWhatWaitsForAThread) {
  for (int i = 0; i < 6; ++i) {
    resolver_->resolve("slow" + std::to_string(i), [](const Resolver::Answer&) {});
  }
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(slow_began_.try_acquire_for(kBound));
  EXPECT_EQ(resolver_->counters().queries, 4u);
  EXPECT_EQ(resolver_->counters().pending, 2u);
  may_end_.release(6);
}

TEST_F(ResolverTest, MayBeAskedAgainByACallback) {
  std::promise<std::string> second;
  resolver_->resolve("one", [&](const Resolver::Answer&) {
    resolver_->resolve("two", [&](const Resolver::Answer& answer) {
      second.set_value(answer->addresses[0].host());
    });
  });
  auto future = second.get_future();
  ASSERT_EQ(future.wait_for(kBound), std::future_status::ready);
  EXPECT_EQ(future.get(), "10.0.0.9");
}

TEST_F(ResolverTest, ListsWhatItKnowsAndForgetsWhatIsOld) {
  ask("missing");
  ask("one");
  pass(4s);
  auto entries = resolver_->entries();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].host, "missing");
  EXPECT_EQ(entries[0].ttl_left, 1s);
  EXPECT_EQ(entries[1].host, "one");
  EXPECT_EQ(entries[1].ttl_left, 11s);
  EXPECT_EQ(entries[1].answer->addresses[0].host(), "10.0.0.9");

  pass(2s);
  EXPECT_EQ(resolver_->entries()[0].ttl_left, 0s);
  ask("two");
  entries = resolver_->entries();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].host, "one");
  EXPECT_EQ(entries[1].host, "two");
  EXPECT_EQ(resolver_->counters().names, 2u);
}

TEST_F(ResolverTest, CallsNobodyAfterItsEnd) {
  // Says when the resolver has dropped the callback that holds it.
  struct Held {
    std::promise<void>& dropped;
    ~Held() { dropped.set_value(); }
  };
  std::promise<void> dropped;
  std::atomic<bool> called = false;
  resolver_->resolve("slow", [&called, held = std::shared_ptr<Held>(new Held{dropped})](
                                 const Resolver::Answer&) { called = true; });
  ASSERT_TRUE(slow_began_.try_acquire_for(kBound));
  std::jthread destroyer([this] { resolver_.reset(); });
  EXPECT_EQ(dropped.get_future().wait_for(kBound), std::future_status::ready);
  may_end_.release();
  destroyer.join();
  EXPECT_FALSE(called);
}

TEST(LookUp, AsksTheSystem) {
  const Resolved here = look_up("localhost");
  EXPECT_EQ(here.error, "");
  ASSERT_FALSE(here.addresses.empty());
  EXPECT_EQ(here.addresses[0].port(), 0);
  const Resolved nowhere = look_up("no.such.host.invalid");
  EXPECT_TRUE(nowhere.addresses.empty());
  EXPECT_NE(nowhere.error, "");
}

}  // namespace
}  // namespace doorman::net
