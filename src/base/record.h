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

// The form of records, which goes with them. Readers skip fields and kinds that they do not know,
// so additions raise `version` only; what an older reader would misread raises `readable_by`.
struct RecordFormat {
  std::uint8_t version = 2;      // that this release writes
  std::uint8_t readable_by = 1;  // the oldest version whose readers understand it
  std::uint8_t oldest = 1;       // the oldest version that this release reads
  std::string_view extra = {};   // what every record has in a field that no release knows
};
// Changed by programs that stand in for other releases in tests, and before there is any thread.
extern RecordFormat record_format;

class RecordWriter {
 public:
  RecordWriter();
  void number(std::uint16_t tag, std::uint64_t value);
  void text(std::uint16_t tag, std::string_view value);
  void bytes(std::uint16_t tag, Bytes value) { text(tag, text_of(value)); }

  const std::string& record() const { return out_; }
  std::string take();

 private:
  static constexpr std::size_t kUsual = 256;  // bytes

  std::string out_;
};

struct Field {
  static constexpr std::size_t kHeadSize = 6;  // tag and length

  std::uint16_t tag;
  std::string_view value;  // into the record

  std::uint64_t number() const;  // 0 where the value is no number: what a missing field would give
};

class RecordReader {
 public:
  explicit RecordReader(std::string_view record) : rest_(record) {}
  // The next field, nullopt at the end. Inline: an upgrade reads a million of them in its pause.
  Result<std::optional<Field>> next() {
    if (rest_.empty()) return std::optional<Field>();
    if (rest_.size() < Field::kHeadSize) return no_head();
    const std::uint16_t tag = read_u16(bytes_of(rest_).data());
    const std::uint32_t length = read_u32(bytes_of(rest_).data() + 2);
    if (length > rest_.size() - Field::kHeadSize) return too_long(tag);
    const Field field = {.tag = tag, .value = {rest_.data() + Field::kHeadSize, length}};
    rest_.remove_prefix(Field::kHeadSize + length);
    return std::optional(field);
  }

 private:
  [[gnu::cold]] static Error no_head();
  [[gnu::cold]] static Error too_long(std::uint16_t tag);

  std::string_view rest_;
};

}  // namespace doorman
