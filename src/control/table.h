// Table: rows of text under typed columns, as the operator's commands answer. A plain value; how a
// face shows it (messages of the protocol, D-Bus, text) is that face's business.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
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

// A value as PgBouncer shows it: booleans are 1 and 0.
template <class T>
Cell cell(const T& value) {
  if constexpr (std::same_as<T, bool>) {
    return std::string(value ? "1" : "0");
  } else if constexpr (std::integral<T>) {
    return std::to_string(value);
  } else if constexpr (std::convertible_to<T, std::string_view>) {
    return std::string(std::string_view(value));
  } else {
    return value;
  }
}

template <class... Values>
Row row(const Values&... values) {
  return Row{cell(values)...};
}

inline std::string_view yes_or_no(bool value) { return value ? "yes" : "no"; }

}  // namespace doorman::control
