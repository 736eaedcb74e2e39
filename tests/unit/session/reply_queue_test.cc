#include "session/reply_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

namespace doorman::session {
namespace {

Reply reply(int number) {
  return {.awaits = static_cast<Awaits>(number % 8), .deliver = static_cast<Deliver>(number % 3)};
}

TEST(ReplyQueue, IsFirstInFirstOutWhereverTheRingTurns) {
  for (int filled = 0; filled < 20; ++filled) {
    ReplyQueue queue;
    for (int i = 0; i < filled; ++i) queue.push(reply(i));
    for (int i = 0; i < 100; ++i) {
      queue.push(reply(filled + i));
      EXPECT_EQ(queue.front().awaits, reply(i).awaits);
      EXPECT_EQ(queue.front().deliver, reply(i).deliver);
      queue.pop();
    }
    EXPECT_EQ(queue.size(), static_cast<std::size_t>(filled));
  }
}

TEST(ReplyQueue, GrowsInTheMiddleOfItsRing) {
  ReplyQueue queue;
  for (int i = 0; i < 5; ++i) queue.push(reply(i));
  for (int i = 0; i < 5; ++i) queue.pop();
  for (int i = 0; i < 1000; ++i) queue.push(reply(i));
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(queue.at(static_cast<std::size_t>(i)).awaits, reply(i).awaits);
  }
  for (int i = 0; i < 1000; ++i) queue.pop();
  EXPECT_TRUE(queue.empty());
}

// The same as a deque, in which erasing is easy to believe in.
TEST(ReplyQueue, ErasesFromAnywhere) {
  for (std::size_t turned = 0; turned < 8; ++turned) {
    for (std::size_t index = 0; index <= 7; ++index) {
      for (std::size_t count = 0; index + count <= 7; ++count) {
        ReplyQueue queue;
        for (std::size_t i = 0; i < turned; ++i) queue.push(reply(0));
        for (std::size_t i = 0; i < turned; ++i) queue.pop();
        std::deque<int> model;
        for (int i = 0; i < 7; ++i) {
          queue.push(reply(i));
          model.push_back(i);
        }
        queue.erase(index, count);
        const auto from = model.begin() + static_cast<std::ptrdiff_t>(index);
        model.erase(from, from + static_cast<std::ptrdiff_t>(count));
        queue.push(reply(7));
        model.push_back(7);
        ASSERT_EQ(queue.size(), model.size());
        for (std::size_t i = 0; i < model.size(); ++i) {
          ASSERT_EQ(queue.at(i).awaits, reply(model[i]).awaits);
        }
      }
    }
  }
}

TEST(ReplyQueue, LetsGoOfStatementsAtOnce) {
  StatementRegistry registry;
  ReplyQueue queue;
  const auto push = [&](const char* body) {
    queue.push(
        {.awaits = Awaits::Parse, .deliver = Deliver::Swallow, .statement = registry.intern(body)});
  };
  push("a");
  push("b");
  push("c");
  EXPECT_EQ(registry.size(), 3U);
  queue.pop();
  EXPECT_EQ(registry.size(), 2U);
  queue.erase(1, 1);
  EXPECT_EQ(registry.size(), 1U);
  EXPECT_EQ(queue.front().statement->body, "b");
}

TEST(ReplyQueue, AHugePipelineLeavesNoHugeRing) {
  ReplyQueue queue;
  for (const bool at_once : {false, true}) {
    for (int i = 0; i < 100'000; ++i) queue.push(reply(i));
    EXPECT_GE(queue.room(), 100'000U);
    if (at_once) {
      queue.erase(0, queue.size());
    } else {
      while (!queue.empty()) queue.pop();
    }
    EXPECT_LE(queue.room(), 256U);
    queue.push(reply(1));
    EXPECT_EQ(queue.front(), reply(1));
    queue.pop();
  }
}

TEST(ReplyQueue, AnOrdinaryRingIsKept) {
  ReplyQueue queue;
  for (int i = 0; i < 200; ++i) queue.push(reply(i));
  while (!queue.empty()) queue.pop();
  EXPECT_EQ(queue.room(), 256U);
}

}  // namespace
}  // namespace doorman::session
