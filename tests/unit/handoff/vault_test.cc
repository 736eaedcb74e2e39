#include "handoff/vault.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <set>

#include "unit/handoff/sockets.h"

namespace doorman::handoff {
namespace {

constexpr int kStockBuffer = 212'992;  // net.core.wmem_max where nobody has changed it

struct Found {
  std::map<std::uint64_t, ino_t> sockets;
  std::size_t twice = 0;
};

Found read_all(Vault& vault) {
  Found found;
  auto done = vault.read([&](std::uint64_t id, const UniqueFd& fd) {
    if (!found.sockets.emplace(id, identity(fd.get())).second) ++found.twice;
  });
  EXPECT_TRUE(done);
  return found;
}

class VaultTest : public testing::Test {
 protected:
  // Puts one socket and forgets it: only the vault has it then.
  void put(std::uint64_t id) {
    const UniqueFd fd = a_socket();
    expected_[id] = identity(fd.get());
    const Socket socket{.id = id, .fd = fd.get()};
    ASSERT_EQ(vault_.put({&socket, 1}), 1U);
  }
  void put_many(std::uint64_t first, std::size_t count) {
    std::vector<UniqueFd> fds;
    std::vector<Socket> sockets;
    for (std::size_t i = 0; i < count; ++i) {
      fds.push_back(a_socket());
      expected_[first + i] = identity(fds.back().get());
      sockets.push_back({.id = first + i, .fd = fds.back().get()});
    }
    ASSERT_EQ(vault_.put(sockets), count);
  }

