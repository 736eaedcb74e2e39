#include "config/value.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "config/nearest.h"

namespace doorman::config {
namespace {

constexpr std::string_view kBlanks = " \t\v\f\r\n";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

Error wrong(std::string message) { return Error{ErrorCode::Config, std::move(message)}; }

Error not_one_of(std::string_view text, std::span<const std::string_view> choices) {
  return wrong(
      fmt::format("\"{}\" is not one of {}{}", text, listed(choices), suggestion(text, choices)));
}

// A whole number as C writes it: 10, 0x0a, 012. nullopt: it is none, or does not fit.
std::optional<std::int64_t> whole_number(std::string_view text, int base) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (base == 0) {
    base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
      base = 16;
      text.remove_prefix(2);
    } else if (text.size() > 1 && text.front() == '0') {
      base = 8;
    }
  }
  if (text.empty() || text.front() == '-') return std::nullopt;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return negative ? -number : number;
}

Result<std::int64_t> number_within(std::string_view text, const Rules& rules) {
  const std::optional<std::int64_t> number = whole_number(text, rules.base);
  if (!number) {
    return wrong(
        fmt::format("\"{}\" is not a whole number ({} to {})", text, rules.min, rules.max));
  }
  if (*number < rules.min || *number > rules.max) {
    return wrong(fmt::format("{} is out of range: {} to {}", text, rules.min, rules.max));
  }
  return *number;
}

struct Factor {
  std::string_view unit;
  double factor;
};

constexpr std::array<Factor, 7> kTimes = {{{"us", 1},
                                           {"ms", 1e3},
                                           {"s", 1e6},
                                           {"min", 60e6},
                                           {"h", 3600e6},
                                           {"d", 86400e6},
                                           {"", 0}}};  // no unit: the key's own
