// A value of the configuration file as text, and as what it means: both ways, for each type that a
// key can have.
//
// Knows no keys. An Error says what is wrong with the value and what would be right; whoever reads
// the file adds where it stands.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/settings.h"

namespace doorman::config {

// What a bare number counts: PgBouncer's unit of that key.
enum class Unit { Second, Millisecond };

// What a type alone does not say of a value. `min` and `max` are inclusive, and in `unit` for
// times.
struct Rules {
  std::int64_t min = 0;
  std::int64_t max = std::numeric_limits<std::int32_t>::max();
  Unit unit = Unit::Second;
  int base = 0;  // of whole numbers; 0: as C writes them, 012 and 0x0a are ten
  std::span<const std::string_view> choices = {};  // of a text; none: anything
};

// read() leaves `into` alone when it fails.
Result<> read(std::string_view text, const Rules& rules, bool& into);
Result<> read(std::string_view text, const Rules& rules, int& into);
Result<> read(std::string_view text, const Rules& rules, std::uint16_t& into);
Result<> read(std::string_view text, const Rules& rules, std::uint32_t& into);  // a file mode
Result<> read(std::string_view text, const Rules& rules, std::uint64_t& into);  // a size
Result<> read(std::string_view text, const Rules& rules, Duration& into);
Result<> read(std::string_view text, const Rules& rules, std::string& into);
Result<> read(std::string_view text, const Rules& rules, std::vector<std::string>& into);
Result<> read(std::string_view text, const Rules& rules, PoolMode& into);
Result<> read(std::string_view text, const Rules& rules, AuthType& into);
Result<> read(std::string_view text, const Rules& rules, LoadBalance& into);
Result<> read(std::string_view text, const Rules& rules, SslMode& into);

template <class T>
Result<> read(std::string_view text, const Rules& rules, std::optional<T>& into) {
  T value{};
  TRY(read(text, rules, value));
  into = std::move(value);
  return {};
}

// What read() would read as the same value, in PgBouncer's own form.
std::string write(bool value, const Rules& rules);
std::string write(int value, const Rules& rules);
std::string write(std::uint16_t value, const Rules& rules);
std::string write(std::uint32_t value, const Rules& rules);
std::string write(std::uint64_t value, const Rules& rules);
std::string write(Duration value, const Rules& rules);
std::string write(const std::string& value, const Rules& rules);
std::string write(const std::vector<std::string>& value, const Rules& rules);
std::string write(PoolMode value, const Rules& rules);
std::string write(AuthType value, const Rules& rules);
std::string write(LoadBalance value, const Rules& rules);
std::string write(SslMode value, const Rules& rules);

// Without blanks at either end.
std::string_view trim(std::string_view text);

}  // namespace doorman::config
