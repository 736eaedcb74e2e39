#include "daemon/versions.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/record.h"
#include "daemon/upgrade.h"

namespace doorman::daemon {

namespace {

// Each record has its own numbers. Never use one again for something else.
enum Tag : std::uint16_t {
  TagProgram = 1,
  TagRecords = 2,
  TagOldest = 3,
  TagReadableBy = 4,

  TagCount = 1,
  TagReason = 2,

  TagClients = 1,
  TagServers = 2,
  TagRefused = 3,
  TagWhy = 4,
  TagTrial = 5,

  TagName = 1,

  TagDone = 1,
  TagText = 2,
  TagAt = 3,
  TagFrom = 4,
  TagTo = 5,
  TagCarriedClients = 6,
  TagCarriedServers = 7,
  TagLeftBehind = 8,
  TagPause = 9,
};

// As many as a message has room for: with more than that something is wrong altogether.
constexpr std::size_t kMostRefused = 4000;

}  // namespace

Versions our_versions() {
  return {.program = PG_DOORMAN_VERSION,
          .records = record_format.version,
          .oldest = record_format.oldest,
          .readable_by = record_format.readable_by};
}

std::string save(const Versions& versions) {
  RecordWriter out;
  out.text(TagProgram, versions.program);
  out.number(TagRecords, versions.records);
  out.number(TagOldest, versions.oldest);
  out.number(TagReadableBy, versions.readable_by);
  return out.take();
}

Result<Versions> load_versions(std::string_view record) {
  Versions versions;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagProgram) versions.program = field->value;
    if (field->tag == TagRecords) versions.records = field->number();
    if (field->tag == TagOldest) versions.oldest = field->number();
    if (field->tag == TagReadableBy) versions.readable_by = field->number();
  }
  return versions;
}

Result<> can_read(const Versions& reader, const Versions& writer) {
  const bool known = reader.records > 0 && writer.records > 0;
  if (known && reader.records >= writer.readable_by && reader.oldest <= writer.records) return {};
  return Error{
      ErrorCode::Protocol,
      fmt::format("pg_doorman {} reads records of version {} to {}, these are of version {} and "
                  "for readers of version {} or later",
                  reader.program, reader.oldest, reader.records, writer.records,
                  std::max(writer.readable_by, std::uint64_t{1}))};
}

std::string save(const Loss& loss) {
  RecordWriter out;
  out.number(TagCount, loss.count);
  out.text(TagReason, loss.reason);
  return out.take();
}

Result<Loss> load_loss(std::string_view record) {
  Loss loss;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagCount) loss.count = field->number();
    if (field->tag == TagReason) loss.reason = field->value;
  }
  return loss;
}

std::string save(const Taken& taken) {
  RecordWriter out;
  out.number(TagClients, taken.clients);
  out.number(TagServers, taken.servers);
  std::size_t listed = 0;
  for (const std::uint64_t each : taken.refused) {
    if (++listed <= kMostRefused) out.number(TagRefused, each);
  }
  out.text(TagWhy, taken.reason);
  out.text(TagTrial, taken.trial);
  return out.take();
}

Result<Taken> load_taken(std::string_view record) {
  Taken taken;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagClients) taken.clients = field->number();
    if (field->tag == TagServers) taken.servers = field->number();
    if (field->tag == TagRefused) taken.refused.insert(field->number());
    if (field->tag == TagWhy) taken.reason = field->value;
    if (field->tag == TagTrial) taken.trial = field->value;
  }
  if (taken.refused.size() >= kMostRefused) {
    return Error{ErrorCode::Protocol, "the new process takes hardly any session: " + taken.reason};
  }
  return taken;
}

std::string save_names(const std::vector<std::string>& names) {
  RecordWriter out;
  for (const std::string& each : names) out.text(TagName, each);
  return out.take();
}

Result<std::vector<std::string>> load_names(std::string_view record) {
  std::vector<std::string> names;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagName) names.emplace_back(field->value);
  }
  return names;
}

std::string save(const Verdict& verdict) {
  RecordWriter out;
  out.number(TagDone, verdict.done ? 1 : 0);
  out.text(TagText, verdict.text);
  out.number(TagAt, static_cast<std::uint64_t>(verdict.at));
  out.text(TagFrom, verdict.from);
  out.text(TagTo, verdict.to);
  out.number(TagCarriedClients, verdict.clients);
  out.number(TagCarriedServers, verdict.servers);
  out.number(TagLeftBehind, verdict.left_behind);
  out.number(TagPause, static_cast<std::uint64_t>(verdict.pause.count()));
  return out.take();
}

Result<Verdict> load_verdict(std::string_view record) {
  Verdict verdict;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case TagDone: verdict.done = field->number() != 0; break;
      case TagText: verdict.text = field->value; break;
      case TagAt: verdict.at = static_cast<std::int64_t>(field->number()); break;
      case TagFrom: verdict.from = field->value; break;
      case TagTo: verdict.to = field->value; break;
      case TagCarriedClients: verdict.clients = field->number(); break;
      case TagCarriedServers: verdict.servers = field->number(); break;
      case TagLeftBehind: verdict.left_behind = field->number(); break;
      case TagPause: verdict.pause = Duration(static_cast<Duration::rep>(field->number())); break;
      default: break;
    }
  }
  return verdict;
}

}  // namespace doorman::daemon
