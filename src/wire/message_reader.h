// Reads the fields of one message's body. Never reads past its end: what is not there makes the
// reader fail, and a failed reader gives empty values from then on.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace doorman::wire {

class MessageReader {
 public:
  explicit MessageReader(Bytes body) : rest_(body) {}

  char byte() { return std::to_integer<char>(take(1).empty() ? std::byte{0} : last_[0]); }
  std::uint16_t u16() { return take(2).empty() ? std::uint16_t{0} : read_u16(last_.data()); }
  std::uint32_t u32() { return take(4).empty() ? 0 : read_u32(last_.data()); }
  std::string_view text() {  // up to its closing zero byte
    if (rest_.empty() || rest_[0] != std::byte{0}) return longer_text();
    rest_ = rest_.subspan(1);  // as most names of statements and portals
    return {};
  }
  std::string_view raw(std::size_t size) { return text_of(take(size)); }

  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }
  Bytes rest() const { return rest_; }

 private:
  Bytes take(std::size_t size);
  std::string_view longer_text();

  Bytes rest_;
  Bytes last_;
  bool failed_ = false;
};

}  // namespace doorman::wire
