#include "wire/error_response.h"

#include "wire/message_reader.h"
#include "wire/message_writer.h"

namespace doorman::wire {

std::string error_response(Severity severity, std::string_view sqlstate, std::string_view message,
                           std::string_view hint) {
  static constexpr std::string_view kNames[] = {"ERROR", "FATAL", "NOTICE", "WARNING"};
  const std::string_view name = kNames[static_cast<int>(severity)];
  const bool error = severity == Severity::Error || severity == Severity::Fatal;
  MessageWriter out;
  out.begin(error ? 'E' : 'N').byte('S').text(name).byte('V').text(name);
  out.byte('C').text(sqlstate).byte('M').text(message);
  if (!hint.empty()) out.byte('H').text(hint);
  return out.byte('\0').end().take();
}

std::string_view error_field(Bytes body, char field) {
  MessageReader reader(body);
  while (true) {
    const char type = reader.byte();
    if (type == '\0') return {};
    const std::string_view value = reader.text();
    if (reader.failed()) return {};
    if (type == field) return value;
  }
}

std::string as_fatal(Bytes body) {
  MessageWriter out;
  out.begin('E');
  MessageReader reader(body);
  while (true) {
    const char type = reader.byte();
    if (type == '\0') break;
    const std::string_view value = reader.text();
    if (reader.failed()) break;
    out.byte(type).text(type == 'S' || type == 'V' ? "FATAL" : value);
  }
  return out.byte('\0').end().take();
}

}  // namespace doorman::wire
