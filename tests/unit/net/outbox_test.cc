#include "net/outbox.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>

#include "net/stream.h"

namespace doorman::net {
namespace {

struct Reader final : EventHandler {
  void on_event(short what) override { readable += (what & EV_READ) != 0 ? 1 : 0; }
  int readable = 0;
};

struct Peer {
  Peer(EventLoop& loop, BufferPool& buffers, Outbox& outbox) {
    int both[2] = {-1, -1};
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) == 0);
    stream.assign(UniqueFd(both[0]));
    far.reset(both[1]);
    stream.attach(loop, buffers, reader, &outbox);
    stream.mark_in(doubt);
  }
  std::string heard() const {
    std::string all;
    char into[4096];
    for (ssize_t got = 0; (got = ::recv(far.get(), into, sizeof into, 0)) > 0;) {
      all.append(into, static_cast<std::size_t>(got));
    }
    return all;
  }

  std::atomic<std::uint8_t> doubt{1};  // another's mark, which stays
  Reader reader;
  Stream stream{UniqueFd()};
  UniqueFd far;
};

class OutboxTest : public ::testing::Test {
 protected:
  EventLoop loop;
  BufferPool buffers;
  Outbox outbox;
  Peer a{loop, buffers, outbox};
  Peer b{loop, buffers, outbox};
};

TEST_F(OutboxTest, ShortWritesWaitForTheEndOfTheTurn) {
  EXPECT_TRUE(a.stream.write(bytes_of("one ")));
  EXPECT_TRUE(a.stream.write(bytes_of("two")));
  EXPECT_EQ(a.heard(), "");
  EXPECT_FALSE(outbox.empty());
  outbox.flush();
  EXPECT_EQ(a.heard(), "one two");
  EXPECT_TRUE(outbox.empty());
}

TEST_F(OutboxTest, OrderIsKeptWhenPeersTakeTurns) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(a.stream.write(bytes_of("a" + std::to_string(i))));
    EXPECT_TRUE(b.stream.write(bytes_of("b" + std::to_string(i))));
  }
  outbox.flush();
  EXPECT_EQ(a.heard(), "a0a1a2");
  EXPECT_EQ(b.heard(), "b0b1b2");
}

TEST_F(OutboxTest, ALongWriteGoesOutBehindWhatWaits) {
  const std::string large(Outbox::kLargest + 1, 'x');
  EXPECT_TRUE(a.stream.write(bytes_of("first ")));
  EXPECT_TRUE(a.stream.write(bytes_of(large)));
  EXPECT_EQ(a.heard(), "first " + large);
}

TEST_F(OutboxTest, SlicesGoOutBehindWhatWaits) {
  const std::string large(2 * Outbox::kLargest, 'x');
  const std::string other(10, 'y');
  Gather gather;
  gather.add(bytes_of(large));
  gather.add(bytes_of(other));
  EXPECT_TRUE(a.stream.write(bytes_of("first ")));
  EXPECT_TRUE(a.stream.write(gather));
  outbox.flush();
  EXPECT_EQ(a.heard(), "first " + large + other);
}

TEST_F(OutboxTest, AFullOneIsSent) {
  const std::string piece(Outbox::kLargest, 'x');
  std::string all;
  std::string got;
  for (std::size_t sent = 0; sent < 3 * Outbox::kSize; sent += 2 * piece.size()) {
    EXPECT_TRUE(a.stream.write(bytes_of(piece)));
    EXPECT_TRUE(b.stream.write(bytes_of(piece)));
    all += piece;
    got += a.heard();
    b.heard();
  }
  outbox.flush();
  for (int i = 0; i < 10'000 && got.size() < all.size(); ++i) {
    got += a.heard();
    EXPECT_TRUE(a.stream.flush());
  }
  EXPECT_EQ(got, all);
}

TEST_F(OutboxTest, ManyPeersInOneTurn) {
  for (int i = 0; i < 400; ++i) {
    EXPECT_TRUE((i % 2 == 0 ? a : b).stream.write(bytes_of("x")));
  }
  outbox.flush();
  EXPECT_EQ(a.heard(), std::string(200, 'x'));
  EXPECT_EQ(b.heard(), std::string(200, 'x'));
}

TEST_F(OutboxTest, WhatTheSocketDoesNotTakeWaitsInTheStream) {
  const std::string piece(Outbox::kLargest, 'x');
  std::size_t written = 0;
  while (a.stream.unsent() == 0 && written < (std::size_t{1} << 20)) {
    EXPECT_TRUE(a.stream.write(bytes_of(piece)));
    written += piece.size();
    outbox.flush();
  }
  ASSERT_GT(a.stream.unsent(), 0U);
  EXPECT_TRUE(a.stream.write(bytes_of("last")));
  EXPECT_TRUE(outbox.empty()) << "behind what the stream keeps, not past it";
  std::string got;
  for (int i = 0; i < 10'000 && a.stream.unsent() > 0; ++i) {
    got += a.heard();
    EXPECT_TRUE(a.stream.flush());
  }
  got += a.heard();
  EXPECT_EQ(got.size(), written + 4);
  EXPECT_TRUE(got.ends_with("xlast"));
}

TEST_F(OutboxTest, WhoLeavesHasSaidEverything) {
  EXPECT_TRUE(a.stream.write(bytes_of("an error")));
  a.stream.close();
  EXPECT_EQ(a.heard(), "an error");
  EXPECT_TRUE(b.stream.write(bytes_of("moves")));
  const UniqueFd moved = b.stream.release();
  EXPECT_EQ(b.heard(), "moves");
  outbox.flush();
}

TEST_F(OutboxTest, APeerThatIsGoneIsFoundByReading) {
  a.stream.want_read(false);
  a.far.reset();
  EXPECT_TRUE(a.stream.write(bytes_of("to nobody")));
  outbox.flush();
  loop.run_once(Wait::No);
  EXPECT_GT(a.reader.readable, 0);
}

TEST_F(OutboxTest, DoubtLastsUntilItIsSent) {
  EXPECT_TRUE(a.stream.write(bytes_of("x")));
  EXPECT_EQ(a.doubt, 1 | Outbox::kDoubt);
  EXPECT_EQ(b.doubt, 1);
  outbox.flush();
  EXPECT_EQ(a.doubt, 1);
}

}  // namespace
}  // namespace doorman::net
