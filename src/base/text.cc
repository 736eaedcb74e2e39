#include "base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace doorman {

namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// strerror_r comes in two kinds, told apart by what it returns; which one depends on the C library.
[[maybe_unused]] std::string text_of(const char* returned, const char*) { return returned; }
[[maybe_unused]] std::string text_of(int, const char* buffer) { return buffer; }

}  // namespace

std::string errno_text(int error) {
  char buffer[128] = "unknown error";
  return text_of(strerror_r(error, buffer, sizeof buffer), buffer);
}

std::string errno_text(std::string_view what, int error) {
  return fmt::format("{}: {}", what, errno_text(error));
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> split_list(std::string_view text) {
  std::vector<std::string_view> items;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view item = trim(text.substr(0, comma));
    if (!item.empty()) items.push_back(item);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return items;
}

std::string escape_control(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (!is_control(c)) {
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace doorman
