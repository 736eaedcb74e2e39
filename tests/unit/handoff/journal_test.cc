#include "handoff/journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <fstream>
#include <map>
#include <thread>

#include "base/record.h"
#include "base/text.h"

namespace doorman::handoff {
namespace {

using session::HotSlot;
using session::HotSlots;

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    auto made = Journal::create(3);
    if (made) journal_ = made.take();
    slots_.use(journal_.get());
  }
  // The same memory as another process would see it.
  std::unique_ptr<Journal> again() {
    auto opened = Journal::open(3, UniqueFd(::fcntl(journal_->fd(), F_DUPFD_CLOEXEC, 3)));
    EXPECT_TRUE(opened);
    return opened ? opened.take() : nullptr;
  }
  static std::map<std::uint64_t, Kept> all(const Journal& journal, std::size_t* damaged = nullptr) {
    std::map<std::uint64_t, Kept> found;
    for (std::size_t i = 0; i < journal.slots(); ++i) {
      auto kept = journal.read(i);
      if (!kept) {
        if (damaged != nullptr) ++*damaged;
      } else if (*kept) {
        found.emplace((*kept)->record.id, **kept);
      }
    }
    return found;
  }

  std::unique_ptr<Journal> journal_;
  HotSlots slots_;
};

TEST_F(JournalTest, AnotherProcessReadsWhatSessionsWrote) {
  HotSlot& client = slots_.take(5, false);
  slots_.take(6, true);  // has no record yet
  ASSERT_TRUE(journal_->write(client, Kind::Client, 5, "who it is"));
  ASSERT_TRUE(journal_->add(client, Kind::ParametersChanged, 5, "one"));
  ASSERT_TRUE(journal_->add(client, Kind::StatementAdded, 5, ""));
  const auto read = again();
  auto found = all(*read);
  ASSERT_EQ(found.size(), 1U);
  const Kept& kept = found.at(5);
  EXPECT_EQ(kept.record.kind, Kind::Client);
  EXPECT_EQ(kept.record.body, "who it is");
  EXPECT_EQ(kept.record.version, record_format.version);
  ASSERT_EQ(kept.changes.size(), 2U);
  EXPECT_EQ(kept.changes[0].body, "one");
  EXPECT_EQ(kept.changes[1].kind, Kind::StatementAdded);
  EXPECT_EQ(read->first_free_id(), 7U);
  slots_.give_back(client);
  EXPECT_TRUE(all(*read).empty());
}

TEST_F(JournalTest, AFullRecordEndsTheChain) {
  HotSlot& client = slots_.take(5, false);
  EXPECT_FALSE(journal_->add(client, Kind::ParametersChanged, 5, "too early"));
  ASSERT_TRUE(journal_->write(client, Kind::Client, 5, "first"));
  EXPECT_FALSE(journal_->should_rewrite(client));
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(journal_->add(client, Kind::ParametersChanged, 5, "changed again"));
  }
  EXPECT_TRUE(journal_->should_rewrite(client));
  ASSERT_TRUE(journal_->write(client, Kind::Client, 5, "second"));
  EXPECT_FALSE(journal_->should_rewrite(client));
  const auto found = all(*journal_);
  EXPECT_EQ(found.at(5).record.body, "second");
  EXPECT_TRUE(found.at(5).changes.empty());
}

TEST_F(JournalTest, SlotsOfOrdinaryMemoryAreNotItsOwn) {
  HotSlots others;
  HotSlot& slot = others.take(1, false);
  EXPECT_FALSE(journal_->owns(slot));
  EXPECT_FALSE(journal_->write(slot, Kind::Client, 1, "x"));
  others.give_back(slot);
}

TEST_F(JournalTest, TheNextProcessGoesOnWithIt) {
  std::vector<HotSlot*> mine;
  for (std::uint64_t id = 1; id <= 200; ++id) {
    mine.push_back(&slots_.take(id, false));
    journal_->write(*mine.back(), Kind::Client, id, std::to_string(id));
  }
  for (std::uint64_t id = 1; id <= 100; ++id) slots_.give_back(*mine[id - 1]);
  mine[150]->vaulted = 1;
  HotSlot& of_a_login = slots_.take(201, false);
  of_a_login.in_doubt = 1;
  const std::size_t lent = journal_->slots();

  const auto next = again();
  HotSlots slots;
  slots.use(next.get());
  std::vector<HotSlot*> theirs;
  for (auto& [id, kept] : all(*next)) {
    HotSlot& slot = slots.take(id, false);
    ASSERT_TRUE(next->write(slot, Kind::Client, id, kept.record.body));
    slot.vaulted = kept.slot->vaulted.load();
    next->erase(*kept.slot);
    session::clear(*kept.slot);
    theirs.push_back(&slot);
  }
  const auto found = all(*next);
  ASSERT_EQ(found.size(), 100U);
  EXPECT_EQ(found.at(151).record.body, "151");
  EXPECT_EQ(found.at(151).slot->vaulted, 1);
  next->reclaim_slots();
  EXPECT_EQ(next->busy().in_doubt, 0U) << "a login that died with its process";
  const std::size_t before = next->slots();
  for (std::uint64_t id = 1000; id < 1000 + lent; ++id) slots.take(id, false);
  EXPECT_EQ(next->slots(), before) << "what the process before had lent is used again";
}

