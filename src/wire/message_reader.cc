#include "wire/message_reader.h"

namespace doorman::wire {

Bytes MessageReader::take(std::size_t size) {
  if (failed_ || rest_.size() < size) {
    failed_ = true;
    rest_ = last_ = {};
    return {};
  }
  last_ = rest_.first(size);
  rest_ = rest_.subspan(size);
  return last_;
}

std::string_view MessageReader::longer_text() {
  const std::string_view all = text_of(rest_);
  const std::size_t end = all.find('\0');
  if (end == std::string_view::npos) {
    failed_ = true;
    rest_ = {};
    return {};
  }
  rest_ = rest_.subspan(end + 1);
  return all.substr(0, end);
}

}  // namespace doorman::wire
