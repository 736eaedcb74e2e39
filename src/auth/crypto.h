// The few primitives that logins need, over libcrypto; the only file of this layer that includes
// it.
//
// A libcrypto without SHA-256 is no place to check passwords in, nor is a kernel without
// randomness: that is a CHECK. MD5 is different, since a system's policy (FIPS) may forbid it:
// md5_hex() then gives nullopt.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace doorman::auth {

using Key = std::array<std::byte, 32>;  // what SHA-256 and HMAC-SHA-256 give

Key sha256(std::span<const std::byte> bytes);
Key hmac_sha256(const Key& key, std::string_view text);
Key pbkdf2_sha256(std::string_view password, std::string_view salt, int iterations);  // costly

// 32 lower-case hexadecimal digits.
std::optional<std::string> md5_hex(std::string_view text);

// Of the kernel.
std::string random_bytes(std::size_t count);
void fill_with_random(std::span<char> bytes);

// Takes the same time wherever the difference is. The lengths are not hidden; for two texts of
// unknown length compare their sha256().
bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b);
bool same_text(std::string_view a, std::string_view b);

// a ^= b
void xor_into(Key& a, const Key& b);

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace doorman::auth
