// Records: a reader stays inside, and what it takes is the record, field by field.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/record.h"

using namespace doorman;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string record(text_of(std::as_bytes(std::span(data, size))));
  RecordReader reader(record);
  RecordWriter writer;
  while (true) {
    auto field = reader.next();
    if (!field || !*field) {
      CHECK(record.starts_with(writer.record()));
      CHECK(!field || record == writer.record());
      return 0;
    }
    (*field)->number();
    writer.text((*field)->tag, (*field)->value);
  }
}
