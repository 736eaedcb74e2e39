#include "base/secret_memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>
#include <string>

namespace doorman {
namespace {

bool is_dumped(const void* memory) {
  std::ifstream smaps("/proc/self/smaps");
  const auto at = reinterpret_cast<std::uintptr_t>(memory);
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) inside = begin <= at && at < end;
    if (inside && line.starts_with("VmFlags:")) return line.find(" dd") == std::string::npos;
  }
  return true;
}

TEST(SecretMemory, IsInNoCoreDump) {
  for (const std::size_t size : {1U, 100U, 512U, 513U, 100'000U}) {
    void* memory = take_secret_memory(size);
    std::memset(memory, 'x', size);
    EXPECT_FALSE(is_dumped(memory)) << size;
    give_back_secret_memory(memory, size);
  }
}

TEST(SecretMemory, IsWipedAndUsedAgain) {
  auto* memory = static_cast<char*>(take_secret_memory(200));
  std::memset(memory, 'x', 200);
  give_back_secret_memory(memory, 200);
  auto* again = static_cast<char*>(take_secret_memory(200));
  EXPECT_EQ(again, memory);
  EXPECT_EQ(std::string_view(again, 200).find('x'), std::string_view::npos);
  give_back_secret_memory(again, 200);
}

TEST(SecretMemory, HoldsWhatContainersHold) {
  std::map<int, SecretText, std::less<>, SecretAllocator<std::pair<const int, SecretText>>> map;
  for (int i = 0; i < 1000; ++i) map.emplace(i, SecretText(static_cast<std::size_t>(i), 'k'));
  for (const auto& [number, text] : map) {
    EXPECT_EQ(text.size(), static_cast<std::size_t>(number));
    EXPECT_FALSE(number % 100 == 0 && is_dumped(text.data()));
  }
  const SecretBytes bytes(8, 'b');
  EXPECT_EQ(text_of(bytes), "bbbbbbbb");
  EXPECT_FALSE(is_dumped(bytes.data()));
}

}  // namespace
}  // namespace doorman
