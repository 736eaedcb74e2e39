#include "session/common_part.h"

#include <algorithm>

#include "base/check.h"
#include "session/host.h"

namespace doorman::session {

const std::string* Welcome::find(std::string_view name) const {
  for (const Parameter& each : reported) {
    if (same_name(each.name, name)) return &each.value;
  }
  return nullptr;
}

// ---- Values -----------------------------------------------------------------------------------

namespace {

std::string key_of(std::string_view name, std::string_view value) {
  std::string key(name);
  std::transform(key.begin(), key.end(), key.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  key.push_back('\0');
  return key.append(value);
}

}  // namespace

const std::string* AcceptedValues::find(std::string_view name, std::string_view value) const {
  const auto found = values_.find(key_of(name, value));
  return found == values_.end() ? nullptr : &found->second;
}

const std::string& AcceptedValues::add(std::string_view name, std::string_view value,
                                       std::string_view as_reported) {
  if (values_.size() >= kMost) values_.clear();
  return values_.insert_or_assign(key_of(name, value), std::string(as_reported)).first->second;
}

// ---- CommonPart -------------------------------------------------------------------------------

CommonPart::~CommonPart() { hubs_.forget(pool_); }

CommonPart& CommonPart::of(pool::SharedPool& pool) {
  CHECK(pool.companion != nullptr);
  return static_cast<CommonPart&>(*pool.companion);
}

pool::Registry::MakeCompanion CommonPart::maker(Shared& shared) {
  return [&shared](pool::SharedPool& pool) {
    return std::make_unique<CommonPart>(pool, shared.listens);
  };
}

WelcomeRef CommonPart::welcome() const {
  const std::lock_guard lock(mutex_);
  return welcome_;
}

void CommonPart::set_welcome(WelcomeRef welcome) {
  const std::lock_guard lock(mutex_);
  welcome_ = std::move(welcome);
}

void CommonPart::offer_welcome(const WelcomeRef& welcome) {
  const std::lock_guard lock(mutex_);
  if (!welcome_) welcome_ = welcome;
}

std::optional<std::string> CommonPart::accepted(std::string_view name,
                                                std::string_view value) const {
  const std::lock_guard lock(mutex_);
  const std::string* found = accepted_.find(name, value);
  return found == nullptr ? std::nullopt : std::optional(*found);
}

void CommonPart::accept(std::string_view name, std::string_view value,
                        std::string_view as_reported) {
  const std::lock_guard lock(mutex_);
  accepted_.add(name, value, as_reported);
}

void CommonPart::forget_accepted() {
  const std::lock_guard lock(mutex_);
  accepted_.clear();
}

}  // namespace doorman::session
