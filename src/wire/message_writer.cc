#include "wire/message_writer.h"

#include "base/check.h"

namespace doorman::wire {

namespace {

constexpr std::uint32_t kProtocol30 = 3U << 16U;
constexpr std::uint32_t kCancelCode = (1234U << 16U) | 5678U;

// The length that a type has in pg_type, for RowDescription: -1 where it varies.
std::uint16_t type_length(std::uint32_t type) {
  switch (type) {
    case 20: return 8;
    case 23: return 4;
    default: return 0xffff;
  }
}

}  // namespace

MessageWriter& MessageWriter::begin(char type) {
  out_.push_back(type);
  return begin_untyped();
}

MessageWriter& MessageWriter::begin_untyped() {
  length_at_ = out_.size();
  append_u32(out_, 0);
  return *this;
}

MessageWriter& MessageWriter::u16(std::uint16_t value) {
  append_u16(out_, value);
  return *this;
}

MessageWriter& MessageWriter::u32(std::uint32_t value) {
  append_u32(out_, value);
  return *this;
}

MessageWriter& MessageWriter::text(std::string_view value) {
  out_.append(value).push_back('\0');
  return *this;
}

MessageWriter& MessageWriter::raw(std::string_view bytes) {
  out_.append(bytes);
  return *this;
}

MessageWriter& MessageWriter::end() { return set_length(out_.size() - length_at_); }

MessageWriter& MessageWriter::set_length(std::size_t length) {
  CHECK(length <= UINT32_MAX);
  write_u32(reinterpret_cast<std::byte*>(out_.data()) + length_at_,
            static_cast<std::uint32_t>(length));
  return *this;
}

std::string startup_message(const std::vector<Parameter>& parameters) {
  MessageWriter out;
  out.begin_untyped().u32(kProtocol30);
  for (const Parameter& each : parameters) out.text(each.name).text(each.value);
  return out.byte('\0').end().take();
}

std::string cancel_request(std::string_view key) {
  return MessageWriter().begin_untyped().u32(kCancelCode).raw(key).end().take();
}

std::string query(std::string_view sql) {
  return MessageWriter().begin('Q').text(sql).end().take();
}

std::string parse(std::string_view name, std::string_view sql) {
  return MessageWriter().begin('P').text(name).text(sql).u16(0).end().take();
}

std::string bind(const std::vector<std::optional<std::string>>& text_values) {
  MessageWriter out;
  out.begin('B').text("").text("").u16(0).u16(static_cast<std::uint16_t>(text_values.size()));
  for (const auto& value : text_values) {
    out.u32(value ? static_cast<std::uint32_t>(value->size()) : UINT32_MAX);
    if (value) out.raw(*value);
  }
  return out.u16(0).end().take();
}

std::string execute() { return MessageWriter().begin('E').text("").u32(0).end().take(); }

std::string sync() { return empty_message('S'); }

std::string close_statement(std::string_view name) {
  return MessageWriter().begin('C').byte('S').text(name).end().take();
}

std::string terminate() { return empty_message('X'); }

std::string authentication(std::uint32_t code, std::string_view data) {
  return MessageWriter().begin('R').u32(code).raw(data).end().take();
}

std::string password_message(std::string_view data) {
  return MessageWriter().begin('p').raw(data).end().take();
}

std::string parameter_status(std::string_view name, std::string_view value) {
  return MessageWriter().begin('S').text(name).text(value).end().take();
}

std::string backend_key_data(std::string_view key) {
  return MessageWriter().begin('K').raw(key).end().take();
}

std::string ready_for_query(char status) {
  return MessageWriter().begin('Z').byte(status).end().take();
}

std::string empty_message(char type) { return MessageWriter().begin(type).end().take(); }

std::string row_description(const std::vector<Column>& columns) {
  MessageWriter out;
  out.begin('T').u16(static_cast<std::uint16_t>(columns.size()));
  for (const Column& column : columns) {
    out.text(column.name).u32(0).u16(0).u32(column.type).u16(type_length(column.type));
    out.u32(UINT32_MAX).u16(0);
  }
  return out.end().take();
}

std::string data_row(const std::vector<std::optional<std::string>>& values) {
  MessageWriter out;
  out.begin('D').u16(static_cast<std::uint16_t>(values.size()));
  for (const auto& value : values) {
    out.u32(value ? static_cast<std::uint32_t>(value->size()) : UINT32_MAX);
    if (value) out.raw(*value);
  }
  return out.end().take();
}

std::string command_complete(std::string_view tag) {
  return MessageWriter().begin('C').text(tag).end().take();
}

}  // namespace doorman::wire
