// Table: rows of text under typed columns, as the operator's commands answer. A plain value; how a
// face shows it (messages of the protocol, D-Bus, text) is that face's business.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "wire/message_writer.h"

namespace doorman::control {

// PostgreSQL's OIDs of the types that we use.
enum class Type : std::uint32_t { Int8 = 20, Int4 = 23, Text = 25, Numeric = 1700 };

using Cell = std::optional<std::string>;  // nullopt: NULL
using Row = std::vector<Cell>;

struct Table {
  std::vector<wire::Column> columns = {};
  std::vector<Row> rows = {};
};

// Several columns of one type; their names stand in one text, with blanks between them.
struct Columns {
  Type type;
  std::string_view names;
};
std::vector<wire::Column> columns(std::initializer_list<Columns> runs);

inline Cell cell(std::string_view text) { return std::string(text); }
inline Cell cell(std::nullopt_t /*null*/) { return std::nullopt; }
inline Cell cell(const Cell& known) { return known; }
template <std::integral T>
Cell cell(T number) {
  if constexpr (std::is_same_v<T, bool>) {
    return std::string(number ? "1" : "0");
  } else {
    return std::to_string(number);
  }
}

template <class... Values>
Row row(const Values&... values) {
  return Row{cell(values)...};
}

inline std::string_view yes_or_no(bool value) { return value ? "yes" : "no"; }

}  // namespace doorman::control