TEST_F(JournalTest, CompactionKeepsWhatIsAlive) {
  std::vector<HotSlot*> mine;
  const std::string text(900, 'x');
  for (std::uint64_t id = 1; id <= 400; ++id) {
    mine.push_back(&slots_.take(id, false));
    journal_->write(*mine.back(), Kind::Client, id, text + std::to_string(id));
    journal_->add(*mine.back(), Kind::ParametersChanged, id, "p" + std::to_string(id));
  }
  EXPECT_FALSE(journal_->compact_if_due());
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 400; ++i) {
      const std::uint64_t id = static_cast<std::uint64_t>(i) + 1;
      if (i % 2 == 0) journal_->write(*mine[i], Kind::Client, id, text + std::to_string(id));
    }
    journal_->compact_if_due();
  }
  EXPECT_LT(journal_->used_bytes(), 2'500'000U);
  const auto found = all(*again());
  ASSERT_EQ(found.size(), 400U);
  for (const auto& [id, kept] : found) {
    EXPECT_EQ(kept.record.body, text + std::to_string(id));
    EXPECT_EQ(kept.changes.size(), (id - 1) % 2 == 0 ? 0U : 1U);
  }
}

TEST_F(JournalTest, OthersWriteWhileItIsCompacted) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> writers;
  for (std::uint64_t base : {1000U, 2000U}) {
    writers.emplace_back([&, base] {
      HotSlots slots;
      slots.use(journal_.get());
      std::vector<HotSlot*> mine;
      for (std::uint64_t i = 0; i < 100; ++i) {
        mine.push_back(&slots.take(base + i, false));
        journal_->write(*mine.back(), Kind::Client, base + i, std::string(2000, 'y'));
      }
      for (std::uint64_t i = 0; !stop; i = (i + 1) % 100) {
        if (i % 3 == 0) journal_->write(*mine[i], Kind::Client, base + i, std::string(2000, 'z'));
        journal_->add(*mine[i], Kind::ParametersChanged, base + i, "q");
        if (i % 50 == 7) {
          slots.give_back(*mine[i]);
          mine[i] = &slots.take(base + i, false);
          journal_->write(*mine[i], Kind::Client, base + i, "new");
        }
      }
    });
  }
  int compactions = 0;
  while (compactions < 5) compactions += journal_->compact_if_due() ? 1 : 0;
  stop = true;
  for (std::thread& each : writers) each.join();
  std::size_t damaged = 0;
  EXPECT_EQ(all(*journal_, &damaged).size(), 200U);
  EXPECT_EQ(damaged, 0U);
}

// ---- The format -------------------------------------------------------------------------------

// A journal as a release wrote it, without its empty room: head, slots and records, each with its
// length before it. Such files are never changed; new formats get new files.
constexpr std::size_t kHeadSize = 256;
constexpr off_t kSlotsAt = 4096;
constexpr off_t kRecordsAt = kSlotsAt + 32 * (1 << 20);

std::string read_range(int fd, off_t at, std::size_t size) {
  std::string bytes(size, '\0');
  EXPECT_EQ(::pread(fd, bytes.data(), size, at), static_cast<ssize_t>(size));
  return bytes;
}

std::unique_ptr<Journal> from_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  UniqueFd fd(::memfd_create("golden", MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(fd.get(), off_t{1} << 32), 0);
  ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK);
  for (const off_t at : {off_t{0}, kSlotsAt, kRecordsAt}) {
    std::uint32_t size = 0;
    file.read(reinterpret_cast<char*>(&size), sizeof size);
    std::string bytes(size, '\0');
    file.read(bytes.data(), size);
    EXPECT_TRUE(file) << path;
    EXPECT_EQ(::pwrite(fd.get(), bytes.data(), size, at), static_cast<ssize_t>(size));
  }
  auto opened = Journal::open(1, std::move(fd));
  EXPECT_TRUE(opened);
  return opened ? opened.take() : nullptr;
}

std::string golden(std::uint8_t version) {
  return PROJECT_DIR "/tests/data/journal-" + std::to_string(version) + ".bin";
}

