// Session parameters (GUCs) that follow a client to whatever server it gets.
//
// A ParameterSet is an immutable value: the tracked parameters that the server reports and what the
// client set in its startup packet. Equal sets are one object per worker, so "has this server what
// this client wants" is a comparison of two pointers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "wire/message_writer.h"

namespace doorman::session {

using wire::Parameter;

bool same_name(std::string_view a, std::string_view b);  // PostgreSQL folds ASCII case

class ParameterSet {
 public:
  ParameterSet() = default;

  const std::string* find(std::string_view name) const;
  void set(std::string_view name, std::string_view value);
  void erase(std::string_view name);
  const std::vector<Parameter>& all() const { return all_; }
  bool operator==(const ParameterSet& other) const { return all_ == other.all_; }

  std::string key() const;  // equal for equal sets only
  // The same of those that may decide what a text of SQL means. Of interned sets only.
  const std::string& meaning() const { return meaning_; }
  // What is written down of it. Of interned sets only.
  const std::string& record() const { return record_; }

 private:
  friend class ParameterSets;
  void note_meaning();

  std::vector<Parameter> all_;  // sorted by folded name
  std::string meaning_;
  std::string record_;
};

using Parameters = std::shared_ptr<const ParameterSet>;

// Of a meaning: in which client_encoding the text is. Empty: none is known.
std::string_view encoding_in(std::string_view meaning);
// The same meaning of a text in that client_encoding.
std::string with_encoding(std::string_view meaning, std::string_view encoding);

// What has to change on a server that has `has`, so that it has `wants`. nullopt: back to the
// server's own default.
struct Change {
  std::string name;
  std::optional<std::string> value;
};
std::vector<Change> difference(const ParameterSet& has, const ParameterSet& wants);

// The messages that make the changes, in a transaction of their own: values go as bound
// parameters, never as quoted text, so that no encoding can break out of them.
std::string change_messages(const std::vector<Change>& changes);

// One worker's sets. Not for other threads.
class ParameterSets {
 public:
  Parameters intern(const ParameterSet& set);
  Parameters with(const Parameters& set, std::string_view name, std::string_view value);
  std::size_t size() const { return sets_.size(); }
  // Sessions that are built one after the other have mostly the same parameters: the set of the
  // record that was read last, if it was the same bytes, else null.
  Parameters of_record(std::string_view record) const {
    return record == last_record_ ? of_last_record_ : nullptr;
  }
  void note_record(std::string_view record, Parameters set) {
    last_record_ = record;
    of_last_record_ = std::move(set);
  }

 private:
  std::unordered_map<std::string, std::weak_ptr<const ParameterSet>> sets_;
  std::size_t sweep_at_ = 64;
  std::string last_record_;
  Parameters of_last_record_;
};

}  // namespace doorman::session
