#include "control/commands.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/record.h"
#include "base/text.h"
#include "control/courtesy.h"
#include "wire/error_response.h"

namespace doorman::control {
namespace {

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void finish(const Reply& reply, const Commands::Done& done) {
  done(reply);
  if (const Answer* answer = std::get_if<Answer>(&reply)) {
    if (answer->afterwards) answer->afterwards();
  }
}

}  // namespace

bool is_admin(const config::Config& config, std::string_view user) {
  return contains(config.settings.admin_users, user);
}

bool is_admitted(const config::Config& config, std::string_view user) {
  return is_admin(config, user) || contains(config.settings.stats_users, user);
}

Commands::Commands(daemon::Daemon& daemon) : daemon_(daemon), history_(clock_now()) {
  daemon_.on_tick = [this] { tick(); };
  daemon_.save_console = [this] { return save(); };
  daemon_.load_console = [this](std::string_view record) { load(record); };
}

Commands::~Commands() {
  daemon_.on_tick = {};
  daemon_.save_console = {};
  daemon_.load_console = {};
}

namespace {

// Never use a number again for something else.
enum Tag : std::uint16_t { TagOwn = 1, TagHistory = 2 };

}  // namespace

std::string Commands::save() const {
  RecordWriter out;
  out.text(TagOwn, daemon::save_counters(own_));
  out.text(TagHistory, history_.save());
  return out.take();
}

// What cannot be read is left out: these are statistics.
void Commands::load(std::string_view record) {
  RecordReader reader(record);
  for (auto field = reader.next(); field && *field; field = reader.next()) {
    if ((*field)->tag == TagOwn) {
      if (auto counters = daemon::load_counters((*field)->value)) own_ = counters.take();
    }
    if ((*field)->tag == TagHistory) {
      if (auto history = StatsHistory::load((*field)->value)) history_ = history.take();
    }
  }
}

Outcome Commands::outcome_of(std::string_view user, std::string_view text) {
  auto words = words_of(text);
  if (!words) {
    return Refusal{.sqlstate = wire::sqlstate::kSyntaxError, .message = words.error().message};
  }
  // Asked here and not only at login: a reload may have taken the right away.
  if (!is_admitted(config(), user)) {
    return Refusal{.sqlstate = wire::sqlstate::kInsufficientPrivilege,
                   .message = "user \"" + std::string(user) + "\" may no longer use the console"};
  }
  if (auto answer = courtesy(*words)) return std::move(*answer);
  auto parsed = parse_command(*words);
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return std::move(*refusal);
  const Parsed& command = *std::get_if<Parsed>(&parsed);
  if (command.command == nullptr) return Answer();
  if (command.command->access == Access::Admin && !is_admin(config(), user)) {
    return Refusal{.sqlstate = wire::sqlstate::kInsufficientPrivilege,
                   .message = std::string(command.command->name) + " is for admin_users only"};
  }
  if (command.command->access == Access::Admin) {
    std::string line(command.command->name);
    for (const std::string& argument : command.arguments) line += " " + argument;
    log(LogLevel::Notice, "console: {} by {}", escape_control(line), user);
  }
  return command.command->run(*this, command.arguments);
}

void Commands::run(std::string_view user, std::string_view text, const Done& done) {
  ++own_.queries;
  ++own_.transactions;
  Outcome outcome = outcome_of(user, text);
  if (auto* ask = std::get_if<AskAgain>(&outcome)) {
    if (auto reply = (*ask)()) {
      finish(*reply, done);
    } else {
      waiting_.push_back({.ask = std::move(*ask), .done = done});
    }
  } else if (auto* answer = std::get_if<Answer>(&outcome)) {
    finish(std::move(*answer), done);
  } else {
    finish(std::move(*std::get_if<Refusal>(&outcome)), done);
  }
}

void Commands::tick() {
  std::vector<Waiting> asked = std::exchange(waiting_, {});
  for (Waiting& each : asked) {
    if (const auto reply = each.ask()) {
      finish(*reply, each.done);
    } else {
      waiting_.push_back(std::move(each));
    }
  }
  const Instant now = clock_now();
  const config::Settings& settings = config().settings;
  if (!history_.due(now, settings.stats_period)) return;
  history_.take(now, totals());
  if (settings.log_stats) log(LogLevel::Info, "{}", history_.line());
}

Totals Commands::totals() {
  Totals all;
  all[std::string(kConsoleDatabase)] = own_;
  daemon_.visit_workers([&all](daemon::Worker& worker) {
    worker.each_pool([&all](session::PoolPart& part) { all[part.database()].add(part.counters); });
  });
  return all;
}

}  // namespace doorman::control
