// Builds PostgreSQL v3 messages, of the frontend and of the backend.
//
// Protocol: PostgreSQL documentation, "Message Formats".
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace doorman::wire {

// Several messages, one behind the other.
class MessageWriter {
 public:
  MessageWriter& begin(char type);
  MessageWriter& begin_untyped();  // StartupMessage, SSLRequest, CancelRequest
  MessageWriter& byte(char value) {
    out_.push_back(value);
    return *this;
  }
  MessageWriter& u16(std::uint16_t value);
  MessageWriter& u32(std::uint32_t value);
  MessageWriter& text(std::string_view value);  // with its closing zero byte
  MessageWriter& raw(std::string_view bytes);
  MessageWriter& end();
  // The current message is so long as a whole: the rest of it comes from elsewhere.
  MessageWriter& set_length(std::size_t length);
  // Begins anew and keeps its memory.
  MessageWriter& clear() {
    out_.clear();
    return *this;
  }

  const std::string& bytes() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
  std::size_t length_at_ = 0;
};

struct Parameter {
  std::string name;
  std::string value;
  bool operator==(const Parameter&) const = default;
};

// Whole messages.
std::string startup_message(const std::vector<Parameter>& parameters);
std::string cancel_request(
    std::string_view key);  // process id and secret, as BackendKeyData has them
std::string query(std::string_view sql);
std::string parse(std::string_view name, std::string_view sql);
std::string bind(const std::vector<std::optional<std::string>>& text_values);  // unnamed to unnamed
std::string execute();                                                         // unnamed, all rows
std::string sync();
std::string close_statement(std::string_view name);
std::string terminate();
std::string authentication(std::uint32_t code, std::string_view data);
std::string password_message(std::string_view data);
std::string parameter_status(std::string_view name, std::string_view value);
std::string backend_key_data(std::string_view key);
std::string ready_for_query(char status);
std::string empty_message(char type);  // ParseComplete and its like

// Rows as text, for the console.
struct Column {
  std::string name;
  std::uint32_t type;  // OID: 25 text, 23 int4, 20 int8, 1700 numeric
};
std::string row_description(const std::vector<Column>& columns);
std::string data_row(const std::vector<std::optional<std::string>>& values);
std::string command_complete(std::string_view tag);

}  // namespace doorman::wire
