// Messages as a scripted client or server says them: the words of a conversation test.
//
// Builds bytes only; world.h has those who say them. Where wire/message_writer.h has the message,
// its function is used, so `using namespace` of both gives the whole vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wire/error_response.h"
#include "wire/message_writer.h"

namespace doorman::conversation {

using wire::close_statement;
using wire::command_complete;
using wire::execute;
using wire::parameter_status;
using wire::parse;
using wire::query;
using wire::sync;
using wire::terminate;

inline std::string message(char type, std::string_view body) {
  return wire::MessageWriter().begin(type).raw(body).end().take();
}

// Of the client.
inline std::string bind(std::string_view statement, std::string_view portal = "") {
  return wire::MessageWriter()
      .begin('B')
      .text(portal)
      .text(statement)
      .u16(0)
      .u16(0)
      .u16(0)
      .end()
      .take();
}
inline std::string describe(std::string_view statement) {
  return wire::MessageWriter().begin('D').byte('S').text(statement).end().take();
}
// No more than `rows` of the unnamed portal.
inline std::string execute_some(std::uint32_t rows) {
  return wire::MessageWriter().begin('E').text("").u32(rows).end().take();
}
inline std::string flush() { return wire::empty_message('H'); }
inline std::string copy_data(std::string_view data) { return message('d', data); }
inline std::string copy_done() { return wire::empty_message('c'); }
inline std::string copy_fail(std::string_view why) {
  return wire::MessageWriter().begin('f').text(why).end().take();
}

// Of the server.
inline std::string ready(char status = 'I') { return wire::ready_for_query(status); }
inline std::string row(std::string_view value) { return wire::data_row({std::string(value)}); }
inline std::string columns() { return wire::row_description({{.name = "c", .type = 25}}); }
inline std::string parse_complete() { return wire::empty_message('1'); }
inline std::string bind_complete() { return wire::empty_message('2'); }
inline std::string close_complete() { return wire::empty_message('3'); }
inline std::string suspended() { return wire::empty_message('s'); }
inline std::string no_data() { return wire::empty_message('n'); }
inline std::string parameter_description() {
  return wire::MessageWriter().begin('t').u16(0).end().take();
}
inline std::string copy_in() {
  return wire::MessageWriter().begin('G').byte(0).u16(0).end().take();
}
inline std::string copy_out() {
  return wire::MessageWriter().begin('H').byte(0).u16(0).end().take();
}
inline std::string error(std::string_view sqlstate, std::string_view text) {
  return wire::error_response(wire::Severity::Error, sqlstate, text);
}
inline std::string fatal(std::string_view sqlstate, std::string_view text) {
  return wire::error_response(wire::Severity::Fatal, sqlstate, text);
}
inline std::string notice(std::string_view text) {
  return wire::error_response(wire::Severity::Notice, "00000", text);
}
// A result of one row, from its description to its tag; and what Execute gives of it.
inline std::string result(std::string_view value) {
  return columns() + row(value) + command_complete("SELECT 1");
}
inline std::string executed(std::string_view value) {
  return row(value) + command_complete("SELECT 1");
}

// What a server answers to a change of parameters that the pooler put in.
inline std::string parameters_changed() {
  return parse_complete() + bind_complete() + row("x") + command_complete("SELECT 1") + ready();
}

// Printable, one message a line, so that a failed comparison can be read.
std::string readable(std::string_view stream);

}  // namespace doorman::conversation
