#include "wire/startup.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

namespace doorman::wire {
namespace {

using namespace std::string_literals;

std::string packet(std::uint32_t code, std::string_view rest) {
  return MessageWriter().begin_untyped().u32(code).raw(rest).end().take();
}

constexpr std::uint32_t kV3 = 3U << 16U;
constexpr std::uint32_t kCancel = (1234U << 16U) | 5678U;

Result<StartupPacket> parsed(const std::string& text) {
  // A copy of exact size: a sanitizer sees every byte that is read too far.
  const std::unique_ptr<std::byte[]> exact(new std::byte[text.size()]);
  std::copy_n(bytes_of(text).begin(), text.size(), exact.get());
  return parse_startup({exact.get(), text.size()});
}

std::string error_of(const std::string& text) {
  auto result = parsed(text);
  return result ? "none" : result.error().message;
}

TEST(Startup, TheLengthIsKnownFromTheFourthByteOn) {
  const std::string whole = packet(kV3, "user\0u\0\0"s);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    auto length = startup_length(bytes_of(std::string_view(whole).substr(0, size)));
    ASSERT_TRUE(length);
    EXPECT_EQ(*length, size < 4 ? std::nullopt : std::optional(whole.size())) << size;
  }
}

TEST(Startup, OnlyLengthsOfPostgresAreTaken) {
  const auto is_taken = [](std::uint32_t length) {
    return static_cast<bool>(startup_length(bytes_of(MessageWriter().u32(length).bytes())));
  };
  EXPECT_FALSE(is_taken(0));
  EXPECT_FALSE(is_taken(7));
  EXPECT_TRUE(is_taken(8));
  EXPECT_TRUE(is_taken(10'000));
  EXPECT_FALSE(is_taken(10'001));
  EXPECT_FALSE(is_taken(UINT32_MAX));
  EXPECT_FALSE(is_taken(0x47455420));  // "GET "
}

TEST(Startup, TellsTheRequestsApart) {
  EXPECT_TRUE(std::holds_alternative<SslRequest>(*parsed(packet((1234U << 16U) | 5679U, ""))));
  EXPECT_TRUE(std::holds_alternative<GssRequest>(*parsed(packet((1234U << 16U) | 5680U, ""))));
  auto cancel = parsed(packet(kCancel, "12345678"));
  ASSERT_TRUE(cancel);
  EXPECT_EQ(std::get<CancelRequest>(*cancel).key, "12345678");
}

TEST(Startup, ACancelKeyHasEightTo260Bytes) {
  EXPECT_NE(error_of(packet(kCancel, std::string(7, 'k'))), "none");
  EXPECT_EQ(error_of(packet(kCancel, std::string(8, 'k'))), "none");
  EXPECT_EQ(error_of(packet(kCancel, std::string(260, 'k'))), "none");
  EXPECT_NE(error_of(packet(kCancel, std::string(261, 'k'))), "none");
  EXPECT_NE(error_of(packet(kCancel, "")), "none");
}

TEST(Startup, KeepsTheParametersInTheirOrder) {
  auto result = parsed(packet(kV3 | 2U, "user\0u\0DateStyle\0\0_pq_.x\0on\0database\0d\0\0"s));
  ASSERT_TRUE(result);
  const auto& startup = std::get<Startup>(*result);
  EXPECT_EQ(startup.minor, 2);
  EXPECT_EQ(startup.parameters,
            (std::vector<Parameter>{{"user", "u"}, {"DateStyle", ""}, {"database", "d"}}));
  EXPECT_EQ(startup.unknown_options, std::vector<std::string>{"_pq_.x"});
  EXPECT_TRUE(std::get<Startup>(*parsed(packet(kV3, "\0"s))).parameters.empty());
}

TEST(Startup, APacketThatDoesNotEndWithItsTerminatorIsRefused) {
  const std::string text = "invalid startup packet layout: expected terminator as last byte";
  const std::string rest = "user\0u\0database\0d\0\0"s;
  for (std::size_t size = 0; size < rest.size(); ++size) {
    EXPECT_EQ(error_of(packet(kV3, rest.substr(0, size))), text) << size;
  }
  EXPECT_EQ(error_of(packet(kV3, rest)), "none");
  EXPECT_EQ(error_of(packet(kV3, rest + "x")), text);
  EXPECT_EQ(error_of(packet(kV3, rest + "\0"s)), text);
}

TEST(Startup, OtherVersionsAreRefusedInPostgresWords) {
  EXPECT_EQ(error_of(packet(2U << 16U, "\0"s)),
            "unsupported frontend protocol 2.0: server supports 3.0 to 3.2");
  EXPECT_EQ(error_of(packet((4U << 16U) | 1U, "\0"s)),
            "unsupported frontend protocol 4.1: server supports 3.0 to 3.2");
  EXPECT_EQ(error_of(packet(kV3 | 9999U, "\0"s)), "none");  // negotiated down
}

TEST(Startup, NegotiationNamesTheVersionAndWhatIsUnknown) {
  EXPECT_EQ(negotiate_protocol_version(2, {"_pq_.a"}), "v\0\0\0\x13\0\3\0\2\0\0\0\1_pq_.a\0"s);
  EXPECT_EQ(negotiate_protocol_version(0, {}), "v\0\0\0\x0c\0\3\0\0\0\0\0\0"s);
}

// ---- options ----------------------------------------------------------------------------------

// The settings as name=value, or the error.
std::string options(std::string_view text) {
  auto all = parse_options(text);
  if (!all) return "error: " + all.error().message;
  std::string out;
  for (const Parameter& each : *all) out += "[" + each.name + "=" + each.value + "]";
  return out;
}

TEST(StartupOptions, TakesTheThreeWaysToSetSomething) {
  EXPECT_EQ(options("-c a=1 --b=2 -cc=3"), "[a=1][b=2][c=3]");
  EXPECT_EQ(options(""), "");
  EXPECT_EQ(options("   "), "");
  EXPECT_EQ(options("-c a="), "[a=]");
  EXPECT_EQ(options("-c a=b=c"), "[a=b=c]");
}

TEST(StartupOptions, DashesInNamesAreUnderscores) {
  EXPECT_EQ(options("--statement-timeout=1-2"), "[statement_timeout=1-2]");
  EXPECT_EQ(options("-c work-mem=1"), "[work_mem=1]");
}

TEST(StartupOptions, WordsAreSplitAndEscapedAsPostgresDoes) {
  EXPECT_EQ(options("-c a=x\\ y"), "[a=x y]");
  EXPECT_EQ(options("-c a=x\\\\y"), "[a=x\\y]");
  EXPECT_EQ(options("\t-c\n\v\f\ra=1 "), "[a=1]");
  EXPECT_EQ(options("-c a='x y'"), "error: invalid command-line argument for server process: y'");
  EXPECT_EQ(options("-c a=x\\"), "[a=x]");  // pg_split_opts() drops a backslash that ends it all
  EXPECT_EQ(options("-c a=\\b"), "[a=b]");
  EXPECT_EQ(options("\\"), "error: invalid command-line argument for server process: ");
}

TEST(StartupOptions, WhatOnlyPostgresCouldJudgeIsRefused) {
  EXPECT_TRUE(options("-c").starts_with("error: "));
  EXPECT_TRUE(options("-B 100").starts_with("error: "));
  EXPECT_TRUE(options("a=1").starts_with("error: "));
  EXPECT_EQ(options("-c a"), "error: -c a requires a value");
  EXPECT_EQ(options("--a"), "error: --a requires a value");
}

TEST(StartupOptions, WhereverTheyEndTheyAreReadAsFarAsTheyGo) {
  const std::string whole = "-c work_mem=2MB  --a-b=x\\ y\\\\ -cd='q' -c e=";
  const std::string all = options(whole);
  ASSERT_EQ(all, "[work_mem=2MB][a_b=x y\\][d='q'][e=]");
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const std::unique_ptr<char[]> exact(new char[size]);
    std::copy_n(whole.begin(), size, exact.get());
    std::string part = options({exact.get(), size});
    if (part.starts_with("error: ")) continue;
    if (!part.empty()) part.pop_back();  // the last value may be cut
    EXPECT_TRUE(all.starts_with(part)) << size << ": " << part;
  }
}

}  // namespace
}  // namespace doorman::wire
