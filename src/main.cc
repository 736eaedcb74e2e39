// pg_doorman: the whole program in the order in which it happens.
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>

#include "base/log.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "cli/supervisor.h"
#include "cli/upgrade.h"
#include "config/config.h"
#include "control/console.h"
#include "daemon/control_socket.h"
#include "daemon/daemon.h"
#include "daemon/successor.h"
#include "handoff/midwife.h"

namespace {

using namespace doorman;

constexpr const char* kUsage =
    "Usage: pg_doorman [OPTION]... FILE\n"
    "       pg_doorman upgrade [FILE | --socket=PATH]\n"
    "A connection pooler for PostgreSQL. FILE is its configuration, a pgbouncer.ini for example.\n"
    "\n"
    "  -t, --check-config FILE  check the configuration, say what is wrong, and exit\n"
    "  -u, --user=NAME          become this user at start\n"
    "  -v, --verbose            log more\n"
    "  -q, --quiet              log nothing to standard error\n"
    "  -V, --version            print the version and exit\n"
    "  -h, --help               print this and exit\n"
    "\n"
    "upgrade asks the running process to hand everything over to the installed program, and waits\n"
    "for the verdict. FILE says where it is asked: at its control_socket; without FILE, in the\n"
    "folder that $RUNTIME_DIRECTORY names.\n"
    "\n"
    "  -s, --socket=PATH        ask there\n";

struct CommandLine {
  daemon::Options options;
  std::string user;
  std::string socket;  // of the process to be asked
  bool check_only = false;
  bool upgrade = false;
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
                                        {"socket", required_argument, nullptr, 's'},
                                        {"take-over", required_argument, nullptr, 'T'},
                                        {"version", no_argument, nullptr, 'V'},
                                        {"help", no_argument, nullptr, 'h'},
                                        {nullptr, 0, nullptr, 0}};
  CommandLine line;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread as yet, here and in become().
  for (int c = 0; (c = ::getopt_long(argc, argv, "tu:vqs:Vh", long_options, nullptr)) != -1;) {
    switch (c) {
      case 't': line.check_only = true; break;
      case 'u': line.user = optarg; break;
      case 'v': ++line.options.verbose; break;
      case 'q': line.options.quiet = true; break;
      case 's': line.socket = optarg; break;
      case 'T': {  // said by a process that upgrades, to its successor
        const std::string_view number = optarg;
        std::from_chars(number.data(), number.data() + number.size(), line.options.take_over);
        break;
      }
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
  line.upgrade = optind < argc && std::string_view(argv[optind]) == "upgrade";
  if (line.upgrade) ++optind;
  if (line.upgrade && optind == argc) {
    config::Settings defaults;
    defaults.unix_socket_dir.clear();
    if (line.socket.empty()) line.socket = daemon::control_path(defaults);
    if (!line.socket.empty()) return line;
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
  // `kill -USR2 $(pgrep pg_doorman)` and `systemctl kill -s HUP` may also hit who cannot upgrade or
  // reload, or not yet. The daemon lets them in when it listens to signals.
  sigset_t not_yet;
  sigemptyset(&not_yet);
  for (const int number : {SIGUSR2, SIGHUP}) sigaddset(&not_yet, number);
  pthread_sigmask(SIG_BLOCK, &not_yet, nullptr);

  int status = 0;
  auto line = read_command_line(argc, argv, status);
  if (!line) return status;
  line->options.program = handoff::installed_path(argv[0]);
  const int predecessor = line->options.take_over;

  if (line->upgrade && !line->socket.empty()) return cli::upgrade(line->socket);
  auto rules = daemon::load_rules(line->options.config_path);
  if (!rules) {
    if (predecessor >= 0) daemon::refuse_to_succeed(predecessor, rules.error().message);
    return complain(rules.error().message);
  }
  const config::Config& config = *(*rules)->config;
  if (line->upgrade) {
    const std::string path = daemon::control_path(config.settings);
    if (path.empty()) return complain("there is no control_socket: set it, or use --socket");
    return cli::upgrade(path);
  }
  if (line->check_only) {
    for (const std::string& notice : config.notices) std::printf("%s\n", notice.c_str());
    std::printf("%s: the configuration is right\n", line->options.config_path.c_str());
    return 0;
  }

  if (const auto over = cli::supervise()) return *over;  // PID 1 stays, this goes on in its child

  const std::string user = line->user.empty() ? config.settings.user : line->user;
  if (!user.empty()) {
    if (auto done = become(user); !done) return complain(done.error().message);
  }
  if (::geteuid() == 0) {
    return complain("it must not run as root: set user= in the configuration, or use --user");
  }

  static constexpr std::size_t kBesidesClients = 1024;
  expect_descriptors(static_cast<std::size_t>(config.settings.max_client_conn) + kBesidesClients);
  daemon::Daemon daemon(line->options, rules.take());
  control::Console console(daemon);
  if (auto opened = daemon.open(console); !opened) return complain(opened.error().message);
  status = daemon.run();
  stop_log();
  return status;
}
