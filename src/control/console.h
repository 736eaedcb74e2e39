#pragma once
#include "daemon/daemon.h"
namespace doorman::control {
class Console final : public session::LocalDatabase {
 public:
  explicit Console(daemon::Daemon&) {}
  bool serves(std::string_view) const override { return false; }
  bool admits(const config::Config&, std::string_view) const override { return false; }
  void query(std::string_view, std::string, std::function<void(std::string)>) override {}
};
}
