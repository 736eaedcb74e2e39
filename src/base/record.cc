#include "base/record.h"

#include <array>

namespace doorman {

RecordFormat record_format;

namespace {

void write_head(std::byte* at, std::uint16_t tag, std::size_t length) {
  write_u16(at, tag);
  write_u32(at + sizeof tag, static_cast<std::uint32_t>(length));
}

}  // namespace

RecordWriter::RecordWriter() { out_.reserve(kUsual); }

void RecordWriter::number(std::uint16_t tag, std::uint64_t value) {
  std::array<std::byte, Field::kHeadSize + sizeof value> field;
  write_head(field.data(), tag, sizeof value);
  write_u64(field.data() + Field::kHeadSize, value);
  out_.append(text_of(field));
}

void RecordWriter::text(std::uint16_t tag, std::string_view value) {
  std::array<std::byte, Field::kHeadSize> head;
  write_head(head.data(), tag, value.size());
  out_.append(text_of(head)).append(value);
}

std::uint64_t Field::number() const {
  return value.size() == sizeof(std::uint64_t) ? read_u64(bytes_of(value).data()) : 0;
}

std::string RecordWriter::take() {
  static constexpr std::uint16_t kNoTag = 0xffff;  // of no field, ever
  if (!record_format.extra.empty()) text(kNoTag, record_format.extra);
  return std::move(out_);
}

Error RecordReader::no_head() {
  return {ErrorCode::Protocol, "a record ends inside a field's header"};
}

Error RecordReader::too_long(std::uint16_t tag) {
  return {ErrorCode::Protocol, "field " + std::to_string(tag) + " is longer than its record"};
}

}  // namespace doorman