constexpr std::array<Factor, 5> kSizes = {
    {{"B", 1}, {"kB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"", 1}}};

// `text`, a number that may have a fraction and a unit, in the smallest unit.
Result<double> measured(std::string_view text, std::span<const Factor> factors, double bare) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  const std::string_view digits(text.data(), static_cast<std::size_t>(end - text.data()));
  // from_chars() takes "inf" and "nan" too.
  if (error != std::errc() || !is_digit(digits.back())) {
    return wrong(fmt::format("\"{}\" is not a number", text));
  }
  const std::string_view unit = trim(text.substr(digits.size()));
  std::vector<std::string_view> units;
  for (const Factor& known : factors) {
    if (same_word(unit, known.unit)) return number * (unit.empty() ? bare : known.factor);
    if (!known.unit.empty()) units.push_back(known.unit);
  }
  return wrong(fmt::format("\"{}\" has an unknown unit \"{}\": {}", text, unit, listed(units)));
}

double in_microseconds(Unit unit) { return unit == Unit::Second ? 1e6 : 1e3; }
std::string_view unit_name(Unit unit) { return unit == Unit::Second ? "s" : "ms"; }

template <class E, std::size_t N>
struct Words {
  std::array<std::string_view, N> names;
  std::array<E, N> values;

  Result<> read_into(std::string_view text, E& into) const {
    for (std::size_t i = 0; i < N; ++i) {
      if (!same_word(text, names[i])) continue;
      into = values[i];
      return {};
    }
    return not_one_of(text, names);
  }

  std::string_view name_of(E value) const {
    for (std::size_t i = 0; i < N; ++i) {
      if (values[i] == value) return names[i];
    }
    CHECK(false);
  }
};

constexpr Words<bool, 8> kBooleans = {{"1", "0", "yes", "no", "on", "off", "true", "false"},
                                      {true, false, true, false, true, false, true, false}};
constexpr Words<PoolMode, 3> kPoolModes = {
    {"session", "transaction", "statement"},
    {PoolMode::Session, PoolMode::Transaction, PoolMode::Statement}};
// "password" is the word of HBA files for plain.
constexpr Words<AuthType, 11> kAuthTypes = {
    {"any", "trust", "plain", "password", "md5", "scram-sha-256", "cert", "hba", "ldap", "pam",
     "reject"},
    {AuthType::Any, AuthType::Trust, AuthType::Plain, AuthType::Plain, AuthType::Md5,
     AuthType::Scram, AuthType::Cert, AuthType::Hba, AuthType::Ldap, AuthType::Pam,
     AuthType::Reject}};
constexpr Words<LoadBalance, 2> kLoadBalances = {{"round-robin", "disable"},
                                                 {LoadBalance::RoundRobin, LoadBalance::Disable}};
constexpr Words<SslMode, 6> kSslModes = {
    {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
    {SslMode::Disable, SslMode::Allow, SslMode::Prefer, SslMode::Require, SslMode::VerifyCa,
     SslMode::VerifyFull}};

}  // namespace

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

Result<> read(std::string_view text, const Rules&, bool& into) {
  return kBooleans.read_into(text, into);
}

Result<> read(std::string_view text, const Rules& rules, int& into) {
  into = static_cast<int>(TRY(number_within(text, rules)));
  return {};
}

Result<> read(std::string_view text, const Rules& rules, std::uint16_t& into) {
  into = static_cast<std::uint16_t>(TRY(number_within(text, rules)));
  return {};
}

Result<> read(std::string_view text, const Rules&, std::uint32_t& into) {
  const std::optional<std::int64_t> mode = whole_number(text, /*base=*/8);
  if (!mode || *mode < 0 || *mode > 0777) {
    return wrong(fmt::format("\"{}\" is not an octal file mode (0000 to 0777)", text));
  }
  into = static_cast<std::uint32_t>(*mode);
  return {};
}

Result<> read(std::string_view text, const Rules& rules, std::uint64_t& into) {
  // Without a unit it is a count of bytes, in C's notation as every whole number.
  const std::optional<std::int64_t> bare = whole_number(text, rules.base);
  const double bytes = bare ? static_cast<double>(*bare) : TRY(measured(text, kSizes, 1));
  if (bytes < static_cast<double>(rules.min) || bytes > static_cast<double>(rules.max)) {
    return wrong(fmt::format("{} is out of range: {} to {} bytes", text, rules.min, rules.max));
  }
  into = static_cast<std::uint64_t>(std::llround(bytes));
  return {};
}

Result<> read(std::string_view text, const Rules& rules, Duration& into) {
  const double bare = in_microseconds(rules.unit);
  const double time = TRY(measured(text, kTimes, bare));
  if (time < static_cast<double>(rules.min) * bare ||
      time > static_cast<double>(rules.max) * bare) {
    return wrong(fmt::format("{} is out of range: {} to {} {}", text, rules.min, rules.max,
                             unit_name(rules.unit)));
  }
  into = Duration(std::llround(time));
  return {};
}

Result<> read(std::string_view text, const Rules& rules, std::string& into) {
  if (!rules.choices.empty()) {
    bool known = false;
    for (const std::string_view choice : rules.choices) known = known || text == choice;
    if (!known) return not_one_of(text, rules.choices);
  }
  into = text;
  return {};
}

Result<> read(std::string_view text, const Rules&, std::vector<std::string>& into) {
  into.clear();
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    if (const std::string_view word = trim(text.substr(0, comma)); !word.empty()) {
      into.emplace_back(word);
    }
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return {};
}

Result<> read(std::string_view text, const Rules&, PoolMode& into) {
  return kPoolModes.read_into(text, into);
}
Result<> read(std::string_view text, const Rules&, AuthType& into) {
  return kAuthTypes.read_into(text, into);
}
Result<> read(std::string_view text, const Rules&, LoadBalance& into) {
  return kLoadBalances.read_into(text, into);
}
Result<> read(std::string_view text, const Rules&, SslMode& into) {
  return kSslModes.read_into(text, into);
}

std::string_view name(PoolMode mode) { return kPoolModes.name_of(mode); }
std::string_view name(AuthType type) { return kAuthTypes.name_of(type); }
std::string_view name(LoadBalance balance) { return kLoadBalances.name_of(balance); }
std::string_view name(SslMode mode) { return kSslModes.name_of(mode); }

std::string write(bool value, const Rules&) { return value ? "1" : "0"; }
std::string write(int value, const Rules&) { return std::to_string(value); }
std::string write(std::uint16_t value, const Rules&) { return std::to_string(value); }
std::string write(std::uint32_t value, const Rules&) { return fmt::format("{:04o}", value); }
std::string write(std::uint64_t value, const Rules&) { return std::to_string(value); }

std::string write(Duration value, const Rules& rules) {
  const auto unit = static_cast<std::int64_t>(in_microseconds(rules.unit));
  std::string text = std::to_string(value.count() / unit);
  if (const std::int64_t rest = value.count() % unit; rest != 0) {
    text += fmt::format(".{:0{}}", rest, rules.unit == Unit::Second ? 6 : 3);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text;
}

std::string write(const std::string& value, const Rules&) { return value; }

std::string write(const std::vector<std::string>& value, const Rules&) {
  return fmt::format("{}", fmt::join(value, ", "));
}

std::string write(PoolMode value, const Rules&) { return std::string(name(value)); }
std::string write(AuthType value, const Rules&) { return std::string(name(value)); }
std::string write(LoadBalance value, const Rules&) { return std::string(name(value)); }
std::string write(SslMode value, const Rules&) { return std::string(name(value)); }

}  // namespace doorman::config
