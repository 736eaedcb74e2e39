// Base64 (RFC 4648, section 4), strict: one text for each sequence of bytes and no other.
//
// So no blanks, no missing padding, and no bits set behind the last byte: a message that was
// changed anywhere decodes to something else or not at all.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace doorman::auth {

std::string base64_encode(std::span<const std::byte> bytes);
std::string base64_encode(std::string_view bytes);

// nullopt: not base64.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace doorman::auth
