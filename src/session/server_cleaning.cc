// How a server becomes clean again after a client, by the least work that is right.
#include "base/log.h"
#include "session/client.h"
#include "session/server.h"
#include "wire/message_writer.h"

namespace doorman::session {

// Runs what the last client made necessary, then goes back to the pool.
void ServerSession::clean() {
  const config::Settings& settings = host_->settings();
  if (outdated_ || generation_ != part_->generation) {
    if (!stream_.write(bytes_of(wire::terminate()))) outdated_ = true;
    fail("", "its settings are out of date");
    return;
  }
  if (part_->settings.server_lifetime == Duration::zero() && linked_at_ != Instant()) {
    if (!stream_.write(bytes_of(wire::terminate()))) outdated_ = true;
    fail("", "server_lifetime is 0: one use");
    return;
  }
  if (settings.server_reset_query_always) dirt_ |= dirt::kAll;
  const std::uint8_t dirt = std::exchange(dirt_, std::uint8_t{0});
  if ((dirt & dirt::kAll) != 0) {
    if (!settings.server_reset_query.empty()) cleaning_.push_back(settings.server_reset_query);
  } else {
    if ((dirt & dirt::kSettings) != 0) {
      cleaning_.emplace_back("RESET SESSION AUTHORIZATION; RESET ALL");
    }
    if ((dirt & dirt::kCursors) != 0) cleaning_.emplace_back("CLOSE ALL");
    if ((dirt & dirt::kListens) != 0) cleaning_.emplace_back("UNLISTEN *");
    if ((dirt & dirt::kPrepared) != 0) cleaning_.emplace_back("DEALLOCATE ALL");
  }
  const bool settings_reset = (dirt & (dirt::kAll | dirt::kSettings)) != 0;
  if (settings_reset) {
    set_parameters_to_default();
    if (part_->settings.database.connect_query) {
      cleaning_.push_back(*part_->settings.database.connect_query);
    }
  }
  next_cleaning();
}

// RESET ALL and DISCARD ALL undo what we set for clients; what the server reports, it reports.
void ServerSession::set_parameters_to_default() {
  ParameterSet reported;
  for (const Parameter& each : parameters_->all()) {
    if (welcome_->find(each.name) != nullptr) reported.set(each.name, each.value);
  }
  parameters_ = host_->parameters.intern(reported);
}

void ServerSession::next_cleaning() {
  if (cleaning_.empty()) {
    if (!close_own_names()) become_idle();
    return;
  }
  const std::string sql = std::move(cleaning_.front());
  cleaning_.erase(cleaning_.begin());
  run_cleaning(sql);
}

void ServerSession::run_cleaning(const std::string& sql) {
  if (state_ != ServerState::Cleaning) enter(ServerState::Cleaning);
  runs_connect_query_ = part_->settings.database.connect_query == sql;
  replies_.push({.awaits = Awaits::Query, .deliver = Deliver::Swallow});
  statements_.set_unnamed(ServerStatements::Unnamed::None);
  if (!stream_.write(bytes_of(wire::query(sql)))) fail("", "server is gone");
}

// Names of clients' own are left where they are, for they cost little and may be asked for again,
// but not many of them, and none that a client's SQL had prepared. True: they are being closed.
bool ServerSession::close_own_names() {
  static constexpr std::size_t kMaxOwnNames = 16;
  if (!statements_.pins() && statements_.own_count() <= kMaxOwnNames) return false;
  if (state_ != ServerState::Cleaning) enter(ServerState::Cleaning);
  std::vector<std::string> names;
  statements_.each_own([&](const std::string& name, const OwnName&) { names.push_back(name); });
  std::string messages;
  for (const std::string& name : names) {
    statements_.remove_own(name);
    messages += wire::close_statement(name);
    replies_.push({.awaits = Awaits::Close, .deliver = Deliver::Swallow});
  }
  messages += wire::sync();
  replies_.push({.awaits = Awaits::Sync, .deliver = Deliver::Swallow});
  if (!stream_.write(bytes_of(messages))) fail("", "server is gone");
  return true;
}

void ServerSession::become_idle() {
  end_connect();
  if (cancels_ > 0) {
    if (state_ != ServerState::Cancelling) enter(ServerState::Cancelling);
    return;
  }
  enter(ServerState::Idle);
  part_->pool.add_idle(*this, host_->now());
}

bool ServerSession::usable(Instant now) {
  const config::Settings& settings = host_->settings();
  if (outdated_ || generation_ != part_->generation) {
    retire("its settings are out of date");
    return false;
  }
  const bool check = !settings.server_check_query.empty() &&
                     now - idle_since >= settings.server_check_delay &&
                     now - idle_since > Duration::zero();
  if (!check) return true;
  ListNode<pool::InIdle>::unlink();
  const bool empty = settings.server_check_query == "<empty>";
  run_cleaning(empty ? std::string() : settings.server_check_query);
  return false;
}

}  // namespace doorman::session
