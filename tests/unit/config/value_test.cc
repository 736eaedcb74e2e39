#include "config/value.h"

#include <gtest/gtest.h>

#include <chrono>

namespace doorman::config {
namespace {

using namespace std::chrono_literals;

template <class T>
std::string error_of(std::string_view text, const Rules& rules = {}) {
  T value{};
  auto done = read(text, rules, value);
  return done ? "no error" : done.error().message;
}

template <class T>
T value_of(std::string_view text, const Rules& rules = {}) {
  T value{};
  auto done = read(text, rules, value);
  EXPECT_TRUE(done) << text << ": " << (done ? "" : done.error().message);
  return value;
}

TEST(ConfigValue, BooleansHaveEightWords) {
  for (const char* word : {"1", "yes", "on", "true", "TRUE", "Yes"}) {
    EXPECT_TRUE(value_of<bool>(word)) << word;
  }
  for (const char* word : {"0", "no", "off", "false", "OFF"}) {
    EXPECT_FALSE(value_of<bool>(word)) << word;
  }
  EXPECT_EQ(error_of<bool>("2"), "\"2\" is not one of 1, 0, yes, no, on, off, true, false");
  EXPECT_EQ(error_of<bool>(""), "\"\" is not one of 1, 0, yes, no, on, off, true, false");
}

TEST(ConfigValue, NumbersAreWrittenAsInC) {
  EXPECT_EQ(value_of<int>("20"), 20);
  EXPECT_EQ(value_of<int>("0x20"), 32);
  EXPECT_EQ(value_of<int>("020"), 16);
  EXPECT_EQ(value_of<int>("+7"), 7);
  EXPECT_EQ(value_of<int>("0"), 0);
  EXPECT_EQ(value_of<int>("020", {.base = 10}), 20);
  EXPECT_EQ(value_of<int>("08", {.base = 10}), 8);
  EXPECT_EQ(value_of<int>("-3", {.min = -5}), -3);
}

TEST(ConfigValue, NumbersStayInTheirRange) {
  EXPECT_EQ(error_of<int>("11", {.min = 1, .max = 10}), "11 is out of range: 1 to 10");
  EXPECT_EQ(error_of<int>("0", {.min = 1, .max = 10}), "0 is out of range: 1 to 10");
  EXPECT_EQ(error_of<int>("-1"), "-1 is out of range: 0 to 2147483647");
  EXPECT_EQ(error_of<int>("2147483648"), "2147483648 is out of range: 0 to 2147483647");
  for (const char* text :
       {"", "-", "--1", "1x", "0x", "ten", "1.5", "99999999999999999999", "1 2"}) {
    EXPECT_NE(error_of<int>(text).find("is not a whole number"), std::string::npos) << text;
  }
}

TEST(ConfigValue, FileModesAreOctal) {
  EXPECT_EQ(value_of<std::uint32_t>("0770"), 0770u);
  EXPECT_EQ(value_of<std::uint32_t>("700"), 0700u);
  EXPECT_EQ(error_of<std::uint32_t>("0888"), "\"0888\" is not an octal file mode (0000 to 0777)");
  EXPECT_EQ(error_of<std::uint32_t>("1777"), "\"1777\" is not an octal file mode (0000 to 0777)");
  EXPECT_EQ(write(std::uint32_t{7}, {}), "0007");
}

TEST(ConfigValue, TimesHaveUnitsAndFractions) {
  EXPECT_EQ(value_of<Duration>("15"), 15s);
  EXPECT_EQ(value_of<Duration>("0.25"), 250ms);
  EXPECT_EQ(value_of<Duration>("3us"), 3us);
  EXPECT_EQ(value_of<Duration>("7ms"), 7ms);
  EXPECT_EQ(value_of<Duration>("30s"), 30s);
  EXPECT_EQ(value_of<Duration>("5 min"), 5min);
  EXPECT_EQ(value_of<Duration>("1.5h"), 90min);
  EXPECT_EQ(value_of<Duration>("2d"), 48h);
  EXPECT_EQ(value_of<Duration>("1500", {.unit = Unit::Millisecond}), 1500ms);
  EXPECT_EQ(value_of<Duration>("2s", {.unit = Unit::Millisecond}), 2s);
}

TEST(ConfigValue, TimesThatAreNoneAreRefused) {
  EXPECT_EQ(error_of<Duration>("5 sek"),
            "\"5 sek\" has an unknown unit \"sek\": us, ms, s, min, h, d");
  EXPECT_EQ(error_of<Duration>("-1"), "-1 is out of range: 0 to 2147483647 s");
  EXPECT_EQ(error_of<Duration>("90000d"), "90000d is out of range: 0 to 2147483647 s");
  for (const char* text : {"", "inf", "nan", "-inf", "s", "5.", "."}) {
    EXPECT_EQ(error_of<Duration>(text), "\"" + std::string(text) + "\" is not a number");
  }
}

TEST(ConfigValue, SizesHaveUnits) {
  const Rules rules = {.max = std::int64_t{1} << 31};
  EXPECT_EQ(value_of<std::uint64_t>("4096", rules), 4096u);
  EXPECT_EQ(value_of<std::uint64_t>("0x1000", rules), 4096u);
  EXPECT_EQ(value_of<std::uint64_t>("12B", rules), 12u);
  EXPECT_EQ(value_of<std::uint64_t>("4kB", rules), 4096u);
  EXPECT_EQ(value_of<std::uint64_t>("64 MB", rules), 64u << 20);
  EXPECT_EQ(value_of<std::uint64_t>("0.5GB", rules), 512u << 20);
  EXPECT_EQ(error_of<std::uint64_t>("3GB", rules), "3GB is out of range: 0 to 2147483648 bytes");
  EXPECT_EQ(error_of<std::uint64_t>("3TB", rules),
            "\"3TB\" has an unknown unit \"TB\": B, kB, MB, GB");
}

TEST(ConfigValue, ListsAreSplitAtCommas) {
  using List = std::vector<std::string>;
  EXPECT_EQ(value_of<List>("a, b ,c"), (List{"a", "b", "c"}));
  EXPECT_EQ(value_of<List>(" , a,,"), (List{"a"}));
  EXPECT_EQ(value_of<List>(""), List{});
}

TEST(ConfigValue, WordsAreOneOfTheirs) {
  EXPECT_EQ(value_of<PoolMode>("Transaction"), PoolMode::Transaction);
  EXPECT_EQ(value_of<AuthType>("password"), AuthType::Plain);
  EXPECT_EQ(value_of<AuthType>("scram-sha-256"), AuthType::Scram);
  EXPECT_EQ(value_of<LoadBalance>("disable"), LoadBalance::Disable);
  EXPECT_EQ(error_of<PoolMode>("sesion"),
            "\"sesion\" is not one of session, transaction, statement; did you mean \"session\"?");
  EXPECT_EQ(error_of<AuthType>("scram"),
            "\"scram\" is not one of any, trust, plain, password, md5, scram-sha-256, cert, hba, "
            "ldap, pam, reject");
}

TEST(ConfigValue, WhatIsWrittenReadsAsTheSame) {
  for (const Duration time : {Duration(0), Duration(1), Duration(1500000), Duration(90s)}) {
    EXPECT_EQ(value_of<Duration>(write(time, {})), time);
    const Rules in_ms = {.unit = Unit::Millisecond};
    EXPECT_EQ(value_of<Duration>(write(time, in_ms), in_ms), time);
  }
  EXPECT_EQ(write(Duration(1500ms), {}), "1.5");
  EXPECT_EQ(write(Duration(90s), {}), "90");
  EXPECT_EQ(write(Duration(1500us), {.unit = Unit::Millisecond}), "1.5");
}

}  // namespace
}  // namespace doorman::config
