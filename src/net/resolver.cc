#include "net/resolver.h"

#include <netdb.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/text.h"

namespace doorman::net {

namespace {

// So that a few names whose servers are silent do not hold up the others.
constexpr int kThreads = 4;

}  // namespace

Resolved look_up(const std::string& host) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error == EAI_SYSTEM) return {.addresses = {}, .error = errno_text(errno)};
  if (error != 0) return {.addresses = {}, .error = gai_strerror(error)};

  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, freeaddrinfo);
  Resolved resolved;
  for (const addrinfo* item = list.get(); item != nullptr; item = item->ai_next) {
    const Address address = Address::from_sockaddr(item->ai_addr, item->ai_addrlen);
    auto& known = resolved.addresses;
    if (std::find(known.begin(), known.end(), address) == known.end()) known.push_back(address);
  }
  if (resolved.addresses.empty()) resolved.error = "the name has no address";
  return resolved;
}

Resolver::Resolver(ResolverTtl ttl, Hooks hooks)
    : hooks_(std::move(hooks)), ttl_(ttl), helpers_(kThreads, "resolver") {}

Resolver::~Resolver() {
  std::map<std::string, std::vector<WhenKnown>> dropped;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  dropped.swap(asked_);
}

Resolver::Answer Resolver::find(const std::string& host) {
  const std::lock_guard lock(mutex_);
  const auto known = cache_.find(host);
  if (known == cache_.end() || left(known->second) <= Clock::duration::zero()) return nullptr;
  return known->second.answer;
}

void Resolver::resolve(const std::string& host, WhenKnown when_known) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    std::vector<WhenKnown>& waiting = asked_[host];
    waiting.push_back(std::move(when_known));
    if (waiting.size() > 1) return;
  }
  helpers_.run([this, host] { run_lookup(host); });
}

void Resolver::set_ttl(ResolverTtl ttl) {
  const std::lock_guard lock(mutex_);
  ttl_ = ttl;
}

Resolver::Counters Resolver::counters() {
  const std::lock_guard lock(mutex_);
  return {.names = cache_.size(), .queries = running_, .pending = asked_.size() - running_};
}

std::vector<Resolver::Entry> Resolver::entries() {
  const std::lock_guard lock(mutex_);
  std::vector<Entry> entries;
  for (const auto& [host, known] : cache_) {
    const auto ttl_left = std::chrono::floor<std::chrono::milliseconds>(left(known));
    entries.push_back({.host = host,
                       .ttl_left = std::max(ttl_left, std::chrono::milliseconds(0)),
                       .answer = known.answer});
  }
  return entries;
}

Resolver::Clock::duration Resolver::left(const Known& known) const {
  const auto ttl = known.answer->error.empty() ? ttl_.found : ttl_.failed;
  return known.since + ttl - hooks_.now();
}

// The names come from the configuration, which changes: those of yesterday must not stay.
void Resolver::forget_old() {
  std::erase_if(
      cache_, [this](const auto& entry) { return left(entry.second) <= Clock::duration::zero(); });
}

void Resolver::run_lookup(const std::string& host) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    ++running_;
  }
  Answer answer = find(host);  // the last answer may have come just before somebody asked
  const bool looked_up = answer == nullptr;
  if (looked_up) answer = std::make_shared<const Resolved>(hooks_.look_up(host));

  std::vector<WhenKnown> waiting;
  {
    const std::lock_guard lock(mutex_);
    --running_;
    if (stopping_) return;
    if (looked_up) {
      forget_old();
      cache_[host] = {.answer = answer, .since = hooks_.now()};
    }
    waiting = std::exchange(asked_[host], {});
    asked_.erase(host);
  }
  for (const WhenKnown& when_known : waiting) when_known(answer);
}

}  // namespace doorman::net
