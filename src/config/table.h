// The one table of settings: key, type, limits, default, whether a reload can change it, whether
// it works, and a line of help.
//
// The parser, SHOW CONFIG, SET, the sample file and the manual page all work from it or are
// checked against it. A new setting is a member of Settings and a line in one of table_*.cc. The
// default is the member's initialiser, so that it stands in one place.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/settings.h"
#include "config/value.h"

namespace doorman::config {

// A key of a section: how its value gets into an `Owner` and out again.
template <class Owner>
struct Field {
  std::string_view key;
  Result<> (*read)(Owner&, std::string_view, const Rules&);
  std::string (*write)(const Owner&, const Rules&);  // nullptr: never shown
  Rules rules = {};
};

template <auto Member, class Owner>
Result<> read_member(Owner& owner, std::string_view text, const Rules& rules) {
  return config::read(text, rules, owner.*Member);
}

template <auto Member, class Owner>
std::string write_member(const Owner& owner, const Rules& rules) {
  return config::write(owner.*Member, rules);
}

// Whether a new value takes effect without a new process.
enum class Change { Reload, Restart };

// Later: accepted, so that PgBouncer's files load, but without effect in this version.
enum class State { Works, Later };

// What a whole set of settings says about one of them.
struct Verdict {
  enum class Kind { Fine, Notice, Refused };
  Kind kind = Kind::Fine;
  std::string why = {};
};

// In the order of a line of the table.
struct Setting {  // NOLINT(clang-analyzer-optin.performance.Padding)
  Field<Settings> field;
  Change change;
  std::string_view help;
  State state = State::Works;
  Verdict (*judge)(const Settings&) = nullptr;  // of values that are well-formed, but not possible

  std::string_view key() const { return field.key; }
  std::string value_in(const Settings& settings) const {
    return field.write(settings, field.rules);
  }
};

// The beginning of a line of the table.
template <auto Member>
constexpr Field<Settings> setting(std::string_view key, Rules rules = {}) {
  return {key, read_member<Member, Settings>, write_member<Member, Settings>, rules};
}

struct Group {
  std::string_view title;
  std::span<const Setting> settings;
};

// The whole table, in the order in which it is shown.
std::span<const Group> groups();
std::span<const std::string_view> keys();
const Setting* find_setting(std::string_view key);

// Fine, or what must be said about `setting` having the value it has.
Verdict judge(const Setting& setting, const Settings& settings);

// Its parts: table_network.cc, table_auth.cc, table_pools.cc, table_process.cc.
Group listen_group();
Group network_group();
Group auth_group();
Group tls_group();
Group pool_group();
Group server_group();
Group client_group();
Group statement_group();
Group process_group();
Group log_group();

}  // namespace doorman::config
