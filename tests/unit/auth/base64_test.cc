#include "auth/base64.h"

#include <gtest/gtest.h>

namespace doorman::auth {
namespace {

TEST(Base64, GivesTheTextsOfRfc4648) {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"},
                                                         {"\xfb\xff", "+/8="}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(base64_encode(bytes), text);
    EXPECT_EQ(base64_decode(text), bytes);
  }
}

TEST(Base64, RefusesWhatIsNotTheOneTextOfSomeBytes) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zm8", "=",
                           "====", "Zg==Zg==", "Z===", "Zm 9", "Zm9v\n", "Zm9-", "Zm_v", " Zm9v"}) {
    EXPECT_EQ(base64_decode(text), std::nullopt) << text;
  }
}

TEST(Base64, CutAnywhereItIsTheBytesOfItsWholeGroupsOrNothing) {
  const std::string bytes = "sixteen bytes it";
  const std::string text = base64_encode(bytes);
  for (std::size_t size = 0; size < text.size(); ++size) {
    const auto decoded = base64_decode(text.substr(0, size));
    if (size % 4 == 0) {
      EXPECT_EQ(decoded, bytes.substr(0, size / 4 * 3));
    } else {
      EXPECT_EQ(decoded, std::nullopt) << size;
    }
  }
}

}  // namespace
}  // namespace doorman::auth
