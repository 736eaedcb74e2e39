// What the records of clients and servers have in common: parts of them that are records again.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/record.h"
#include "base/result.h"
#include "net/address.h"
#include "session/parameters.h"
#include "session/statements.h"
#include "wire/framer.h"

namespace doorman::session {

inline std::uint64_t to_number(Instant at) {
  return static_cast<std::uint64_t>(at.time_since_epoch().count());
}
inline Instant to_instant(std::uint64_t number) {
  return Instant(Duration(static_cast<Duration::rep>(number)));
}

std::string save_parameters(const std::vector<Parameter>& parameters);
Result<std::vector<Parameter>> load_parameters(std::string_view record);
Result<Parameters> load_set(ParameterSets& sets, std::string_view record);

std::string save_statement(const Statement& statement);
Result<StatementRef> load_statement(StatementRegistry& registry, std::string_view record);
// A client's name for a statement, without the statement's text, which is a record of its own.
std::string save_name(const ClientStatement& statement);
Result<std::string> without_text(std::string_view client_statement);
std::uint64_t serial_of(std::string_view client_statement);  // 0: it has none
std::string save_client_statement(const ClientStatement& statement);
Result<ClientStatementRef> load_client_statement(StatementRegistry& registry,
                                                 std::string_view record);

std::string save_framer(const wire::Framer& framer);
wire::Framer load_framer(std::string_view record);

std::string save_address(const net::Address& address);
net::Address load_address(std::string_view record);

}  // namespace doorman::session
