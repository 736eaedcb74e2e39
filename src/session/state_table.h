// Which state may follow which, as a table: asked twice per query.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace doorman::session {

template <class State>
using StateTable = std::array<std::uint16_t, 16>;  // more than a session has states; a bit for each

template <class State>
constexpr StateTable<State> successors(bool (*is_successor)(State from, State to)) {
  StateTable<State> table{};
  for (std::size_t from = 0; from < table.size(); ++from) {
    for (std::size_t to = 0; to < table.size(); ++to) {
      const bool may = is_successor(static_cast<State>(from), static_cast<State>(to));
      table[from] = static_cast<std::uint16_t>(table[from] | (may ? 1U << to : 0U));
    }
  }
  return table;
}

template <class State>
constexpr bool has_successor(const StateTable<State>& table, State from, State to) {
  return (table[static_cast<std::size_t>(from)] >> static_cast<int>(to) & 1) != 0;
}

}  // namespace doorman::session
