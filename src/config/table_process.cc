// The table's lines about the process, who may come in, and the log.
#include <array>

#include "config/table.h"

namespace doorman::config {
namespace {

constexpr Setting kProcess[] = {
    {setting<&Settings::workers>("workers", {.max = 64}), Change::Restart,
     "Threads that carry the traffic; 0 is one per CPU."},
    {setting<&Settings::user>("user"), Change::Restart,
     "User to become at the start, when started by root."},
    {setting<&Settings::pidfile>("pidfile"), Change::Restart,
     "File for the process id; nothing is none."},
    {setting<&Settings::conffile>("conffile"), Change::Reload,
     "File that the next reload reads in place of this one."},
    {setting<&Settings::job_name>("job_name"), Change::Restart,
     "Name of PgBouncer's service on one platform.", State::Later},
    {setting<&Settings::crash_safe>("crash_safe"), Change::Restart,
     "Whether idle clients outlive the death of the process, where systemd keeps them meanwhile."},
    {setting<&Settings::shutdown_timeout>("shutdown_timeout"), Change::Reload,
     "How long a shutdown waits for clients before it closes them; 0 is for ever."},
    {setting<&Settings::suspend_timeout>("suspend_timeout"), Change::Reload,
     "How long SUSPEND waits for bytes to leave; 0 is for ever.", State::Later},
    {setting<&Settings::control_socket>("control_socket"), Change::Restart,
     "Where pg_doorman upgrade asks; nothing is a default place."},
    {setting<&Settings::upgrade_probation>("upgrade_probation"), Change::Reload,
     "How long the old process stands by after an upgrade."},
    {setting<&Settings::peer_id>("peer_id", {.max = 16383}), Change::Reload,
     "Our number among the [peers]; 0 is none.", State::Later},
};

Verdict judge_auth_type(const Settings& settings) {
  switch (settings.auth_type) {
    case AuthType::Cert:
    case AuthType::Hba:
    case AuthType::Ldap:
    case AuthType::Pam:
      return {Verdict::Kind::Refused,
              "\"" + std::string(name(settings.auth_type)) +
                  "\" is not supported yet: any, trust, plain, md5, scram-sha-256, reject"};
    case AuthType::Any:
    case AuthType::Trust:
    case AuthType::Plain:
    case AuthType::Md5:
    case AuthType::Scram:
    case AuthType::Reject: break;
  }
  return {};
}

Verdict judge_auth_dbname(const Settings& settings) {
  if (settings.auth_dbname.empty()) return {};
  if (settings.auth_dbname == "pgbouncer" || settings.auth_dbname == "pg_doorman") {
    return {Verdict::Kind::Refused, "the console cannot look up users"};
  }
  return {Verdict::Kind::Notice, "accepted, but without effect in this version"};
}

constexpr Setting kAuth[] = {
    {setting<&Settings::auth_type>("auth_type"), Change::Reload,
     "How clients prove who they are: any, trust, plain, md5, scram-sha-256, reject.", State::Works,
     judge_auth_type},
    {setting<&Settings::auth_file>("auth_file"), Change::Reload,
     "File of users and their secrets."},
    {setting<&Settings::auth_hba_file>("auth_hba_file"), Change::Reload,
     "File of rules for auth_type hba.", State::Later},
    {setting<&Settings::auth_ident_file>("auth_ident_file"), Change::Reload,
     "File of user name maps for auth_type hba.", State::Later},
    {setting<&Settings::auth_ldap_options>("auth_ldap_options"), Change::Reload,
     "How to reach the directory for auth_type ldap.", State::Later},
    {setting<&Settings::auth_user>("auth_user"), Change::Reload,
     "Role that runs auth_query for users who are not in auth_file.", State::Later},
    {setting<&Settings::auth_query>("auth_query"), Change::Reload,
     "Query for the name and secret of user $1.", State::Later},
    {setting<&Settings::auth_dbname>("auth_dbname"), Change::Reload,
     "Database in which auth_query runs; nothing is the client's own.", State::Later,
     judge_auth_dbname},
    {setting<&Settings::scram_iterations>("scram_iterations", {.min = 1}), Change::Reload,
     "Rounds of a SCRAM secret that is made from a plain password."},
    {setting<&Settings::admin_users>("admin_users"), Change::Reload,
     "Users who may do everything on the console, separated by commas."},
    {setting<&Settings::stats_users>("stats_users"), Change::Reload,
     "Users who may look at the console, separated by commas."},
};

constexpr std::string_view kFacilities[] = {
    "auth",   "authpriv", "cron",   "daemon", "ftp", "kern", "local0", "local1", "local2", "local3",
    "local4", "local5",   "local6", "local7", "lpr", "mail", "news",   "syslog", "user",   "uucp"};

constexpr Setting kLog[] = {
    {setting<&Settings::logfile>("logfile"), Change::Reload,
     "File for the log, opened anew by each reload; nothing is standard error only."},
    {setting<&Settings::syslog>("syslog"), Change::Reload, "Send the log to syslog as well."},
    {setting<&Settings::syslog_ident>("syslog_ident"), Change::Reload, "Our name in syslog."},
    {setting<&Settings::syslog_facility>("syslog_facility", {.choices = kFacilities}),
     Change::Reload, "Facility of syslog: daemon, auth, user, local0 to local7 and others."},
    {setting<&Settings::verbose>("verbose", {.max = 3}), Change::Reload,
     "How much more to log, 0 to 3."},
    {setting<&Settings::log_connections>("log_connections"), Change::Reload,
     "Log each login, of clients and at servers."},
    {setting<&Settings::log_disconnections>("log_disconnections"), Change::Reload,
     "Log each connection that ends, with the reason."},
    {setting<&Settings::log_pooler_errors>("log_pooler_errors"), Change::Reload,
     "Log errors that we send to clients."},
    {setting<&Settings::log_stats>("log_stats"), Change::Reload,
     "Log a line of averages each stats_period."},
    {setting<&Settings::stats_period>("stats_period", {.min = 1}), Change::Reload,
     "Period of the averages."},
};

}  // namespace

Group process_group() { return {"The process", kProcess}; }
Group auth_group() { return {"Who may come in", kAuth}; }
Group log_group() { return {"Log and statistics", kLog}; }

}  // namespace doorman::config
