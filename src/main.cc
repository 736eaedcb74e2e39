// pg_doorman: the whole program in the order in which it happens.
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>
#include <string>

#include "base/log.h"
#include "base/text.h"
#include "config/config.h"
#include "control/console.h"
#include "daemon/daemon.h"

namespace {

using namespace doorman;

constexpr const char* kUsage =
    "Usage: pg_doorman [OPTION]... FILE\n"
    "A connection pooler for PostgreSQL. FILE is its configuration, a pgbouncer.ini for example.\n"
    "\n"
    "  -t, --check-config FILE  check the configuration, say what is wrong, and exit\n"
    "  -u, --user=NAME          become this user at start\n"
    "  -v, --verbose            log more\n"
    "  -q, --quiet              log nothing to standard error\n"
    "  -V, --version            print the version and exit\n"
    "  -h, --help               print this and exit\n";

struct CommandLine {
  daemon::Options options;
  std::string user;
  bool check_only = false;
};

int complain(const std::string& message) {
  std::fprintf(stderr, "pg_doorman: %s\n", message.c_str());
  return 1;
}

// nullopt: the program has said what there was to say, and `status` is its exit status.
std::optional<CommandLine> read_command_line(int argc, char** argv, int& status) {
  static const option long_options[] = {{"check-config", no_argument, nullptr, 't'},
                                        {"user", required_argument, nullptr, 'u'},
                                        {"verbose", no_argument, nullptr, 'v'},
                                        {"quiet", no_argument, nullptr, 'q'},
                                        {"version", no_argument, nullptr, 'V'},
                                        {"help", no_argument, nullptr, 'h'},
                                        {nullptr, 0, nullptr, 0}};
  CommandLine line;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread as yet, here and in become().
  for (int c = 0; (c = ::getopt_long(argc, argv, "tu:vqVh", long_options, nullptr)) != -1;) {
    switch (c) {
      case 't': line.check_only = true; break;
      case 'u': line.user = optarg; break;
      case 'v': ++line.options.verbose; break;
      case 'q': line.options.quiet = true; break;
      case 'V':
        std::puts("pg_doorman " PG_DOORMAN_VERSION);
        status = 0;
        return std::nullopt;
      case 'h':
        std::fputs(kUsage, stdout);
        status = 0;
        return std::nullopt;
      default:
        std::fputs("Try 'pg_doorman --help'.\n", stderr);
        status = 1;
        return std::nullopt;
    }
  }
  if (argc - optind != 1) {
    std::fputs("pg_doorman: exactly one configuration file is needed\nTry 'pg_doorman --help'.\n",
               stderr);
    status = 1;
    return std::nullopt;
  }
  line.options.config_path = argv[optind];
  return line;
}

Result<> become(const std::string& name) {
  const passwd* user = ::getpwnam(name.c_str());  // NOLINT(concurrency-mt-unsafe)
  if (user == nullptr) return Error{ErrorCode::Config, "user \"" + name + "\" does not exist"};
  if (::geteuid() != 0) {
    if (::geteuid() == user->pw_uid) return {};
    return Error{ErrorCode::System, "only root can become user \"" + name + "\""};
  }
  if (::initgroups(name.c_str(), user->pw_gid) != 0 || ::setgid(user->pw_gid) != 0 ||
      ::setuid(user->pw_uid) != 0) {
    return Error{ErrorCode::System, "cannot become user \"" + name + "\": " + errno_text(errno)};
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  int status = 0;
  auto line = read_command_line(argc, argv, status);
  if (!line) return status;

  auto rules = daemon::load_rules(line->options.config_path);
  if (!rules) return complain(rules.error().message);
  const config::Config& config = *(*rules)->config;
  if (line->check_only) {
    for (const std::string& notice : config.notices) std::printf("%s\n", notice.c_str());
    std::printf("%s: the configuration is right\n", line->options.config_path.c_str());
    return 0;
  }

  const std::string user = line->user.empty() ? config.settings.user : line->user;
  if (!user.empty()) {
    if (auto done = become(user); !done) return complain(done.error().message);
  }
  if (::geteuid() == 0) {
    return complain("it must not run as root: set user= in the configuration, or use --user");
  }

  daemon::Daemon daemon(line->options, rules.take());
  control::Console console(daemon);
  if (auto opened = daemon.open(console); !opened) return complain(opened.error().message);
  status = daemon.run();
  stop_log();
  return status;
}
