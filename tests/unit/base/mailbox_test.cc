#include "base/mailbox.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

namespace doorman {
namespace {

bool rings(const Mailbox& mailbox, int wait_ms = 0) {
  pollfd one = {.fd = mailbox.fd(), .events = POLLIN, .revents = 0};
  return ::poll(&one, 1, wait_ms) == 1;
}

TEST(Mailbox, RunsWhatWasPostedInOrder) {
  Mailbox mailbox;
  EXPECT_FALSE(rings(mailbox));
  EXPECT_EQ(mailbox.drain(), 0U);
  std::vector<int> seen;
  for (int i = 0; i < 5; ++i) mailbox.post([&seen, i] { seen.push_back(i); });
  EXPECT_TRUE(rings(mailbox));
  EXPECT_EQ(mailbox.drain(), 5U);
  EXPECT_EQ(seen, (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_FALSE(rings(mailbox));
}

TEST(Mailbox, WhatATaskPostsRunsTheNextTime) {
  Mailbox mailbox;
  int runs = 0;
  mailbox.post([&] {
    ++runs;
    mailbox.post([&runs] { ++runs; });
  });
  EXPECT_EQ(mailbox.drain(), 1U);
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(rings(mailbox));
  EXPECT_EQ(mailbox.drain(), 1U);
  EXPECT_EQ(runs, 2);
}

TEST(Mailbox, DropsWhatNobodyDrained) {
  auto watched = std::make_shared<int>(1);
  {
    Mailbox mailbox;
    mailbox.post([watched] {});
    EXPECT_EQ(watched.use_count(), 2);
  }
  EXPECT_EQ(watched.use_count(), 1);
}

TEST(Mailbox, LosesNothingThatManyThreadsPostAndKeepsTheOrderOfEach) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 2000;
  Mailbox mailbox;
  std::vector<std::vector<int>> seen(kThreads);
  {
    std::vector<std::jthread> posters;
    for (int t = 0; t < kThreads; ++t) {
      posters.emplace_back([&mailbox, &seen, t] {
        for (int i = 0; i < kPosts; ++i) {
          mailbox.post([&list = seen[static_cast<std::size_t>(t)], i] { list.push_back(i); });
        }
      });
    }
    for (std::size_t done = 0; done < kThreads * kPosts;) {
      ASSERT_TRUE(rings(mailbox, 10'000));  // a lost wake-up would hang a worker
      done += mailbox.drain();
    }
  }
  for (const auto& list : seen) {
    ASSERT_EQ(list.size(), static_cast<std::size_t>(kPosts));
    EXPECT_TRUE(std::is_sorted(list.begin(), list.end()));
  }
}

}  // namespace
}  // namespace doorman
