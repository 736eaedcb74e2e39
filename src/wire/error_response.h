// ErrorResponse and NoticeResponse: what went wrong, in the words and codes of PostgreSQL.
//
// Protocol: PostgreSQL documentation, "Error and Notice Message Fields"; "PostgreSQL Error Codes".
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace doorman::wire {

// The SQLSTATEs that we send ourselves.
namespace sqlstate {
inline constexpr std::string_view kProtocolViolation = "08P01";
inline constexpr std::string_view kConnectionFailure = "08006";
inline constexpr std::string_view kCannotConnect = "08001";
inline constexpr std::string_view kFeatureNotSupported = "0A000";
inline constexpr std::string_view kInvalidAuthorization = "28000";
inline constexpr std::string_view kInvalidPassword = "28P01";
inline constexpr std::string_view kInvalidDatabase = "3D000";
inline constexpr std::string_view kInvalidParameterValue = "22023";
inline constexpr std::string_view kUndefinedObject = "42704";
inline constexpr std::string_view kSyntaxError = "42601";
inline constexpr std::string_view kInsufficientPrivilege = "42501";
inline constexpr std::string_view kOutOfMemory = "53200";
inline constexpr std::string_view kTooManyConnections = "53300";
inline constexpr std::string_view kConfigurationLimit = "53400";
inline constexpr std::string_view kLimitExceeded = "54000";
inline constexpr std::string_view kQueryCanceled = "57014";
inline constexpr std::string_view kAdminShutdown = "57P01";
inline constexpr std::string_view kCannotConnectNow = "57P03";
inline constexpr std::string_view kIdleSessionTimeout = "57P05";
inline constexpr std::string_view kIdleInTransactionTimeout = "25P03";
inline constexpr std::string_view kSyntaxOrRule = "42000";
}  // namespace sqlstate

enum class Severity { Error, Fatal, Notice, Warning };

// A whole message: ErrorResponse for Error and Fatal, else NoticeResponse.
std::string error_response(Severity severity, std::string_view sqlstate, std::string_view message,
                           std::string_view hint = {});

// One field of the body of an ErrorResponse or NoticeResponse ('C' code, 'M' message, 'V'
// severity); empty where it is not there.
std::string_view error_field(Bytes body, char field);

// The whole message again, as FATAL: how an error while a server takes over a client's parameters
// looks to the client, whose start-up it is.
std::string as_fatal(Bytes body);

}  // namespace doorman::wire