// WRITE_GOLDEN: the version of records to write one with.
TEST_F(JournalTest, GoldenFilesOfAllVersions) {
  if (const char* wanted = std::getenv("WRITE_GOLDEN")) {  // NOLINT(concurrency-mt-unsafe)
    const RecordFormat current = record_format;
    record_format.version = static_cast<std::uint8_t>(std::strtoul(wanted, nullptr, 10));
    HotSlot& client = slots_.take(5, false);
    journal_->write(client, Kind::Client, 5, "a client");
    journal_->add(client, Kind::ParametersChanged, 5, "a change");
    if (record_format.version >= 2) {
      journal_->add(client, Kind::ChannelsAdded, 5, "channels");
      journal_->add(client, Kind::ChannelsRemoved, 5, "a channel");
    }
    client.state = 2;
    client.vaulted = 1;
    client.peer_id = 6;
    client.pending = session::pending::kListens;
    HotSlot& server = slots_.take(6, true);
    server.transaction = 'T';
    journal_->write(server, Kind::Server, 6, "a server");
    journal_->use_ids_from(100);
    journal_->set_vaults({.live = 1, .stop = 3});
    journal_->set_phase(Phase::Stopped);
    journal_->set_deaths(2);
    std::ofstream file(golden(record_format.version), std::ios::binary);
    const auto add = [&](off_t at, std::size_t size) {
      const auto length = static_cast<std::uint32_t>(size);
      file.write(reinterpret_cast<const char*>(&length), sizeof length);
      const std::string bytes = read_range(journal_->fd(), at, size);
      file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    };
    add(0, kHeadSize);
    add(kSlotsAt, 32 * journal_->slots());
    add(kRecordsAt, journal_->used_bytes());
    record_format = current;
  }
  for (std::uint8_t version = record_format.oldest; version <= record_format.version; ++version) {
    SCOPED_TRACE(golden(version));
    const auto journal = from_file(golden(version));
    ASSERT_TRUE(journal);
    auto found = all(*journal);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found.at(5).record.kind, Kind::Client);
    EXPECT_EQ(found.at(5).record.version, version);
    EXPECT_EQ(found.at(5).record.body, "a client");
    ASSERT_EQ(found.at(5).changes.size(), version >= 2 ? 3U : 1U);
    EXPECT_EQ(found.at(5).changes[0].kind, Kind::ParametersChanged);
    EXPECT_EQ(found.at(5).changes[0].body, "a change");
    if (version >= 2) {
      EXPECT_EQ(found.at(5).changes[1].kind, Kind::ChannelsAdded);
      EXPECT_EQ(found.at(5).changes[2].kind, Kind::ChannelsRemoved);
      EXPECT_EQ(found.at(5).slot->pending, session::pending::kListens);
    }
    EXPECT_EQ(found.at(5).slot->state, 2);
    EXPECT_EQ(found.at(5).slot->vaulted, 1);
    EXPECT_EQ(found.at(5).slot->peer_id, 6U);
    EXPECT_EQ(found.at(6).record.kind, Kind::Server);
    EXPECT_EQ(found.at(6).slot->transaction, 'T');
    EXPECT_EQ(found.at(6).slot->is_server, 1);
    EXPECT_EQ(journal->first_free_id(), 100U);
    EXPECT_EQ(journal->vaults().live, 1U);
    EXPECT_EQ(journal->vaults().stop, 3U);
    EXPECT_EQ(journal->phase(), Phase::Stopped);
    EXPECT_EQ(journal->deaths(), 2U);
  }
}

// One that is for later readers costs its session, and no other.
TEST_F(JournalTest, RecordsOfOtherReleases) {
  const RecordFormat current = record_format;
  journal_->write(slots_.take(1, false), Kind::Client, 1, "mine");
  record_format.version = 9;  // additions only
  journal_->write(slots_.take(2, false), Kind::Client, 2, "later");
  record_format.readable_by = 9;
  journal_->write(slots_.take(3, false), Kind::Client, 3, "too late");
  record_format = current;
  std::size_t damaged = 0;
  auto found = all(*again(), &damaged);
  EXPECT_EQ(damaged, 1U);
  EXPECT_TRUE(found.contains(1) && found.contains(2) && !found.contains(3));
  record_format.oldest = current.version + 1;
  damaged = 0;
  found = all(*again(), &damaged);
  record_format = current;
  EXPECT_EQ(damaged, 2U);
  EXPECT_TRUE(found.contains(2));
}

// ---- Damage -----------------------------------------------------------------------------------

