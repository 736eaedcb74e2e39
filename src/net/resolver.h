// Addresses of host names, looked up off the loop and remembered. One for the whole process.
//
// Only names come here: numbers and unix paths are Addresses already. getaddrinfo does not tell how
// long an answer holds, so all answers hold for `found`, and failures of every kind for `failed`;
// after that they are forgotten. An old answer never stands in for a lookup that failed: a name
// that was taken out of the DNS on purpose must stop being used.
//
// All functions may be called from any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/helper_threads.h"
#include "net/address.h"

namespace doorman::net {

struct Resolved {
  std::vector<Address> addresses;  // with port 0, in the order of the system's preference
  std::string error;               // why there are none; empty: there is at least one
};

struct ResolverTtl {
  std::chrono::milliseconds found{15'000};   // dns_max_ttl
  std::chrono::milliseconds failed{15'000};  // dns_nxdomain_ttl
};

// Blocks, for as long as the system's resolver takes.
Resolved look_up(const std::string& host);

class Resolver {
 public:
  using Clock = std::chrono::steady_clock;
  using Answer = std::shared_ptr<const Resolved>;
  using WhenKnown = std::function<void(Answer)>;

  // What tests replace.
  struct Hooks {
    std::function<Resolved(const std::string&)> look_up = net::look_up;
    std::function<Clock::time_point()> now = Clock::now;
  };

  explicit Resolver(ResolverTtl ttl) : Resolver(ttl, Hooks()) {}
  Resolver(ResolverTtl ttl, Hooks hooks);
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // No callback runs after the destructor has returned; those whose answer is not there yet are
  // dropped. It waits for lookups under way: seconds, when a name server is silent.
  ~Resolver();

  // What is known and still holds; null: ask resolve().
  Answer find(const std::string& host);

  // Looks the name up, unless it is known or being looked up already, and calls `when_known` on a
  // helper thread. The answer is its argument, for with a short ttl it may have gone from the cache
  // before the caller gets to look there. `when_known` should post it and return at once.
  void resolve(const std::string& host, WhenKnown when_known);

  // Also for what is in the cache already.
  void set_ttl(ResolverTtl ttl);

  struct Counters {
    std::size_t names;    // in the cache
    std::size_t queries;  // being looked up now
    std::size_t pending;  // waiting for a thread
  };
  Counters counters();

  struct Entry {
    std::string host;
    std::chrono::milliseconds ttl_left;
    Answer answer;
  };
  std::vector<Entry> entries();

 private:
  struct Known {
    Answer answer;
    Clock::time_point since;
  };

  // These two with the lock held.
  Clock::duration left(const Known& known) const;
  void forget_old();

  void run_lookup(const std::string& host);

  const Hooks hooks_;
  std::mutex mutex_;
  ResolverTtl ttl_;
  std::map<std::string, Known> cache_;
  std::map<std::string, std::vector<WhenKnown>> asked_;  // a key is a lookup queued or running
  std::size_t running_ = 0;
  bool stopping_ = false;
  HelperThreads helpers_;  // last: ended before what its work uses
};

}  // namespace doorman::net
