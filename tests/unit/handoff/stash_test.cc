#include "handoff/stash.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "unit/handoff/sockets.h"

namespace doorman::handoff {
namespace {

using session::HotSlot;
using session::HotSlots;

class StashTest : public testing::Test {
 protected:
  StashTest() {
    auto made = Stash::create(store_);
    if (made) stash_ = made.take();
    slots_.use(&stash_->journal());
  }
  HotSlot& log_in(std::uint64_t id) {
    HotSlot& slot = slots_.take(id, false);
    EXPECT_TRUE(stash_->journal().write(slot, Kind::Client, id, "c" + std::to_string(id)));
    fds_.push_back(a_socket());
    const Socket socket{.id = id, .fd = fds_.back().get()};
    EXPECT_EQ(stash_->vault().put({&socket, 1}), 1U);
    slot.vaulted = 1;
    return slot;
  }
  std::unique_ptr<Stash> next() {
    auto opened = Stash::open(store_.passed(), store_);
    EXPECT_TRUE(opened);
    return opened ? opened.take() : nullptr;
  }

  FakeFdStore store_;
  NoFdStore none_;
  std::unique_ptr<Stash> stash_;
  HotSlots slots_;
  std::vector<UniqueFd> fds_;
};

TEST_F(StashTest, AfterACrashTheNextProcessHasRecordsAndSockets) {
  log_in(1);
  log_in(2);
  const auto stash = next();
  StashReader reader(*stash);
  ASSERT_TRUE(reader.read());
  std::map<std::uint64_t, std::string> records;
  reader.each(Kind::Client, [&](Kept& kept) { records[kept.record.id] = kept.record.body; });
  EXPECT_EQ(records, (std::map<std::uint64_t, std::string>{{1, "c1"}, {2, "c2"}}));
  EXPECT_EQ(identity(reader.claim(2).get()), identity(fds_[1].get()));
  EXPECT_FALSE(reader.claim(2)) << "only once";
  EXPECT_EQ(reader.unclaimed(), std::vector<std::uint64_t>{1});
  EXPECT_EQ(reader.first_free_id(), 3U);
}

TEST_F(StashTest, WhoHasReadItGoesOnWithIt) {
  log_in(1);
  log_in(2);
  const auto second = next();
  HotSlots slots;
  slots.use(&second->journal());
  StashReader reader(*second);
  ASSERT_TRUE(reader.read());
  reader.each(Kind::Client, [&](Kept& kept) {
    if (kept.record.id == 1) {
      HotSlot& mine = slots.take(1, false);
      EXPECT_TRUE(second->journal().write(mine, Kind::Client, 1, "built again"));
      mine.vaulted = 1;
    }
    reader.forget(*kept.slot);
  });
  second->settle();

  const auto third = next();
  StashReader after(*third);
  ASSERT_TRUE(after.read());
  std::map<std::uint64_t, std::string> records;
  after.each(Kind::Client, [&](Kept& kept) { records[kept.record.id] = kept.record.body; });
  EXPECT_EQ(records, (std::map<std::uint64_t, std::string>{{1, "built again"}}));
  EXPECT_EQ(identity(after.claim(1).get()), identity(fds_[0].get()));
}

TEST_F(StashTest, ASuccessorGoesOnWithTheVaultAndAJournalOfItsOwn) {
  log_in(1);
  log_in(2);
  std::vector<PassedFd> vault;
  for (const NamedFd& each : stash_->vault().fds()) {
    vault.push_back({.name = each.name, .fd = UniqueFd(::dup(each.fd))});
  }
  auto made = Stash::succeed(std::move(vault), stash_->next_number(), store_);
  ASSERT_TRUE(made);
  Stash& stash = **made;
  EXPECT_EQ(stash.vault().sockets(), 2U);
  EXPECT_EQ(stash.vault().messages(), 2U);
  HotSlots slots;
  slots.use(&stash.journal());
  EXPECT_TRUE(stash.journal().write(slots.take(1, false), Kind::Client, 1, "new"));
  const auto record_of_1 = [&] {
    auto opened = Stash::open(store_.passed(), none_);
    EXPECT_TRUE(opened);
    StashReader reader(**opened);
    EXPECT_TRUE(reader.read());
    EXPECT_TRUE(reader.is_kept(1));
    EXPECT_EQ(identity(reader.claim(1).get()), identity(fds_[0].get()));
    std::string found;
    reader.each(Kind::Client, [&](Kept& kept) {
      if (kept.record.id == 1) found = kept.record.body;
    });
    return found;
  };
  EXPECT_EQ(record_of_1(), "c1") << "it has not been told to go";
  stash.go_live();
  EXPECT_EQ(record_of_1(), "new");
  stash_->leave_vault();
  EXPECT_EQ(record_of_1(), "new");
}

TEST_F(StashTest, NothingOfUseIsGivenBack) {
  stash_.reset();
  std::erase_if(store_.kept, [](const auto& each) { return each.first.starts_with("stash.j"); });
  EXPECT_FALSE(Stash::open(store_.passed(), store_));
  EXPECT_TRUE(store_.kept.empty());
  EXPECT_FALSE(Stash::open({}, store_));
}

TEST_F(StashTest, DiscardLeavesNothing) {
  log_in(1);
  stash_->discard();
  EXPECT_TRUE(store_.kept.empty());
}

TEST_F(StashTest, NamesThatCannotBe) {
  for (const char* name : {"stash.", "stash.j", "stash.jx", "stash.v1", "stash.v1.0.q", "stash.j99",
                           "stash.v4294967296.0.r", "listen", ""}) {
    store_.kept.emplace(name, a_socket());
  }
  log_in(1);
  const auto stash = next();
  StashReader reader(*stash);
  ASSERT_TRUE(reader.read());
  EXPECT_TRUE(reader.claim(1));
}

// A socket that a vault has a copy of: the peer learns of the end, and the kernel forgets it.
TEST(EndConnection, ReachesThePeerInSpiteOfCopies) {
  const UniqueFd listener = a_socket();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  const UniqueFd peer = a_socket();
  ASSERT_EQ(::connect(peer.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  UniqueFd ours(::accept(listener.get(), nullptr, nullptr));
  const UniqueFd copy(::dup(ours.get()));
  end_connection(ours.get());
  ours.reset();
  char byte = 0;
  EXPECT_LE(::recv(peer.get(), &byte, 1, 0), 0);
}

}  // namespace
}  // namespace doorman::handoff
