// What is counted of each pool: plain integers of one worker, summed by whoever shows them.
#pragma once

#include <cstdint>

namespace doorman::session {

struct Counters {
  std::uint64_t server_assignments = 0;
  std::uint64_t transactions = 0;
  std::uint64_t queries = 0;
  std::uint64_t received_bytes = 0;  // from clients
  std::uint64_t sent_bytes = 0;      // to clients
  std::uint64_t transaction_us = 0;
  std::uint64_t query_us = 0;
  std::uint64_t wait_us = 0;
  std::uint64_t client_parses = 0;  // named Parse messages of clients
  std::uint64_t server_parses = 0;  // of which servers got this many
  std::uint64_t binds = 0;
  std::uint64_t logins = 0;
  std::uint64_t statement_hits = 0;
  std::uint64_t statement_misses = 0;
  std::uint64_t statement_evictions = 0;
  std::uint64_t parses_saved = 0;  // of clients, answered without a server

  void add(const Counters& other) {
    server_assignments += other.server_assignments;
    transactions += other.transactions;
    queries += other.queries;
    received_bytes += other.received_bytes;
    sent_bytes += other.sent_bytes;
    transaction_us += other.transaction_us;
    query_us += other.query_us;
    wait_us += other.wait_us;
    client_parses += other.client_parses;
    server_parses += other.server_parses;
    binds += other.binds;
    logins += other.logins;
    statement_hits += other.statement_hits;
    statement_misses += other.statement_misses;
    statement_evictions += other.statement_evictions;
    parses_saved += other.parses_saved;
  }
};

}  // namespace doorman::session
