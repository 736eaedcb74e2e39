#include "net/stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>

namespace doorman::net {
namespace {

struct Reader final : EventHandler {
  void on_event(short what) override {
    if ((what & EV_READ) != 0) ++readable;
    if ((what & EV_WRITE) != 0) ++writable;
  }
  int readable = 0;
  int writable = 0;
};

class StreamTest : public ::testing::Test {
 protected:
  StreamTest() {
    int both[2] = {-1, -1};
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) == 0);
    const int small = 4096;
    ::setsockopt(both[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    stream.assign(UniqueFd(both[0]));
    peer.reset(both[1]);
    stream.attach(loop, buffers, reader);
  }

  std::string heard() const {
    std::string all;
    char into[4096];
    for (ssize_t got = 0; (got = ::recv(peer.get(), into, sizeof into, 0)) > 0;) {
      all.append(into, static_cast<std::size_t>(got));
    }
    return all;
  }
  // Flushes until nothing is left, the peer reading meanwhile.
  std::string heard_to_the_end() {
    std::string all = heard();
    for (int i = 0; i < 10'000 && stream.unsent() > 0; ++i) {
      EXPECT_TRUE(stream.flush());
      all += heard();
    }
    return all;
  }
  static std::string numbers(std::size_t size) {
    std::string all;
    for (int i = 0; all.size() < size; ++i) all += std::to_string(i) + ",";
    return all;
  }

  EventLoop loop;
  BufferPool buffers;
  Reader reader;
  Stream stream{UniqueFd()};
  UniqueFd peer;
};

TEST_F(StreamTest, ReadsWhatIsThere) {
  std::byte into[8];
  EXPECT_EQ(stream.read(into).status, ReadStatus::WouldBlock);
  ASSERT_EQ(::send(peer.get(), "0123456789", 10, 0), 10);
  stream.want_read(true);
  loop.run_once(Wait::No);
  EXPECT_EQ(reader.readable, 1);
  const Read first = stream.read(into);
  EXPECT_EQ(first.status, ReadStatus::Data);
  EXPECT_EQ(text_of(Bytes(into).first(first.size)), "01234567");
  loop.run_once(Wait::No);
  EXPECT_EQ(reader.readable, 2) << "there is more";
  EXPECT_EQ(stream.read(into).size, 2U);
  stream.want_read(false);
  ASSERT_EQ(::send(peer.get(), "x", 1, 0), 1);
  loop.run_once(Wait::No);
  EXPECT_EQ(reader.readable, 2);
}

TEST_F(StreamTest, SeesThePeerClose) {
  ASSERT_EQ(::send(peer.get(), "bye", 3, 0), 3);
  peer.reset();
  std::byte into[8];
  EXPECT_EQ(stream.read(into).size, 3U);
  EXPECT_EQ(stream.read(into).status, ReadStatus::Closed);
  EXPECT_FALSE(stream.write(bytes_of("x")));
}

TEST_F(StreamTest, WhatFitsIsWrittenAtOnceWithoutABuffer) {
  EXPECT_TRUE(stream.write(bytes_of("hello")));
  EXPECT_EQ(stream.unsent(), 0U);
  EXPECT_EQ(buffers.lent(), 0U);
  EXPECT_EQ(heard(), "hello");
}

TEST_F(StreamTest, WhatDoesNotFitIsKeptAndSentInOrder) {
  const std::string first = numbers(200'000);
  const std::string second = numbers(1000);
  EXPECT_TRUE(stream.write(bytes_of(first)));
  EXPECT_GT(stream.unsent(), 0U);
  EXPECT_LT(stream.unsent(), first.size());
  EXPECT_EQ(text_of(stream.unsent_bytes()),
            std::string_view(first).substr(first.size() - stream.unsent()));
  EXPECT_EQ(buffers.lent(), 1U);
  EXPECT_TRUE(stream.write(bytes_of(second)));
  EXPECT_EQ(heard_to_the_end(), first + second);
  EXPECT_EQ(buffers.lent(), 0U);
}

TEST_F(StreamTest, IsWokenToFlushOnlyWhileSomethingIsUnsent) {
  EXPECT_TRUE(stream.write(bytes_of(numbers(200'000))));
  loop.run_once(Wait::No);
  EXPECT_EQ(reader.writable, 0);
  heard();
  loop.run_once(Wait::No);
  EXPECT_EQ(reader.writable, 1);
  heard_to_the_end();
  loop.run_once(Wait::No);
  loop.run_once(Wait::No);
  EXPECT_EQ(reader.writable, 1);
}

TEST_F(StreamTest, AGatherCutAnywhereArrivesWhole) {
  for (const std::size_t piece : {1U, 7U, 1000U, 5000U, 60'000U}) {
    const std::string text = numbers(150'000);
    Gather gather;
    std::string expected;
    for (std::size_t at = 0; at < text.size() && !gather.full(); at += piece + 1) {
      const Bytes slice = bytes_of(std::string_view(text).substr(at, piece));
      gather.add(slice);
      gather.add_copy("#");
      expected += text_of(slice);
      expected += '#';
    }
    EXPECT_TRUE(stream.write(gather));
    gather.reset();
    EXPECT_TRUE(stream.write(gather)) << "nothing to write is no error";
    EXPECT_EQ(heard_to_the_end(), expected) << "pieces of " << piece;
  }
}

TEST_F(StreamTest, AGatherBehindUnsentBytesWaitsForThem) {
  const std::string first = numbers(100'000);
  EXPECT_TRUE(stream.write(bytes_of(first)));
  Gather gather;
  gather.add(bytes_of("one"));
  EXPECT_TRUE(stream.write(gather));
  gather.add_copy("two");
  EXPECT_TRUE(stream.write(gather));
  EXPECT_EQ(heard_to_the_end(), first + "oneonetwo");
}

TEST_F(StreamTest, KeepUnsentSendsLater) {
  stream.keep_unsent(bytes_of("from another process"));
  stream.keep_unsent({});
  EXPECT_EQ(heard(), "");
  loop.run_once(Wait::No);
  EXPECT_EQ(reader.writable, 1);
  EXPECT_TRUE(stream.flush());
  EXPECT_EQ(heard(), "from another process");
}

TEST_F(StreamTest, FlushToAPeerThatIsGoneFails) {
  EXPECT_TRUE(stream.write(bytes_of(numbers(200'000))));
  peer.reset();
  EXPECT_FALSE(stream.flush());
}

TEST_F(StreamTest, CloseEndsTheConnectionAndGivesItsBufferBack) {
  EXPECT_TRUE(stream.write(bytes_of(numbers(200'000))));
  stream.close();
  EXPECT_FALSE(stream.open());
  EXPECT_EQ(stream.unsent(), 0U);
  EXPECT_EQ(buffers.lent(), 0U);
  heard();
  char byte = 0;
  EXPECT_EQ(::recv(peer.get(), &byte, 1, 0), 0);
  stream.close();  // once more does nothing
  stream.want_read(true);
  loop.run_once(Wait::No);
}

TEST_F(StreamTest, ReleaseGivesTheSocketAwayOpen) {
  UniqueFd fd = stream.release();
  EXPECT_FALSE(stream.open());
  ASSERT_EQ(::send(fd.get(), "x", 1, 0), 1);
  EXPECT_EQ(heard(), "x");
  ASSERT_EQ(::send(peer.get(), "y", 1, 0), 1);
  loop.run_once(Wait::No);
  EXPECT_EQ(reader.readable, 0);
}

TEST_F(StreamTest, MovesToAnotherLoop) {
  EventLoop other;
  Reader there;
  stream.detach();
  stream.attach(other, buffers, there);
  stream.want_read(true);
  EXPECT_TRUE(stream.wants_read());
  ASSERT_EQ(::send(peer.get(), "y", 1, 0), 1);
  loop.run_once(Wait::No);
  other.run_once(Wait::No);
  EXPECT_EQ(reader.readable, 0);
  EXPECT_EQ(there.readable, 1);
  stream.close();
}

}  // namespace
}  // namespace doorman::net
