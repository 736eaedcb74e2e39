#include "config/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/entries.h"
#include "config/nearest.h"
#include "config/reader.h"
#include "config/table.h"

namespace doorman::config {
namespace {

constexpr std::size_t kMaxProblems = 100;  // in one Error

constexpr std::string_view kOurs = "pg_doorman";
constexpr std::string_view kPgbouncers = "pgbouncer";  // its name for the same section
constexpr std::string_view kSections[] = {kOurs, kPgbouncers, "databases", "users", "peers"};

// What a second [pgbouncer] leaves as it is: PgBouncer has no defaults for these.
constexpr std::string_view kWithoutDefault[] = {
    "auth_dbname", "auth_file", "auth_ident_file",      "auth_ldap_options",
    "auth_user",   "conffile",  "client_tls13_ciphers", "server_tls13_ciphers",
    "user",        "verbose"};

bool is_main(std::string_view section) { return section == kOurs || section == kPgbouncers; }

template <class Range>
bool contains(const Range& range, std::string_view word) {
  return std::find(std::begin(range), std::end(range), word) != std::end(range);
}

// Makes a Config out of the lines of a file, and gathers what is wrong with them.
class Builder {
 public:
  Builder(std::string path, Lines lines)
      : lines_(std::move(lines)), problems_(std::move(lines_.problems)) {
    config_.path = std::move(path);
  }

  Result<Config> build() {
    // A file that cannot be read at all has one problem, not two.
    const bool readable = !lines_.items.empty() || problems_.empty();
    for (const Item& item : lines_.items) take(item);
    if (readable && !has_main_) {
      problems_.push_back(config_.path + ": no section [pg_doorman], nor [pgbouncer]");
    }
    finish_settings();
    if (problems_.empty()) return std::move(config_);
    return Error{ErrorCode::Config, all_problems()};
  }

 private:
  struct Line {
    const Setting* setting;
    const Item* item;
  };

  void take(const Item& item);
  void take_header(const Item& item);
  void take_setting(const Item& item);
  void take_entry(const Item& item);
  void finish_settings();
  std::string all_problems() const;

  void problem(const Item& item, const std::string& what) {
    problems_.push_back(item.place + ": " + what);
  }
  void notice(const Item& item, const std::string& what) {
    config_.notices.push_back(item.place + ": " + what);
  }

  Config config_;
  Lines lines_;
  std::vector<std::string> problems_;
  std::map<std::string_view, Line> settings_;  // the last line of each key
  bool has_main_ = false;
  bool has_pgbouncers_ = false;
  bool complained_of_no_section_ = false;
};

void Builder::take(const Item& item) {
  if (item.header) return take_header(item);
  if (is_main(item.section)) return take_setting(item);
  if (contains(kSections, item.section)) return take_entry(item);
  // Under an unknown section nothing is checked: its header was complained of.
  if (item.section.empty() && !complained_of_no_section_) {
    complained_of_no_section_ = true;
    problem(item, fmt::format("\"{}\" stands before the first section", item.name));
  }
}

void Builder::take_header(const Item& item) {
  if (!contains(kSections, item.name)) {
    problem(item, fmt::format("unknown section [{}]: known are {}{}", item.name, listed(kSections),
                              suggestion(item.name, kSections)));
  }
  has_main_ = has_main_ || is_main(item.name);
  if (item.name != kPgbouncers) return;
  if (!has_pgbouncers_) {
    has_pgbouncers_ = true;
    return;
  }
  // PgBouncer goes back to all defaults at each [pgbouncer], seen in one file and over includes.
  // Strange, but files may rely on it; what an operator did not mean to lose is in the notices.
  const std::size_t dropped = std::erase_if(settings_, [](const auto& entry) {
    return entry.second.item->section == kPgbouncers && !contains(kWithoutDefault, entry.first);
  });
  if (dropped == 0) return;
  notice(item, fmt::format("a second [pgbouncer] puts {} settings of the one before back to their "
                           "defaults, as in PgBouncer",
                           dropped));
}

void Builder::take_setting(const Item& item) {
  const Setting* setting = find_setting(item.name);
  if (setting == nullptr) {
    return problem(
        item, fmt::format("unknown setting \"{}\"{}", item.name, suggestion(item.name, keys())));
  }
  // Checked here, so that a bad value is reported even where a later line replaces it.
  Settings scratch;
  if (auto done = setting->field.read(scratch, item.value, setting->field.rules); !done) {
    return problem(item, item.name + ": " + done.error().message);
  }
  settings_[setting->key()] = {setting, &item};
}

void Builder::take_entry(const Item& item) {
  Remarks remarks;
  if (item.section == "databases") {
    Database database = read_database(item.name, item.value, remarks);
    if (item.name == "*") {
      config_.fallback = std::move(database);
    } else {
      config_.databases[item.name] = std::move(database);
    }
  } else if (item.section == "users") {
    config_.users[item.name] = read_user(item.name, item.value, remarks);
  } else {
    check_peer(item.name, item.value, remarks);
  }
  const std::string prefix = fmt::format("[{}] {}: ", item.section, item.name);
  for (const std::string& what : remarks.problems) problem(item, prefix + what);
  for (const std::string& what : remarks.notices) notice(item, prefix + what);
}

void Builder::finish_settings() {
  for (const auto& [key, line] : settings_) {
    const Field<Settings>& field = line.setting->field;
    const auto done = field.read(config_.settings, line.item->value, field.rules);
    CHECK(done);  // it was readable before
  }
  for (const auto& [key, line] : settings_) {
    const Verdict verdict = judge(*line.setting, config_.settings);
    const std::string what = std::string(key) + ": " + verdict.why;
    if (verdict.kind == Verdict::Kind::Notice) notice(*line.item, what);
    if (verdict.kind == Verdict::Kind::Refused) problem(*line.item, what);
  }
}

std::string Builder::all_problems() const {
  std::string all;
  for (std::size_t i = 0; i < std::min(problems_.size(), kMaxProblems); ++i) {
    if (i > 0) all += '\n';
    all += problems_[i];
  }
  if (problems_.size() > kMaxProblems) {
    all += fmt::format("\n{}: and {} more", config_.path, problems_.size() - kMaxProblems);
  }
  return all;
}

}  // namespace

Result<Config> load(const std::string& path) { return Builder(path, read_file(path)).build(); }

Result<Config> parse(std::string_view text, std::string_view name) {
  return Builder(std::string(name), read_text(text, name)).build();
}

const Database* line_for(const Config& config, const std::string& name) {
  const auto found = config.databases.find(name);
  if (found != config.databases.end()) return &found->second;
  return config.fallback ? &*config.fallback : nullptr;
}

std::optional<Database> find_database(const Config& config, const std::string& name) {
  const Database* line = line_for(config, name);
  if (line == nullptr) return std::nullopt;
  Database database = *line;
  database.name = name;
  if (database.dbname.empty()) database.dbname = name;
  return database;
}

}  // namespace doorman::config
