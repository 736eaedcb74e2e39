#include "wire/error_response.h"

#include <gtest/gtest.h>

#include <string>

#include "wire/framer.h"

namespace doorman::wire {
namespace {

using namespace std::string_literals;

Bytes body_of(const std::string& message) { return bytes_of(message).subspan(kHeaderSize); }

TEST(ErrorResponse, HasTheFieldsThatDriversRead) {
  const std::string made = error_response(Severity::Fatal, "57P01", "bye", "try again");
  EXPECT_EQ(made[0], 'E');
  EXPECT_EQ(error_field(body_of(made), 'S'), "FATAL");
  EXPECT_EQ(error_field(body_of(made), 'V'), "FATAL");
  EXPECT_EQ(error_field(body_of(made), 'C'), "57P01");
  EXPECT_EQ(error_field(body_of(made), 'M'), "bye");
  EXPECT_EQ(error_field(body_of(made), 'H'), "try again");
  EXPECT_EQ(error_field(body_of(made), 'D'), "");
  Header header{};
  ASSERT_EQ(peek(bytes_of(made), header), Cut::Ready);
  EXPECT_EQ(header.total(), made.size());
}

TEST(ErrorResponse, NoticesAndWarningsAreNoErrors) {
  EXPECT_EQ(error_response(Severity::Error, "x", "m")[0], 'E');
  EXPECT_EQ(error_response(Severity::Notice, "x", "m")[0], 'N');
  EXPECT_EQ(error_response(Severity::Warning, "x", "m")[0], 'N');
}

TEST(ErrorResponse, ADamagedBodyHasTheFieldsBeforeTheDamage) {
  const std::string whole = "SERROR\0C42601\0Mtext\0\0"s;
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const std::string body = whole.substr(0, size);
    EXPECT_EQ(error_field(bytes_of(body), 'C'), size >= 14 ? "42601" : "") << size;
    EXPECT_EQ(error_field(bytes_of(body), 'M'), size >= 20 ? "text" : "") << size;
  }
}

TEST(ErrorResponse, AsFatalKeepsAllButTheSeverity) {
  const std::string made = error_response(Severity::Error, "22023", "invalid value", "hint");
  EXPECT_EQ(as_fatal(body_of(made)),
            error_response(Severity::Fatal, "22023", "invalid value", "hint"));
  EXPECT_EQ(as_fatal({}), "E\0\0\0\5\0"s);
  EXPECT_EQ(as_fatal(bytes_of("C42601\0Mcut off"s)),
            "E\0\0\0\x0c"
            "C42601\0\0"s);
}

}  // namespace
}  // namespace doorman::wire
