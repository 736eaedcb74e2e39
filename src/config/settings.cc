// What works on the whole table; its lines stand in table_*.cc.
#include "config/settings.h"

#include <array>

#include "config/nearest.h"
#include "config/table.h"

namespace doorman::config {

std::span<const Group> groups() {
  static const std::array all = {listen_group(),  process_group(), auth_group(),      pool_group(),
                                 server_group(),  client_group(),  statement_group(), tls_group(),
                                 network_group(), log_group()};
  return all;
}

std::span<const std::string_view> keys() {
  static const std::vector<std::string_view> all = [] {
    std::vector<std::string_view> found;
    for (const Group& group : groups()) {
      for (const Setting& setting : group.settings) found.push_back(setting.key());
    }
    return found;
  }();
  return all;
}

const Setting* find_setting(std::string_view key) {
  if (key == "service_name") key = "job_name";  // what PgBouncer calls it on one platform
  for (const Group& group : groups()) {
    for (const Setting& setting : group.settings) {
      if (setting.key() == key) return &setting;
    }
  }
  return nullptr;
}

Verdict judge(const Setting& setting, const Settings& settings) {
  if (setting.judge != nullptr) return setting.judge(settings);
  if (setting.state == State::Later && setting.value_in(settings) != setting.value_in(Settings())) {
    return {Verdict::Kind::Notice, "accepted, but without effect in this version"};
  }
  return {};
}

std::vector<ShownSetting> show(const Settings& settings) {
  const Settings defaults;
  std::vector<ShownSetting> shown;
  for (const Group& group : groups()) {
    for (const Setting& setting : group.settings) {
      shown.push_back({.key = std::string(setting.key()),
                       .value = setting.value_in(settings),
                       .default_value = setting.value_in(defaults),
                       .reloadable = setting.change == Change::Reload});
    }
  }
  return shown;
}

std::vector<std::string> needs_restart(const Settings& old_one, const Settings& new_one) {
  std::vector<std::string> changed;
  for (const Group& group : groups()) {
    for (const Setting& setting : group.settings) {
      if (setting.change == Change::Restart &&
          setting.value_in(old_one) != setting.value_in(new_one)) {
        changed.emplace_back(setting.key());
      }
    }
  }
  return changed;
}

Result<> set(Settings& settings, std::string_view key, std::string_view value) {
  const std::string named(key);
  const Setting* setting = find_setting(key);
  if (setting == nullptr) {
    return Error{ErrorCode::Config, "unknown setting \"" + named + "\"" + suggestion(key, keys())};
  }
  if (setting->change == Change::Restart) {
    return Error{ErrorCode::Config, named + " cannot be changed without a restart"};
  }
  Settings changed = settings;
  if (auto done = setting->field.read(changed, trim(value), setting->field.rules); !done) {
    return Error{ErrorCode::Config, named + ": " + done.error().message};
  }
  if (const Verdict verdict = judge(*setting, changed); verdict.kind == Verdict::Kind::Refused) {
    return Error{ErrorCode::Config, named + ": " + verdict.why};
  }
  settings = std::move(changed);
  return {};
}

}  // namespace doorman::config
