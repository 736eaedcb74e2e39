// The word somebody probably meant: for messages about unknown keys and values.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace doorman::config {

// The one of `choices` that takes the fewest edits to reach from `word`; empty when none is near
// enough to be what was meant.
std::string_view nearest(std::string_view word, std::span<const std::string_view> choices);

// `; did you mean "nearest"?`, or nothing.
std::string suggestion(std::string_view word, std::span<const std::string_view> choices);

// "a, b, c".
std::string listed(std::span<const std::string_view> words);

}  // namespace doorman::config
