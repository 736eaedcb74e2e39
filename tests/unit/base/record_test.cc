#include "base/record.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace doorman {
namespace {

using namespace std::string_literals;

struct Read {
  std::vector<std::pair<int, std::string>> fields;
  bool damaged = false;
  bool operator==(const Read&) const = default;
};

Read read_all(std::string_view record) {
  Read out;
  RecordReader reader(record);
  while (true) {
    auto field = reader.next();
    out.damaged = !field;
    if (!field || !*field) return out;
    out.fields.emplace_back((*field)->tag, (*field)->value);
  }
}

TEST(Record, GivesBackWhatWasWritten) {
  RecordWriter writer;
  writer.number(1, 0x1122334455667788U);
  writer.text(2, "zero\0byte"s);
  writer.bytes(0xffff, bytes_of("raw"));
  writer.text(4, "");
  const Read read = read_all(writer.record());
  EXPECT_FALSE(read.damaged);
  EXPECT_EQ(
      read.fields,
      (std::vector<std::pair<int, std::string>>{
          {1, "\x11\x22\x33\x44\x55\x66\x77\x88"}, {2, "zero\0byte"s}, {0xffff, "raw"}, {4, ""}}));
  RecordReader reader(writer.record());
  EXPECT_EQ((**reader.next()).number(), 0x1122334455667788U);
  EXPECT_EQ((**reader.next()).number(), 0U) << "a text is no number";
}

TEST(Record, AnEmptyRecordHasNoFields) { EXPECT_EQ(read_all(""), Read()); }

// What another release writes stays readable: this is what is in the record, byte by byte.
TEST(Record, IsTagLengthValueInNetworkOrder) {
  RecordWriter writer;
  writer.number(0x0102, 3);
  writer.text(5, "ab");
  EXPECT_EQ(writer.take(),
            "\x01\x02\0\0\0\x08\0\0\0\0\0\0\0\x03\0\x05\0\0\0\x02"
            "ab"s);
}

TEST(Record, ACutRecordGivesItsWholeFieldsAndThenAnError) {
  RecordWriter writer;
  writer.number(1, 7);
  writer.text(2, "value");
  const std::string& whole = writer.record();
  const std::size_t boundaries[] = {0, 14, whole.size()};
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const Read read = read_all(std::string_view(whole).substr(0, size));
    const bool at_boundary =
        std::find(std::begin(boundaries), std::end(boundaries), size) != std::end(boundaries);
    EXPECT_EQ(read.damaged, !at_boundary) << size;
    EXPECT_EQ(read.fields.size(), size < 14 ? 0U : size < whole.size() ? 1U : 2U) << size;
  }
}

TEST(Record, AFieldThatOverrunsItsRecordIsAnError) {
  EXPECT_TRUE(read_all("\0\1\0\0\0\3ab"s).damaged);
  EXPECT_TRUE(read_all("\0\1\xff\xff\xff\xff"s).damaged);
  EXPECT_FALSE(read_all("\0\1\0\0\0\2ab"s).damaged);
}

}  // namespace
}  // namespace doorman
