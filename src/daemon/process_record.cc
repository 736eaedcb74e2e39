// The process as a whole, as a record: what is of no session.
#include <array>

#include "base/record.h"
#include "daemon/carry.h"

namespace doorman::daemon {

namespace {

using session::Counters;

// Never use a number again for something else.
enum Tag : std::uint16_t {
  TagNextId = 1,
  TagNextStatement = 2,
  TagAllPaused = 3,
  TagDatabase = 4,
  TagCounters = 5,
  TagSet = 6,
  TagUnixPath = 7,
  TagConsole = 8,
  TagListeners = 9,
  TagControlSocket = 10,
  TagLanes = 11,
  TagFds = 12,
  TagOwnListeners = 13,
  TagVerdict = 14,
  TagVault = 15,
  TagNextStash = 16,

  TagName = 1,
  TagPaused = 2,
  TagDisabled = 3,
  TagUser = 4,
  TagValue = 5,
  TagFirstCounter = 16,
};

// In the order of their tags: new ones come last.
constexpr std::array<std::uint64_t Counters::*, 16> kCounters = {&Counters::server_assignments,
                                                                 &Counters::transactions,
                                                                 &Counters::queries,
                                                                 &Counters::received_bytes,
                                                                 &Counters::sent_bytes,
                                                                 &Counters::transaction_us,
                                                                 &Counters::query_us,
                                                                 &Counters::wait_us,
                                                                 &Counters::client_parses,
                                                                 &Counters::server_parses,
                                                                 &Counters::binds,
                                                                 &Counters::logins,
                                                                 &Counters::statement_hits,
                                                                 &Counters::statement_misses,
                                                                 &Counters::statement_evictions,
                                                                 &Counters::parses_saved};

std::string save(const ProcessRecord::Database& database) {
  RecordWriter out;
  out.text(TagName, database.name);
  out.number(TagPaused, database.paused ? 1 : 0);
  out.number(TagDisabled, database.disabled ? 1 : 0);
  return out.take();
}

Result<ProcessRecord::Database> load_database(std::string_view record) {
  ProcessRecord::Database database;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagName) database.name = field->value;
    if (field->tag == TagPaused) database.paused = field->number() != 0;
    if (field->tag == TagDisabled) database.disabled = field->number() != 0;
  }
  return database;
}

std::string save(const ProcessRecord::PoolCounters& pool) {
  RecordWriter out;
  out.text(TagName, pool.database);
  out.text(TagUser, pool.user);
  out.text(TagValue, save_counters(pool.counters));
  return out.take();
}

Result<ProcessRecord::PoolCounters> load_pool(std::string_view record) {
  ProcessRecord::PoolCounters pool;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagName) pool.database = field->value;
    if (field->tag == TagUser) pool.user = field->value;
    if (field->tag == TagValue) pool.counters = TRY(load_counters(field->value));
  }
  return pool;
}

}  // namespace

std::string save_counters(const Counters& counters) {
  RecordWriter out;
  std::uint16_t tag = TagFirstCounter;
  for (const auto each : kCounters) out.number(tag++, counters.*each);
  return out.take();
}

Result<Counters> load_counters(std::string_view record) {
  Counters counters;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    const int index = field->tag - TagFirstCounter;
    if (index < 0 || index >= static_cast<int>(kCounters.size())) continue;
    counters.*kCounters[static_cast<std::size_t>(index)] = field->number();
  }
  return counters;
}

std::string save(const ProcessRecord& process) {
  RecordWriter out;
  out.number(TagNextId, process.next_id);
  out.number(TagNextStatement, process.next_statement);
  out.number(TagAllPaused, process.all_paused ? 1 : 0);
  for (const auto& each : process.databases) out.text(TagDatabase, save(each));
  for (const auto& each : process.counters) out.text(TagCounters, save(each));
  for (const auto& [key, value] : process.set) {
    RecordWriter pair;
    pair.text(TagName, key);
    pair.text(TagValue, value);
    out.text(TagSet, pair.record());
  }
  for (const std::string& each : process.unix_paths) out.text(TagUnixPath, each);
  out.text(TagConsole, process.console);
  out.number(TagListeners, process.listeners);
  out.number(TagControlSocket, process.control_socket ? 1 : 0);
  out.number(TagLanes, process.lanes);
  out.number(TagFds, process.fds);
  out.number(TagOwnListeners, process.own_listeners ? 1 : 0);
  for (const std::string& each : process.verdicts) out.text(TagVerdict, each);
  for (const std::string& each : process.vault) out.text(TagVault, each);
  if (process.next_stash != 0) out.number(TagNextStash, process.next_stash);
  return out.take();
}

Result<ProcessRecord> load_process(std::string_view record) {
  ProcessRecord process;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case TagNextId: process.next_id = field->number(); break;
      case TagNextStatement: process.next_statement = field->number(); break;
      case TagAllPaused: process.all_paused = field->number() != 0; break;
      case TagDatabase: process.databases.push_back(TRY(load_database(field->value))); break;
      case TagCounters: process.counters.push_back(TRY(load_pool(field->value))); break;
      case TagSet: {
        auto& [key, value] = process.set.emplace_back();
        RecordReader pair(field->value);
        while (auto part = TRY(pair.next())) {
          if (part->tag == TagName) key = part->value;
          if (part->tag == TagValue) value = part->value;
        }
        break;
      }
      case TagUnixPath: process.unix_paths.emplace_back(field->value); break;
      case TagConsole: process.console = field->value; break;
      case TagListeners: process.listeners = field->number(); break;
      case TagControlSocket: process.control_socket = field->number() != 0; break;
      case TagLanes: process.lanes = field->number(); break;
      case TagOwnListeners: process.own_listeners = field->number() != 0; break;
      case TagVerdict: process.verdicts.emplace_back(field->value); break;
      case TagVault: process.vault.emplace_back(field->value); break;
      case TagNextStash: process.next_stash = field->number(); break;
      case TagFds: process.fds = field->number(); break;
      default: break;  // a later release knows it
    }
  }
  return process;
}

}  // namespace doorman::daemon
