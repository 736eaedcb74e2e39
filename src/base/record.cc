#include "base/record.h"

namespace doorman {

RecordFormat record_format;

void RecordWriter::number(std::uint16_t tag, std::uint64_t value) {
  append_u16(out_, tag);
  append_u32(out_, sizeof value);
  append_u64(out_, value);
}

void RecordWriter::text(std::uint16_t tag, std::string_view value) {
  append_u16(out_, tag);
  append_u32(out_, static_cast<std::uint32_t>(value.size()));
  out_.append(value);
}

std::uint64_t Field::number() const {
  return value.size() == sizeof(std::uint64_t) ? read_u64(bytes_of(value).data()) : 0;
}

std::string RecordWriter::take() {
  static constexpr std::uint16_t kNoTag = 0xffff;  // of no field, ever
  if (!record_format.extra.empty()) text(kNoTag, record_format.extra);
  return std::move(out_);
}

Result<std::optional<Field>> RecordReader::next() {
  if (rest_.empty()) return std::optional<Field>();
  if (rest_.size() < 6) return Error{ErrorCode::Protocol, "a record ends inside a field's header"};
  const std::uint16_t tag = read_u16(bytes_of(rest_).data());
  const std::uint32_t length = read_u32(bytes_of(rest_).data() + 2);
  rest_.remove_prefix(6);
  if (length > rest_.size()) {
    return Error{ErrorCode::Protocol,
                 "field " + std::to_string(tag) + " is longer than its record"};
  }
  const Field field = {.tag = tag, .value = rest_.substr(0, length)};
  rest_.remove_prefix(length);
  return std::optional(field);
}

}  // namespace doorman
