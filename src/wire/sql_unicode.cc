#include "wire/sql_unicode.h"

#include <charconv>
#include <cstdint>

namespace doorman::wire {

namespace {

constexpr char32_t kLast = 0x10ffff;

bool is_high_surrogate(char32_t code) { return code >= 0xd800 && code <= 0xdbff; }
bool is_low_surrogate(char32_t code) { return code >= 0xdc00 && code <= 0xdfff; }

void append_utf8(std::string& out, char32_t code) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  const auto put_rest = [&](unsigned shift) { put(0x80U | ((code >> shift) & 0x3fU)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0U | (code >> 6U));
  } else if (code < 0x10000) {
    put(0xe0U | (code >> 12U));
    put_rest(6);
  } else {
    put(0xf0U | (code >> 18U));
    put_rest(12);
    put_rest(6);
  }
  put_rest(0);
}

// The digits at the start of `text`, exactly `count`.
std::optional<char32_t> hexadecimal(std::string_view text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  std::uint32_t code = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + count, code, 16);
  if (error != std::errc() || end != text.data() + count) return std::nullopt;
  return code;
}

}  // namespace

std::optional<std::string> decode_unicode_escapes(std::string_view text, char escape) {
  std::string out;
  char32_t high = 0;  // the first of a pair of surrogates
  while (!text.empty()) {
    const bool escaped = text[0] == escape;
    if (!escaped || text.substr(1, 1) == text.substr(0, 1)) {
      if (high != 0) return std::nullopt;
      out.push_back(text[0]);
      text.remove_prefix(escaped ? 2 : 1);
      continue;
    }
    const bool longer = text.substr(1, 1) == "+";
    const std::size_t digits = longer ? 6 : 4;
    text.remove_prefix(longer ? 2 : 1);
    const std::optional<char32_t> found = hexadecimal(text, digits);
    if (!found || *found == 0 || *found > kLast) return std::nullopt;
    text.remove_prefix(digits);
    if (is_low_surrogate(*found) != (high != 0)) return std::nullopt;
    if (is_high_surrogate(*found)) {
      high = *found;
      continue;
    }
    append_utf8(out, high == 0 ? *found : 0x10000 + ((high & 0x3ffU) << 10U) + (*found & 0x3ffU));
    high = 0;
  }
  if (high != 0) return std::nullopt;
  return out;
}

}  // namespace doorman::wire