  FakeFdStore store_;
  Vault vault_{1, store_};
  std::map<std::uint64_t, ino_t> expected_;
};

TEST_F(VaultTest, GivesBackEachSocketWithItsNumberAndKeepsIt) {
  put(7);
  put(8);
  for (int times = 0; times < 3; ++times) EXPECT_EQ(read_all(vault_).sockets, expected_);
}

TEST_F(VaultTest, SmallMessagesBecomeBatches) {
  for (std::uint64_t id = 1; id <= 600; ++id) put(id);
  EXPECT_EQ(vault_.sockets(), 600U);
  EXPECT_LE(vault_.messages(), 2 + Vault::kMostPerMessage);
  const Found found = read_all(vault_);
  EXPECT_EQ(found.sockets, expected_);
  EXPECT_EQ(found.twice, 0U);
}

TEST_F(VaultTest, TakesMoreThanOnePairHoldsWithTheStockBuffer) {
  vault_.limit_buffers(kStockBuffer / 2);  // the kernel doubles it
  for (std::uint64_t first = 1; first < 16'000; first += 1000) put_many(first, 1000);
  for (std::uint64_t id = 20'000; id < 20'300; ++id) put(id);
  EXPECT_GT(vault_.pairs(), 2U);
  EXPECT_EQ(read_all(vault_).sockets, expected_);
}

// Each is kept before there is something in it, and none that a small installation does not need.
TEST_F(VaultTest, MakesPairsWhenTheyWillSoonBeNeeded) {
  vault_.prepare();
  EXPECT_EQ(store_.kept.size(), 2U);
  for (std::uint64_t id = 1; id < 64; ++id) put(id);
  EXPECT_EQ(vault_.pairs(), 1U);
  put(64);
  EXPECT_EQ(vault_.pairs(), 2U);
  EXPECT_EQ(store_.kept.size(), 4U);
  vault_.tidy([](std::uint64_t /*id*/) { return true; }, 100);
  EXPECT_EQ(vault_.pairs(), 2U) << "what is soon needed stays";
  for (int i = 0; i < 10; ++i) vault_.tidy([](std::uint64_t /*id*/) { return false; }, 100);
  EXPECT_EQ(vault_.sockets(), 0U);
  EXPECT_EQ(vault_.pairs(), 1U);
  EXPECT_EQ(store_.kept.size(), 2U);
}

TEST_F(VaultTest, AnotherProcessReadsItFromTheFdStore) {
  for (std::uint64_t id = 1; id <= 300; ++id) put(id);
  Vault again(1, store_);
  for (PassedFd& each : store_.passed()) EXPECT_TRUE(again.add_end(each.name, std::move(each.fd)));
  again.ends_are_complete();
  EXPECT_EQ(read_all(again).sockets, expected_);
  EXPECT_EQ(again.sockets(), 300U);
  const UniqueFd more = a_socket();
  const Socket socket{.id = 999, .fd = more.get()};
  ASSERT_EQ(again.put({&socket, 1}), 1U);
  expected_[999] = identity(more.get());
  EXPECT_EQ(read_all(again).sockets, expected_);
}

TEST_F(VaultTest, TidyTakesOutWhatIsOver) {
  for (std::uint64_t id = 1; id <= 2000; ++id) put(id);
  std::erase_if(expected_, [](const auto& each) { return each.first % 10 != 0; });
  const auto alive = [&](std::uint64_t id) { return expected_.contains(id); };
  for (int i = 0; i < 300 && vault_.sockets() > expected_.size(); ++i) vault_.tidy(alive, 8);
  EXPECT_EQ(vault_.sockets(), expected_.size());
  const Found found = read_all(vault_);
  EXPECT_EQ(found.sockets, expected_);
  EXPECT_EQ(found.twice, 0U);
  EXPECT_EQ(store_.kept.size(), 2 * vault_.pairs()) << "emptied pairs are given back";
  expected_.clear();
  for (int i = 0; i < 300 && vault_.sockets() > 0; ++i) vault_.tidy(alive, 8);
  EXPECT_EQ(vault_.sockets(), 0U);
}

TEST_F(VaultTest, DropGivesEverythingBack) {
  for (std::uint64_t id = 1; id <= 300; ++id) put(id);
  vault_.drop();
  EXPECT_TRUE(store_.kept.empty());
  EXPECT_EQ(vault_.sockets(), 0U);
}

TEST_F(VaultTest, DistrustsWhatItIsGiven) {
  EXPECT_FALSE(vault_.add_end("stash.v2.0.r", a_socket()));
  EXPECT_FALSE(vault_.add_end("stash.v1.0.x", a_socket()));
  EXPECT_FALSE(vault_.add_end("stash.v1.", a_socket()));
  EXPECT_FALSE(vault_.add_end("stash.v1.0.r", a_socket())) << "no socket of that type";
  EXPECT_FALSE(vault_.add_end("stash.v1.0.r", UniqueFd()));
}

TEST_F(VaultTest, SkipsMessagesThatAreNotItsOwn) {
  put(1);
  for (const std::string_view text : {"x", "PGV1", "PGV1\0\0\0\5", "PGV2\0\0\0\0"}) {
    ::send(store_.kept.at("stash.v1.0.w").get(), text.data(), text.size(), 0);
  }
  put(2);
  EXPECT_EQ(read_all(vault_).sockets, expected_);
}

// The kernel counts for each user; an own user's limit is reached with few.
TEST_F(VaultTest, TellsWhenTheKernelTakesNoMore) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become a user of its own";
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{.rlim_cur = 512, .rlim_max = 512};
    ::setrlimit(RLIMIT_NOFILE, &limit);
    if (::setuid(64'321) != 0) ::_exit(2);
    Vault vault(1, store_);
    std::size_t in = 0;
    for (std::uint64_t id = 1; id <= 3000; ++id) {
      const UniqueFd fd = a_socket();
      const Socket socket{.id = id, .fd = fd.get()};
      in += vault.put({&socket, 1});
    }
    const bool right = in >= 400 && in < 3000 && vault.refused() == 3000 - in;
    std::set<std::uint64_t> ids;
    auto done = vault.read([&](std::uint64_t id, const UniqueFd&) { ids.insert(id); });
    if (!right || !done || ids.size() != in) ::_exit(1);
    // What is over makes room for others, though nothing can be in flight twice.
    for (int i = 0; i < 200; ++i) vault.tidy([](std::uint64_t id) { return id % 2 == 0; }, 8);
    if (vault.sockets() > in / 2 + 1) ::_exit(3);
    const UniqueFd fd = a_socket();
    const Socket socket{.id = 4000, .fd = fd.get()};
    if (vault.put({&socket, 1}) != 1) ::_exit(4);
    std::set<std::uint64_t> left;
    done = vault.read([&](std::uint64_t id, const UniqueFd&) { left.insert(id); });
    std::erase_if(ids, [](std::uint64_t id) { return id % 2 != 0; });
    ids.insert(4000);
    ::_exit(left == ids ? 0 : 5);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace doorman::handoff
