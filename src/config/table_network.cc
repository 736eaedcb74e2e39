// The table's lines about sockets, TLS and names.
#include <array>

#include "config/table.h"

namespace doorman::config {
namespace {

constexpr std::int64_t kGigabyte = std::int64_t{1} << 30;

constexpr Setting kListen[] = {
    {setting<&Settings::listen_addr>("listen_addr"), Change::Restart,
     "Addresses to listen on, separated by commas; * is every address, nothing is no TCP."},
    {setting<&Settings::listen_port>("listen_port", {.min = 1, .max = 65535}), Change::Restart,
     "TCP port, and the number in the unix socket's name."},
    {setting<&Settings::listen_backlog>("listen_backlog", {.min = 1}), Change::Restart,
     "How many connections the kernel holds that were not accepted yet."},
    {setting<&Settings::unix_socket_dir>("unix_socket_dir"), Change::Restart,
     "Directory of the unix socket; @name is abstract, nothing is no unix socket."},
    {setting<&Settings::unix_socket_mode>("unix_socket_mode"), Change::Restart,
     "File mode of the unix socket, in octal."},
    {setting<&Settings::unix_socket_group>("unix_socket_group"), Change::Restart,
     "Group that owns the unix socket; nothing is the group of the process."},
    {setting<&Settings::so_reuseport>("so_reuseport"), Change::Restart,
     "Let several processes listen on one port.", State::Later},
};

constexpr Setting kNetwork[] = {
    {setting<&Settings::max_packet_size>("max_packet_size", {.min = 1024, .max = 2147483647}),
     Change::Reload, "Largest message that is let through."},
    {setting<&Settings::pkt_buf>("pkt_buf", {.min = 1, .max = kGigabyte}), Change::Restart,
     "Buffer of an active connection in PgBouncer; buffers here size themselves.", State::Later},
    {setting<&Settings::sbuf_loopcnt>("sbuf_loopcnt"), Change::Reload,
     "Reads in a row from one connection in PgBouncer; a turn here reads once.", State::Later},
    {setting<&Settings::tcp_defer_accept>("tcp_defer_accept"), Change::Reload,
     "Accept a TCP connection only when its first bytes are there; 0 is at once."},
    {setting<&Settings::tcp_socket_buffer>("tcp_socket_buffer", {.max = kGigabyte}), Change::Reload,
     "Size of the kernel's socket buffers; 0 is the kernel's choice."},
    {setting<&Settings::tcp_keepalive>("tcp_keepalive"), Change::Reload,
     "Let the kernel probe quiet TCP connections."},
    {setting<&Settings::tcp_keepcnt>("tcp_keepcnt"), Change::Reload,
     "Probes without an answer until a connection is dead; 0 is the kernel's choice."},
    {setting<&Settings::tcp_keepidle>("tcp_keepidle"), Change::Reload,
     "Quiet time before the first probe; 0 is the kernel's choice."},
    {setting<&Settings::tcp_keepintvl>("tcp_keepintvl"), Change::Reload,
     "Time between two probes; 0 is the kernel's choice."},
    {setting<&Settings::tcp_user_timeout>("tcp_user_timeout", {.unit = Unit::Millisecond}),
     Change::Reload, "How long sent bytes may stay unacknowledged; 0 is the kernel's choice."},
    {setting<&Settings::dns_max_ttl>("dns_max_ttl"), Change::Reload,
     "How long an address that was looked up is used."},
    {setting<&Settings::dns_nxdomain_ttl>("dns_nxdomain_ttl"), Change::Reload,
     "How long a name that was not found is not asked for again."},
    {setting<&Settings::dns_zone_check_period>("dns_zone_check_period"), Change::Reload,
     "How often the serial numbers of DNS zones are looked at; 0 is never.", State::Later},
    {setting<&Settings::resolv_conf>("resolv_conf"), Change::Restart, "A resolv.conf of our own.",
     State::Later},
};

constexpr std::string_view kDhChoices[] = {"auto", "none", "legacy"};

// Never accept plain text where encryption is demanded: such a mode is an error until there is TLS.
Verdict judge_mode(SslMode mode) {
  if (mode < SslMode::Require) return {};
  return {Verdict::Kind::Refused,
          "\"" + std::string(name(mode)) +
              "\" demands TLS, which is not supported yet: disable, allow, prefer"};
}

Verdict judge_client_mode(const Settings& settings) {
  if (settings.client_tls_sslmode == SslMode::Allow ||
      settings.client_tls_sslmode == SslMode::Prefer) {
    return {Verdict::Kind::Notice,
            "TLS is not supported yet: clients that ask for it are told to go on without"};
  }
  return judge_mode(settings.client_tls_sslmode);
}

Verdict judge_server_mode(const Settings& settings) {
  if (settings.server_tls_sslmode == SslMode::Allow) {
    return {Verdict::Kind::Notice, "TLS is not supported yet: servers are reached without"};
  }
  return judge_mode(settings.server_tls_sslmode);
}

constexpr Setting kTls[] = {
    {setting<&Settings::client_tls_sslmode>("client_tls_sslmode"), Change::Reload,
     "Whether clients can or must use TLS.", State::Works, judge_client_mode},
    {setting<&Settings::client_tls_key_file>("client_tls_key_file"), Change::Reload,
     "Private key shown to clients.", State::Later},
    {setting<&Settings::client_tls_cert_file>("client_tls_cert_file"), Change::Reload,
     "Certificate shown to clients.", State::Later},
    {setting<&Settings::client_tls_ca_file>("client_tls_ca_file"), Change::Reload,
     "Authorities that may have signed a client's certificate.", State::Later},
    {setting<&Settings::client_tls_protocols>("client_tls_protocols"), Change::Reload,
     "TLS versions for clients: tlsv1.0 to tlsv1.3, all, or secure (1.2 and 1.3).", State::Later},
    {setting<&Settings::client_tls_ciphers>("client_tls_ciphers"), Change::Reload,
     "Ciphers for clients up to TLS 1.2, as OpenSSL lists them.", State::Later},
    {setting<&Settings::client_tls13_ciphers>("client_tls13_ciphers"), Change::Reload,
     "Cipher suites for clients with TLS 1.3.", State::Later},
    {setting<&Settings::client_tls_dheparams>("client_tls_dheparams", {.choices = kDhChoices}),
     Change::Reload, "Diffie-Hellman parameters for clients: auto, none or legacy.", State::Later},
    {setting<&Settings::client_tls_ecdhcurve>("client_tls_ecdhcurve"), Change::Reload,
     "Elliptic curve for clients: auto, none or a name.", State::Later},
    {setting<&Settings::server_tls_sslmode>("server_tls_sslmode"), Change::Reload,
     "Whether servers are reached with TLS.", State::Works, judge_server_mode},
    {setting<&Settings::server_tls_key_file>("server_tls_key_file"), Change::Reload,
     "Private key shown to servers.", State::Later},
    {setting<&Settings::server_tls_cert_file>("server_tls_cert_file"), Change::Reload,
     "Certificate shown to servers.", State::Later},
    {setting<&Settings::server_tls_ca_file>("server_tls_ca_file"), Change::Reload,
     "Authorities that must have signed a server's certificate.", State::Later},
    {setting<&Settings::server_tls_protocols>("server_tls_protocols"), Change::Reload,
     "TLS versions for servers: tlsv1.0 to tlsv1.3, all, or secure (1.2 and 1.3).", State::Later},
    {setting<&Settings::server_tls_ciphers>("server_tls_ciphers"), Change::Reload,
     "Ciphers for servers up to TLS 1.2, as OpenSSL lists them.", State::Later},
    {setting<&Settings::server_tls13_ciphers>("server_tls13_ciphers"), Change::Reload,
     "Cipher suites for servers with TLS 1.3.", State::Later},
};

}  // namespace

Group listen_group() { return {"Where clients connect", kListen}; }
Group network_group() { return {"Network and names", kNetwork}; }
Group tls_group() { return {"TLS", kTls}; }

}  // namespace doorman::config