TEST_F(JournalTest, OneDamagedRecordCostsOneSession) {
  for (std::uint64_t id = 1; id <= 3; ++id) {
    journal_->write(slots_.take(id, false), Kind::Client, id, "record " + std::to_string(id));
  }
  std::string content(4096, '\0');
  const std::string wanted = "record 2";
  off_t at = 0;
  for (off_t base = 4096 + 32 * (1 << 20); at == 0;) {
    ASSERT_EQ(::pread(journal_->fd(), content.data(), content.size(), base), 4096);
    const std::size_t found = content.find(wanted);
    ASSERT_NE(found, std::string::npos);
    at = base + static_cast<off_t>(found);
  }
  ASSERT_EQ(::pwrite(journal_->fd(), "R", 1, at), 1);
  std::size_t damaged = 0;
  const auto found = all(*again(), &damaged);
  EXPECT_EQ(damaged, 1U);
  EXPECT_TRUE(found.contains(1) && found.contains(3) && !found.contains(2));
}

TEST_F(JournalTest, RecordsThatLeadNowhere) {
  HotSlot& slot = slots_.take(9, false);
  journal_->write(slot, Kind::Client, 9, "x");
  const std::uint64_t right = slot.record;
  for (const std::uint64_t wrong : {std::uint64_t{8}, right + 1, right + 8, std::uint64_t{1} << 40,
                                    std::uint64_t{1} << 30, ~std::uint64_t{0}, ~std::uint64_t{7}}) {
    slot.record = wrong;
    std::size_t damaged = 0;
    EXPECT_TRUE(all(*journal_, &damaged).empty());
    EXPECT_EQ(damaged, 1U) << wrong;
  }
  slot.record = right;
  slot.session_id = 10;  // somebody else's
  std::size_t damaged = 0;
  EXPECT_TRUE(all(*journal_, &damaged).empty());
  EXPECT_EQ(damaged, 1U);
}

TEST(Journal, OpensNothingButJournals) {
  EXPECT_FALSE(Journal::open(1, UniqueFd()));
  EXPECT_FALSE(Journal::open(1, UniqueFd(::open("/dev/null", O_RDWR))));
  UniqueFd small(::memfd_create("small", MFD_ALLOW_SEALING));
  ::fcntl(small.get(), F_ADD_SEALS, F_SEAL_SHRINK);
  EXPECT_FALSE(Journal::open(1, std::move(small)));
  UniqueFd unsealed(::memfd_create("unsealed", MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(unsealed.get(), off_t{1} << 32), 0);
  EXPECT_FALSE(Journal::open(1, UniqueFd(::dup(unsealed.get())))) << "it could shrink under us";
  ::fcntl(unsealed.get(), F_ADD_SEALS, F_SEAL_SHRINK);
  EXPECT_FALSE(Journal::open(1, std::move(unsealed))) << "it is empty";
}

TEST_F(JournalTest, CannotBeShrunkAndIsNotDumped) {
  EXPECT_NE(::ftruncate(journal_->fd(), 4096), 0);
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool ours = false;
  std::string flags;
  while (std::getline(maps, line)) {
    if (line.find("pg_doorman journal") != std::string::npos) ours = true;
    if (ours && line.starts_with("VmFlags:")) {
      flags = line;
      break;
    }
  }
  EXPECT_NE(flags.find(" dd"), std::string::npos) << flags;
}

// Wherever it is, garbage included.
std::size_t times_in(const Journal& journal, std::string_view what) {
  std::string text(std::size_t{36} << 20U, '\0');
  text.resize(static_cast<std::size_t>(::pread(journal.fd(), text.data(), text.size(), 0)));
  std::size_t times = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++times;
  return times;
}

TEST_F(JournalTest, WhatNoSlotNamesIsWiped) {
  HotSlot& slot = slots_.take(1, false);
  HotSlot& other = slots_.take(2, false);
  journal_->write(slot, Kind::Client, 1, "a secret");
  journal_->write(other, Kind::Client, 2, "another secret");
  journal_->add(slot, Kind::ParametersChanged, 1, "a small secret");
  EXPECT_EQ(times_in(*journal_, "secret"), 3U);
  journal_->write(slot, Kind::Client, 1, "a new secret");
  EXPECT_EQ(times_in(*journal_, "secret"), 2U) << "written anew";
  slots_.give_back(slot);
  EXPECT_EQ(times_in(*journal_, "secret"), 1U) << "its session is over";
  HotSlot* statement = journal_->write_new(Kind::Statement, 3, "select 'secret'");
  ASSERT_NE(statement, nullptr);
  journal_->forget(*statement);
  EXPECT_EQ(times_in(*journal_, "secret"), 1U);
  EXPECT_EQ(all(*journal_).at(2).record.body, "another secret");
}

TEST_F(JournalTest, WipedMeansGone) {
  journal_->write(slots_.take(1, false), Kind::Client, 1, "secret");
  const auto other = again();
  journal_->wipe();
  EXPECT_EQ(other->phase(), Phase::Void);
  std::size_t damaged = 0;
  EXPECT_TRUE(all(*other, &damaged).empty());
}

}  // namespace
}  // namespace doorman::handoff
