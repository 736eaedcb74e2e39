#include "session/parameters.h"

#include <fmt/format.h>

#include <algorithm>

#include "session/record_fields.h"
#include "session/sql_names.h"

namespace doorman::session {

namespace {

char folded(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool before(std::string_view a, std::string_view b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                      [](char x, char y) { return folded(x) < folded(y); });
}

template <class Vector>
auto position(Vector& all, std::string_view name) {
  return std::lower_bound(all.begin(), all.end(), name,
                          [](const Parameter& p, std::string_view n) { return before(p.name, n); });
}

void append_to(std::string& key, const Parameter& each) {
  for (const char c : each.name) key.push_back(folded(c));
  key.push_back('\0');
  key.append(each.value).push_back('\0');
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return folded(x) == folded(y); });
}

const std::string* ParameterSet::find(std::string_view name) const {
  const auto at = position(all_, name);
  return at != all_.end() && same_name(at->name, name) ? &at->value : nullptr;
}

void ParameterSet::set(std::string_view name, std::string_view value) {
  const auto at = position(all_, name);
  if (at != all_.end() && same_name(at->name, name)) {
    at->value = value;
  } else {
    all_.insert(at, {.name = std::string(name), .value = std::string(value)});
  }
}

void ParameterSet::erase(std::string_view name) {
  const auto at = position(all_, name);
  if (at != all_.end() && same_name(at->name, name)) all_.erase(at);
}

std::string ParameterSet::key() const {
  std::string key;
  for (const Parameter& each : all_) append_to(key, each);
  return key;
}

void ParameterSet::note_meaning() {
  meaning_.clear();
  for (const Parameter& each : all_) {
    if (!is_harmless_setting(each.name)) append_to(meaning_, each);
  }
}

std::string_view encoding_in(std::string_view meaning) {
  while (!meaning.empty()) {
    const std::size_t name = meaning.find('\0');
    const std::size_t value = meaning.find('\0', name + 1);
    if (name == std::string_view::npos || value == std::string_view::npos) return {};
    if (meaning.substr(0, name) == "client_encoding") {
      return meaning.substr(name + 1, value - name - 1);
    }
    meaning.remove_prefix(value + 1);
  }
  return {};
}

std::string with_encoding(std::string_view meaning, std::string_view encoding) {
  const std::string_view old = encoding_in(meaning);
  std::string changed(meaning);
  if (!old.empty()) {
    changed.replace(static_cast<std::size_t>(old.data() - meaning.data()), old.size(), encoding);
  }
  return changed;
}

std::vector<Change> difference(const ParameterSet& has, const ParameterSet& wants) {
  std::vector<Change> changes;
  for (const Parameter& each : wants.all()) {
    const std::string* current = has.find(each.name);
    if (current == nullptr || *current != each.value) {
      // "SQL" alone keeps the order of day and month: it shall be the default's, not another's.
      const bool relative =
          same_name(each.name, "DateStyle") && each.value.find(',') == std::string::npos;
      if (relative) changes.push_back({.name = each.name, .value = {}});
      changes.push_back({.name = each.name, .value = each.value});
    }
  }
  for (const Parameter& each : has.all()) {
    if (wants.find(each.name) == nullptr) changes.push_back({.name = each.name, .value = {}});
  }
  return changes;
}

std::string change_messages(const std::vector<Change>& changes) {
  std::string sql = "SELECT ";
  std::vector<std::optional<std::string>> values;
  for (const Change& change : changes) {
    if (!values.empty()) sql += ", ";
    const std::size_t at = values.size() + 1;
    sql += fmt::format("pg_catalog.set_config(${}, ${}, false)", at, at + 1);
    values.emplace_back(change.name);
    values.push_back(change.value);  // NULL: set_config() takes it for "back to the default"
  }
  return wire::parse("", sql) + wire::bind(values) + wire::execute() + wire::sync();
}

Parameters ParameterSets::intern(const ParameterSet& set) {
  if (sets_.size() >= sweep_at_) {
    std::erase_if(sets_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<std::size_t>(64, sets_.size() * 2);
  }
  std::weak_ptr<const ParameterSet>& slot = sets_[set.key()];
  Parameters shared = slot.lock();
  if (!shared) {
    auto fresh = std::make_shared<ParameterSet>(set);
    fresh->note_meaning();
    fresh->record_ = save_parameters(fresh->all());
    shared = std::move(fresh);
    slot = shared;
  }
  return shared;
}

Parameters ParameterSets::with(const Parameters& set, std::string_view name,
                               std::string_view value) {
  const std::string* current = set->find(name);
  if (current != nullptr && *current == value) return set;
  ParameterSet changed = *set;
  changed.set(name, value);
  return intern(changed);
}

}  // namespace doorman::session
