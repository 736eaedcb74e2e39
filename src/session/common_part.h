// CommonPart: what the parts of a pool on all workers have in common, beyond the numbers of
// pool::SharedPool: what its servers have said. So a client need not meet a server to be welcomed,
// whichever worker has them.
//
// Any thread; looked at when a client logs in, or a server must take over values that are new to
// its worker.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pool/shared_pool.h"
#include "session/parameters.h"

namespace doorman::session {

class ListenHubs;

// What a server said of itself at login, for the clients that log in here without meeting one.
struct Welcome {
  std::vector<Parameter> reported;  // every ParameterStatus, in order
  const std::string* find(std::string_view name) const;
};
using WelcomeRef = std::shared_ptr<const Welcome>;

// Values that a server has accepted, by name, as the server reports them, which may be spelled
// otherwise.
class AcceptedValues {
 public:
  const std::string* find(std::string_view name, std::string_view value) const;
  const std::string& add(std::string_view name, std::string_view value,
                         std::string_view as_reported);
  void clear() { values_.clear(); }

 private:
  static constexpr std::size_t kMost = 4096;
  std::unordered_map<std::string, std::string> values_;
};

class CommonPart final : public pool::Companion {
 public:
  CommonPart(const pool::SharedPool& pool, ListenHubs& hubs) : pool_(pool), hubs_(hubs) {}
  ~CommonPart() override;
  static CommonPart& of(pool::SharedPool& pool);
  // For the registry, which may be made before the rest of what is shared.
  static pool::Registry::MakeCompanion maker(struct Shared& shared);

  // Of the server that logged in last; null until one has.
  WelcomeRef welcome() const;
  void set_welcome(WelcomeRef welcome);
  // Of a server that logged in some time ago: better than none.
  void offer_welcome(const WelcomeRef& welcome);

  std::optional<std::string> accepted(std::string_view name, std::string_view value) const;
  void accept(std::string_view name, std::string_view value, std::string_view as_reported);
  void forget_accepted();

 private:
  const pool::SharedPool& pool_;
  ListenHubs& hubs_;
  mutable std::mutex mutex_;  // guards the rest
  WelcomeRef welcome_;
  AcceptedValues accepted_;
};

}  // namespace doorman::session
