#include "auth/base64.h"

#include <array>
#include <cstdint>

namespace doorman::auth {

namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr int kNoDigit = -1;

constexpr std::array<int, 256> digits_by_character() {
  std::array<int, 256> digits{};
  for (int& digit : digits) digit = kNoDigit;
  for (std::size_t i = 0; i < kAlphabet.size(); ++i)
    digits[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int>(i);
  return digits;
}

constexpr std::array<int, 256> kDigits = digits_by_character();

}  // namespace

std::string base64_encode(std::span<const std::byte> bytes) {
  std::string text((bytes.size() + 2) / 3 * 4, '=');
  char* to = text.data();
  const auto put = [&to](std::uint32_t group, int digits) {
    for (int i = 0; i < digits; ++i) *to++ = kAlphabet[(group >> (18 - 6 * i)) & 63];
  };
  const auto byte = [bytes](std::size_t at) { return std::to_integer<std::uint32_t>(bytes[at]); };
  std::size_t at = 0;
  for (; at + 3 <= bytes.size(); at += 3) put(byte(at) << 16 | byte(at + 1) << 8 | byte(at + 2), 4);
  if (at + 1 == bytes.size()) put(byte(at) << 16, 2);
  if (at + 2 == bytes.size()) put(byte(at) << 16 | byte(at + 1) << 8, 3);
  return text;
}

std::string base64_encode(std::string_view bytes) {
  return base64_encode(std::as_bytes(std::span(bytes.data(), bytes.size())));
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;

  std::string bytes(text.size() / 4 * 3 - padding, '\0');
  char* to = bytes.data();
  std::uint32_t group = 0;
  int bits = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const int digit = kDigits[static_cast<unsigned char>(c)];
    if (digit == kNoDigit) return std::nullopt;
    group = (group << 6) | static_cast<std::uint32_t>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    *to++ = static_cast<char>((group >> bits) & 0xff);
  }
  if ((group & ((1u << bits) - 1)) != 0) return std::nullopt;
  return bytes;
}

}  // namespace doorman::auth
