#include "config/nearest.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

namespace doorman::config {
namespace {

// Longer words are no misspelling of a key, and their distance would cost too much.
constexpr std::size_t kLongestWord = 64;

char small(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// How many characters must be added, removed or replaced to make `b` out of `a`, whatever their
// case.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (small(a[i]) == small(b[j]) ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> choices) {
  if (word.size() > kLongestWord) return {};
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string_view choice : choices) {
    const std::size_t d = distance(word, choice);
    // All characters replaced is no likeness.
    if (d < best_distance && d < std::max(word.size(), choice.size())) {
      best = choice;
      best_distance = d;
    }
  }
  return best;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> choices) {
  const std::string_view meant = nearest(word, choices);
  return meant.empty() ? "" : "; did you mean \"" + std::string(meant) + "\"?";
}

std::string listed(std::span<const std::string_view> words) {
  std::string list;
  for (const std::string_view word : words) {
    if (!list.empty()) list += ", ";
    list += word;
  }
  return list;
}

}  // namespace doorman::config
