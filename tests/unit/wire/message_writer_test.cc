#include "wire/message_writer.h"

#include <gtest/gtest.h>

#include <string>

namespace doorman::wire {
namespace {

using namespace std::string_literals;

TEST(MessageWriter, FillsInTheLength) {
  MessageWriter out;
  out.begin('X').byte('a').u16(1).u32(2).text("t").raw("r").end();
  EXPECT_EQ(out.bytes(),
            "X\0\0\0\x0e"s
            "a\0\1\0\0\0\2t\0r"s);
}

TEST(MessageWriter, WritesSeveralMessagesOneBehindTheOther) {
  MessageWriter out;
  out.begin('A').raw("12").end().begin('B').end().begin_untyped().raw("x").end();
  EXPECT_EQ(out.take(),
            "A\0\0\0\6"s
            "12B\0\0\0\4\0\0\0\5x"s);
}

TEST(MessageWriter, ALengthCanCountWhatComesFromElsewhere) {
  MessageWriter out;
  out.begin('B').text("p").set_length(1000);
  EXPECT_EQ(out.bytes(), "B\0\0\x03\xe8p\0"s);
  out.clear().begin('D').end();
  EXPECT_EQ(out.bytes(), "D\0\0\0\4"s);
}

TEST(MessageWriter, ClientMessagesAreThoseOfTheProtocol) {
  EXPECT_EQ(startup_message({{"user", "u"}}), "\0\0\0\x10\0\3\0\0user\0u\0\0"s);
  EXPECT_EQ(cancel_request("12345678"),
            "\0\0\0\x10\4\xd2\x16\x2e"
            "12345678"s);
  EXPECT_EQ(query("q"), "Q\0\0\0\6q\0"s);
  EXPECT_EQ(parse("n", "q"), "P\0\0\0\x0an\0q\0\0\0"s);
  EXPECT_EQ(bind({"a", std::nullopt}), "B\0\0\0\x15\0\0\0\0\0\2\0\0\0\1a\xff\xff\xff\xff\0\0"s);
  EXPECT_EQ(execute(), "E\0\0\0\x09\0\0\0\0\0"s);
  EXPECT_EQ(sync(), "S\0\0\0\4"s);
  EXPECT_EQ(close_statement("n"), "C\0\0\0\7Sn\0"s);
  EXPECT_EQ(terminate(), "X\0\0\0\4"s);
  EXPECT_EQ(password_message("p\0"s), "p\0\0\0\6p\0"s);
}

TEST(MessageWriter, ServerMessagesAreThoseOfTheProtocol) {
  EXPECT_EQ(authentication(5, "salt"), "R\0\0\0\x0c\0\0\0\5salt"s);
  EXPECT_EQ(parameter_status("n", "v"), "S\0\0\0\x08n\0v\0"s);
  EXPECT_EQ(backend_key_data("12345678"),
            "K\0\0\0\x0c"
            "12345678"s);
  EXPECT_EQ(ready_for_query('T'), "Z\0\0\0\5T"s);
  EXPECT_EQ(data_row({"a", std::nullopt, ""}), "D\0\0\0\x13\0\3\0\0\0\1a\xff\xff\xff\xff\0\0\0\0"s);
  EXPECT_EQ(command_complete("OK"), "C\0\0\0\7OK\0"s);
  EXPECT_EQ(row_description({{"n", 23}, {"t", 25}}),
            "T\0\0\0\x2e\0\2n\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0"s
            "t\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"s);
}

}  // namespace
}  // namespace doorman::wire
