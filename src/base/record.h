// Records: plain values as tagged, length-prefixed fields, to be read again elsewhere, perhaps by
// another release of the program.
//
// A field is: tag (2 bytes), length (4 bytes), value; numbers are 8 bytes, all in network order. A
// reader takes the fields it knows in any order, skips those it does not know, and has defaults for
// those that are missing, so both sides of an upgrade may add fields. A tag is never used again for
// something else. A reader distrusts what it reads: a field that overruns its record is an Error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace doorman {

class RecordWriter {
 public:
  void number(std::uint16_t tag, std::uint64_t value);
  void text(std::uint16_t tag, std::string_view value);
  void bytes(std::uint16_t tag, Bytes value) { text(tag, text_of(value)); }

  const std::string& record() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

struct Field {
  std::uint16_t tag;
  std::string_view value;  // into the record

  std::uint64_t number() const;  // 0 where the value is no number: what a missing field would give
};

class RecordReader {
 public:
  explicit RecordReader(std::string_view record) : rest_(record) {}
  // The next field, nullopt at the end.
  Result<std::optional<Field>> next();

 private:
  std::string_view rest_;
};

}  // namespace doorman
