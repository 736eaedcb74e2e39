// The table's lines about pools, servers, clients and their statements.
#include <array>

#include "config/table.h"

namespace doorman::config {
namespace {

constexpr Setting kPools[] = {
    {setting<&Settings::pool_mode>("pool_mode"), Change::Reload,
     "When a server is given back: after a session, a transaction or a statement."},
    {setting<&Settings::max_client_conn>("max_client_conn"), Change::Reload,
     "Clients at the same time; those of the console do not count."},
    {setting<&Settings::default_pool_size>("default_pool_size"), Change::Reload,
     "Servers of one pool, which is a database and a user; 0 is without limit."},
    {setting<&Settings::min_pool_size>("min_pool_size"), Change::Reload,
     "Servers that a pool in use keeps ready."},
    {setting<&Settings::reserve_pool_size>("reserve_pool_size"), Change::Reload,
     "Servers on top of a full pool when clients wait for long."},
    {setting<&Settings::reserve_pool_timeout>("reserve_pool_timeout"), Change::Reload,
     "How long a client has waited when the reserve is opened; 0 is never."},
    {setting<&Settings::max_db_connections>("max_db_connections"), Change::Reload,
     "Servers of one database over all users; 0 is without limit."},
    {setting<&Settings::max_db_client_connections>("max_db_client_connections"), Change::Reload,
     "Clients of one database; 0 is without limit."},
    {setting<&Settings::max_user_connections>("max_user_connections"), Change::Reload,
     "Servers of one user over all databases; 0 is without limit."},
    {setting<&Settings::max_user_client_connections>("max_user_client_connections"), Change::Reload,
     "Clients of one user; 0 is without limit."},
    {setting<&Settings::server_connect_parallel>("server_connect_parallel",
                                                 {.min = 1, .max = 1000}),
     Change::Reload, "Connection attempts of one pool at the same time."},
    {setting<&Settings::server_round_robin>("server_round_robin"), Change::Reload,
     "Use the server that has been idle longest, not the one used last."},
    {setting<&Settings::pool_idle_timeout>("pool_idle_timeout"), Change::Reload,
     "How long a pool without connections is kept; 0 is for ever."},
    {setting<&Settings::autodb_idle_timeout>("autodb_idle_timeout"), Change::Reload,
     "How long an unused database that came from * is kept; 0 is for ever."},
};

constexpr Setting kServers[] = {
    {setting<&Settings::server_reset_query>("server_reset_query"), Change::Reload,
     "Sent to a server that a session gives back; nothing is no reset."},
    {setting<&Settings::server_reset_query_always>("server_reset_query_always"), Change::Reload,
     "Reset servers in every pool mode, not only after sessions."},
    {setting<&Settings::server_check_query>("server_check_query"), Change::Reload,
     "Sent to a server that was idle for long before it is used; nothing is no check."},
    {setting<&Settings::server_check_delay>("server_check_delay"), Change::Reload,
     "Idle time after which a server is checked; 0 is always."},
    {setting<&Settings::server_fast_close>("server_fast_close"), Change::Reload,
     "Close a server to be replaced after its transaction, even within a session."},
    {setting<&Settings::server_lifetime>("server_lifetime"), Change::Reload,
     "Age at which a server is closed when it is free; 0 is after one use."},
    {setting<&Settings::server_idle_timeout>("server_idle_timeout"), Change::Reload,
     "Idle time after which a server is closed; 0 is never."},
    {setting<&Settings::server_connect_timeout>("server_connect_timeout"), Change::Reload,
     "Time for connecting and logging in to a server; 0 is without limit."},
    {setting<&Settings::server_login_retry>("server_login_retry"), Change::Reload,
     "Pause after a server could not be reached; 0 is none."},
};

constexpr Setting kClients[] = {
    {setting<&Settings::client_login_timeout>("client_login_timeout"), Change::Reload,
     "Time for a client's login; 0 is without limit."},
    {setting<&Settings::client_idle_timeout>("client_idle_timeout"), Change::Reload,
     "Time without a query after which a client is closed; 0 is never."},
    {setting<&Settings::query_timeout>("query_timeout"), Change::Reload,
     "Time that a query may run before its connections are closed; 0 is without limit."},
    {setting<&Settings::query_wait_timeout>("query_wait_timeout"), Change::Reload,
     "Time that a query waits for a server before its client is closed; 0 is for ever."},
    {setting<&Settings::query_wait_notify>("query_wait_notify"), Change::Reload,
     "Waiting time after which a client is told that it waits; 0 is never."},
    {setting<&Settings::idle_transaction_timeout>("idle_transaction_timeout"), Change::Reload,
     "Time that a transaction may be idle; 0 is without limit."},
    {setting<&Settings::transaction_timeout>("transaction_timeout"), Change::Reload,
     "Time that a transaction may last; 0 is without limit."},
    {setting<&Settings::cancel_wait_timeout>("cancel_wait_timeout"), Change::Reload,
     "Time that a cancel request waits for its turn; 0 is for ever."},
    {setting<&Settings::login_notify_message>("login_notify_message"), Change::Reload,
     "Notice that each client is shown at login."},
    {setting<&Settings::application_name_add_host>("application_name_add_host"), Change::Reload,
     "Add the client's host and port to its application_name."},
    {setting<&Settings::ignore_startup_parameters>("ignore_startup_parameters"), Change::Reload,
     "Parameters of a login to drop, not to refuse, separated by commas."},
    {setting<&Settings::track_extra_parameters>("track_extra_parameters"), Change::Restart,
     "Reported parameters to keep per client besides the usual ones, separated by commas."},
    {setting<&Settings::disable_pqexec>("disable_pqexec"), Change::Restart,
     "Refuse the simple query protocol."},
    {setting<&Settings::listen_queue_size>("listen_queue_size",
                                           {.min = 1024, .max = std::int64_t{1} << 30}),
     Change::Reload, "Notifications kept for a client that does not read, in transaction mode."},
    {setting<&Settings::listen_gap_notify>("listen_gap_notify"), Change::Reload,
     "Notify each channel, with an empty payload, when notifications may have been lost."},
};

constexpr Setting kStatements[] = {
    {setting<&Settings::max_prepared_statements>("max_prepared_statements"), Change::Reload,
     "Named prepared statements kept on a server; 0 is not to manage them."},
    {setting<&Settings::max_prepared_statement_size>("max_prepared_statement_size",
                                                     {.min = 1024, .max = std::int64_t{1} << 30}),
     Change::Reload, "Largest Parse message that is kept whole."},
    {setting<&Settings::share_unnamed_statements>("share_unnamed_statements"), Change::Reload,
     "Share unnamed statements between clients too."},
    {setting<&Settings::max_client_prepared_statements>("max_client_prepared_statements"),
     Change::Reload, "Named statements of one client; 0 is without limit."},
    {setting<&Settings::max_client_statement_memory>("max_client_statement_memory",
                                                     {.max = std::int64_t{1} << 40}),
     Change::Reload, "Bytes of one client's named statements, text and name; 0 is without limit."},
    {setting<&Settings::max_pool_statement_memory>("max_pool_statement_memory",
                                                   {.max = std::int64_t{1} << 40}),
     Change::Reload, "Bytes of a pool's named statements, each text once; 0 is without limit."},
};

}  // namespace

Group pool_group() { return {"Pools and limits", kPools}; }
Group server_group() { return {"Servers", kServers}; }
Group client_group() { return {"Clients", kClients}; }
Group statement_group() { return {"Prepared statements", kStatements}; }

}  // namespace doorman::config
