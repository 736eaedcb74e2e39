// The lines of an INI file in PgBouncer's dialect, includes and all; what they mean is not known
// here.
//
// inih follows other rules (Python's): it would take an indented line for the rest of the one
// before, end a value at " ;", accept ":" for "=", and cut a line at 200 bytes, and whether a build
// of it can be told otherwise differs between distributions. So it gets lines that all its rules
// read alike, and the text of names and values goes round it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace doorman::config {

// A section's header, or a "name = value" in it.
struct Item {
  std::string place;    // FILE:LINE
  std::string section;  // empty: before the first header
  bool header;
  std::string name;  // of a header: the section's
  std::string value = {};
};

struct Lines {
  std::vector<Item> items;
  std::vector<std::string> problems;  // each FILE:LINE: what is wrong
};

// No file at all is a problem like others, without a line.
Lines read_file(const std::string& path);
Lines read_text(std::string_view text, std::string_view name);

}  // namespace doorman::config
