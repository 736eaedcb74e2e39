// The first packet of a connection: what a client asks for before it has logged in.
//
// Protocol: PostgreSQL documentation, "Message Flow", "Start-up", and "Message Formats",
// StartupMessage, CancelRequest, SSLRequest, GSSENCRequest, NegotiateProtocolVersion.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "wire/message_writer.h"

namespace doorman::wire {

inline constexpr std::size_t kMaxStartupLength = 10'000;  // PostgreSQL's MAX_STARTUP_PACKET_LENGTH
inline constexpr std::uint16_t kNewestMinor = 2;          // we speak 3.0 and 3.2

struct SslRequest {};
struct GssRequest {};
struct CancelRequest {
  std::string key;  // process id and secret: 8 bytes, with protocol 3.2 up to 260
};
struct Startup {
  std::uint16_t minor = 0;
  std::vector<Parameter> parameters;         // in their order, without protocol options
  std::vector<std::string> unknown_options;  // names that begin with _pq_.
};
using StartupPacket = std::variant<SslRequest, GssRequest, CancelRequest, Startup>;

// The length of the packet at the front of `input`, nullopt while that is not known.
// Error: no packet of ours.
Result<std::optional<std::size_t>> startup_length(Bytes input);

// One whole packet. An Error's text is PostgreSQL's.
Result<StartupPacket> parse_startup(Bytes packet);

// What NegotiateProtocolVersion answers to a client that wants more than we know.
std::string negotiate_protocol_version(std::uint16_t minor,
                                       const std::vector<std::string>& unknown);

// The settings in a startup packet's `options`, as PostgreSQL reads them: -c name=value,
// --name=value, blanks escaped by a backslash. Error: a switch that only PostgreSQL could judge.
Result<std::vector<Parameter>> parse_options(std::string_view options);

}  // namespace doorman::wire
