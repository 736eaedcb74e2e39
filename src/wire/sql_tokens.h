// SQL as tokens, cut as PostgreSQL's own scanner cuts them: where each statement begins, what its
// words are, which name a word stands for.
//
// Not a parser: it knows no grammar, and what it is given may be wrong SQL. It allocates nothing
// but the names that it is asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace doorman::wire {

enum class SqlKind : std::uint8_t {
  Word,       // a keyword, or an identifier without quotes, as written
  Quoted,     // "identifier"
  Unicode,    // U&"identifier"
  String,     // '...', E'...', B'...', X'...', U&'...', $tag$...$tag$, with its continuation lines
  Number,     //
  Parameter,  // $1
  Symbol,     // one byte; also a ";" in parentheses or in BEGIN ATOMIC ... END
  Semicolon,  // the end of a statement
  Invalid,    // begun and not ended: no server takes such a text
  End,
};

struct SqlToken {
  SqlKind kind = SqlKind::End;
  std::string_view text = {};  // as written, a part of the SQL

  bool is(std::string_view keyword) const;  // in capitals; letters of either case are equal
  bool is(char symbol) const { return kind == SqlKind::Symbol && text[0] == symbol; }
};

// How the bytes are meant. In some encodings of clients the second byte of a character may look
// like ASCII.
struct SqlDialect {
  enum class Encoding : std::uint8_t {
    Utf8,
    Bytes,  // one byte per character, or no byte of a longer one below 0x80
    Sjis,   // two bytes per character from 0x81 and 0xe0 on
    Pairs,  // two bytes per character from 0x80 on: BIG5, GBK, UHC, JOHAB, GB18030
  };
  Encoding encoding = Encoding::Utf8;
  bool standard_conforming_strings = true;

  static SqlDialect of(std::string_view client_encoding, bool standard_conforming_strings);
};

class SqlTokens {
 public:
  explicit SqlTokens(std::string_view sql, SqlDialect dialect = {})
      : sql_(sql), dialect_(dialect) {}

  // To the start of the first statement, or of the next one. Empty ones do not count. False: there
  // is none.
  bool next_statement();

  // Without blanks and comments. After the end it is End for ever.
  SqlToken next();
  SqlToken peek() const { return SqlTokens(*this).next(); }

  // Takes what comes next as a name: folded or unquoted, and cut to the length that names have, as
  // PostgreSQL does it. nullopt, and nothing is taken, if it is no name.
  std::optional<std::string> name();

  static constexpr std::size_t kMaxName = 63;

 private:
  char at(std::size_t index) const { return index < sql_.size() ? sql_[index] : '\0'; }
  std::size_t character(std::size_t index) const;  // its size
  bool skip_blanks();                              // false: a comment does not end
  bool skip_comment();
  SqlKind scan();  // moves `at_` past the token
  SqlKind scan_word();
  SqlKind scan_dollar();
  SqlKind scan_string(bool escapes);
  bool skip_quoted(char quote, bool escapes);
  bool skip_to_continuation();
  void follow(const SqlToken& token);
  std::optional<char> unicode_escape();
  void cut_name(std::string& name) const;

  std::string_view sql_;
  SqlDialect dialect_;
  std::size_t at_ = 0;

  // Of the statement at hand.
  enum class Routine : std::uint8_t { No, Create, CreateOr, Yes, Begin };
  bool inside_ = false;  // one of its tokens was read
  Routine routine_ = Routine::No;
  std::size_t parentheses_ = 0;
  std::size_t body_ = 0;  // BEGIN ATOMIC, and each CASE in it
};

}  // namespace doorman::wire
