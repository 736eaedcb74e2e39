#include "session/listen_steps.h"

#include <optional>

#include "base/record.h"

namespace doorman::session {

namespace {

using Kind = ListenStep::Kind;

// Never use a number again for something else.
enum Tag : std::uint16_t {
  TagKind = 1,
  TagName = 2,

  TagOpen = 1,
  TagNext = 2,
  TagFailed = 3,
  TagUnlistensAll = 4,
  TagNotified = 5,
  TagUnlistened = 6,
};

std::optional<ListenStep> named(Kind kind, wire::SqlTokens& sql) {
  auto name = sql.name();
  if (!name) return std::nullopt;
  return ListenStep{.kind = kind, .name = std::move(*name)};
}

std::optional<ListenStep> step_of(wire::SqlTokens& sql) {
  const wire::SqlToken first = sql.next();
  const auto skip = [&sql](std::string_view keyword) {
    if (sql.peek().is(keyword)) sql.next();
  };
  if (first.is("UNLISTEN")) {
    if (sql.peek().is('*')) return ListenStep{.kind = Kind::UnlistenAll};
    return named(Kind::Unlisten, sql);
  }
  if (first.is("SAVEPOINT")) return named(Kind::Savepoint, sql);
  if (first.is("RELEASE")) {
    skip("SAVEPOINT");
    return named(Kind::Release, sql);
  }
  if (first.is("COMMIT") || first.is("END") || first.is("ABORT") || first.is("ROLLBACK")) {
    if (sql.peek().is("PREPARED")) return std::nullopt;  // of a transaction elsewhere
    skip("WORK");
    skip("TRANSACTION");
    if (!sql.peek().is("TO")) return ListenStep{.kind = Kind::End};
    sql.next();
    skip("SAVEPOINT");
    return named(Kind::RollbackTo, sql);
  }
  return std::nullopt;
}

// Which tag a step ends with.
bool fits(Kind kind, std::string_view tag) {
  switch (kind) {
    case Kind::Unlisten:
    case Kind::UnlistenAll: return tag == "UNLISTEN";
    case Kind::Savepoint: return tag == "SAVEPOINT";
    case Kind::RollbackTo: return tag == "ROLLBACK";
    case Kind::Release: return tag == "RELEASE";
    case Kind::End: return tag == "COMMIT" || tag == "ROLLBACK";
  }
  return false;
}

}  // namespace

ListenStepsRef listen_steps(std::string_view sql, wire::SqlDialect dialect) {
  ListenSteps steps;
  wire::SqlTokens tokens(sql, dialect);
  while (tokens.next_statement()) {
    if (auto step = step_of(tokens)) steps.push_back(std::move(*step));
  }
  return steps.empty() ? nullptr : std::make_shared<const ListenSteps>(std::move(steps));
}

std::string save_steps(const ListenSteps& steps) {
  RecordWriter out;
  for (const ListenStep& each : steps) {
    out.number(TagKind, static_cast<std::uint64_t>(each.kind));
    if (!each.name.empty()) out.text(TagName, each.name);
  }
  return out.take();
}

Result<ListenSteps> load_steps(std::string_view record) {
  ListenSteps steps;
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    if (field->tag == TagKind) {
      if (field->number() > static_cast<std::uint64_t>(Kind::End)) {
        return Error{ErrorCode::Protocol, "a step that cannot be"};
      }
      steps.push_back({.kind = static_cast<Kind>(field->number())});
    }
    if (field->tag == TagName && !steps.empty()) steps.back().name = field->value;
  }
  return steps;
}

void ListenTransaction::completed(std::string_view tag, const ListenSteps* steps, bool of_query) {
  if (!of_query) next_ = 0;
  if (tag == "NOTIFY") notified_ = true;
  if (tag == "DISCARD ALL") take({.kind = Kind::UnlistenAll});
  const ListenStep* step = nullptr;
  if (steps != nullptr && next_ < steps->size() && fits((*steps)[next_].kind, tag)) {
    step = &(*steps)[next_++];
  }
  const bool back_to_savepoint = step != nullptr && step->kind == Kind::RollbackTo;
  if (tag == "COMMIT") {
    commit();
  } else if (tag == "ROLLBACK" && !back_to_savepoint) {
    open_.clear();
  } else if (step != nullptr) {
    take(*step);
  }
}

void ListenTransaction::take(const ListenStep& step) {
  const auto mark = [this](const std::string& name) {
    std::size_t at = open_.size();
    while (at > 0 && open_[at - 1] != ListenStep{.kind = Kind::Savepoint, .name = name}) --at;
    return at;  // behind it; 0: there is none
  };
  switch (step.kind) {
    case Kind::Unlisten:
    case Kind::UnlistenAll:
    case Kind::Savepoint: open_.push_back(step); return;
    case Kind::RollbackTo: open_.resize(mark(step.name), ListenStep{.kind = Kind::End}); return;
    case Kind::Release:
      if (const std::size_t at = mark(step.name); at > 0) {
        open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(at - 1));
      }
      return;
    case Kind::End: return;  // its tag says how
  }
}

void ListenTransaction::commit() {
  for (ListenStep& each : open_) {
    if (each.kind == Kind::UnlistenAll) unlistens_all_ = true;
    if (each.kind == Kind::Unlisten) unlistened_.push_back(std::move(each.name));
  }
  open_.clear();
}

void ListenTransaction::ready(char status) {
  if (status == 'I') {
    if (!failed_) commit();  // what was no block is committed by its end
    open_.clear();
  }
  failed_ = false;
  next_ = 0;
}

void ListenTransaction::taken() {
  unlistens_all_ = false;
  notified_ = false;
  unlistened_.clear();
}

std::string ListenTransaction::save() const {
  RecordWriter out;
  out.text(TagOpen, save_steps(open_));
  out.number(TagNext, next_);
  out.number(TagFailed, failed_ ? 1 : 0);
  out.number(TagUnlistensAll, unlistens_all_ ? 1 : 0);
  out.number(TagNotified, notified_ ? 1 : 0);
  for (const std::string& each : unlistened_) out.text(TagUnlistened, each);
  return out.take();
}

Result<> ListenTransaction::load(std::string_view record) {
  RecordReader reader(record);
  while (auto field = TRY(reader.next())) {
    switch (field->tag) {
      case TagOpen: open_ = TRY(load_steps(field->value)); break;
      case TagNext: next_ = static_cast<std::size_t>(field->number()); break;
      case TagFailed: failed_ = field->number() != 0; break;
      case TagUnlistensAll: unlistens_all_ = field->number() != 0; break;
      case TagNotified: notified_ = field->number() != 0; break;
      case TagUnlistened: unlistened_.emplace_back(field->value); break;
      default: break;  // a later release knows it
    }
  }
  return {};
}

}  // namespace doorman::session
