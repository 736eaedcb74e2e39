// ControlSocket: where `pg_doorman upgrade` asks, and hears the verdict.
//
// A unix socket for our own user and root. The asking program may be newer than this one, so the
// protocol is lines of text: "pg_doorman 1 upgrade" is answered by any number of "note TEXT" and
// one "done TEXT" or "failed TEXT". What is not understood is answered by "failed".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "config/settings.h"
#include "net/event.h"

namespace doorman::daemon {

class Daemon;

// Where it is: the setting, or else the runtime folder, or else beside the unix socket that clients
// use. Empty: nowhere.
std::string control_path(const config::Settings& settings);

class ControlSocket final : private net::EventHandler {
 public:
  ControlSocket(Daemon& daemon, net::EventLoop& loop) : daemon_(daemon), loop_(loop) {}
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;
  ~ControlSocket();

  // A file that a dead process left there is replaced.
  Result<> open(const std::string& path);
  // One that the old process had opened; requests wait until serve().
  void adopt(UniqueFd fd, std::string path);
  void serve();
  // The file belongs to the successor.
  void hand_on();

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }

 private:
  struct Asker final : net::EventHandler {
    Asker(ControlSocket& o, UniqueFd f);
    void on_event(short /*what*/) override { owner.on_input(*this); }
    void say(const std::string& line);
    ControlSocket& owner;
    UniqueFd fd;
    net::IoEvent event;
    std::string input;
    bool over = false;
  };

  void on_event(short what) override;
  void on_input(Asker& asker);
  void answer(const std::shared_ptr<Asker>& asker, const std::string& line);
  void forget_those_that_are_over();

  Daemon& daemon_;
  net::EventLoop& loop_;
  UniqueFd fd_;
  std::string path_;
  std::unique_ptr<net::IoEvent> event_;
  std::vector<std::shared_ptr<Asker>> askers_;
};

}  // namespace doorman::daemon
