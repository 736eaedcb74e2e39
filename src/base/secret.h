// wipe() overwrites memory that held a password or a key, in a way no compiler leaves out.
//
// It reaches the bytes it is given and no others: a copy made earlier, or the short text that a
// moved-from std::string may still hold inside itself, is the caller's to wipe. So pass secrets by
// reference, and wipe where they are owned.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>

namespace doorman {

void wipe(std::span<std::byte> bytes);

// Wipes all that `text` has room for, not only what it holds now, and leaves it empty.
void wipe(std::string& text);

template <std::size_t N>
void wipe(std::array<std::byte, N>& bytes) {
  wipe(std::span<std::byte>(bytes));
}

// Wipes what functions that have returned have left: 16 KiB of stack below the caller, and vector
// registers, which the dynamic linker saves on the stack when a library calls something for the
// first time. Functions wipe their own secrets, but not what was spilled or copied through those.
void wipe_traces();

// Wipes a local secret on every way out of a function.
template <class T>
class [[nodiscard]] WipeAtEnd {
 public:
  explicit WipeAtEnd(T& secret) : secret_(secret) {}
  WipeAtEnd(const WipeAtEnd&) = delete;
  WipeAtEnd& operator=(const WipeAtEnd&) = delete;
  ~WipeAtEnd() { wipe(secret_); }

 private:
  T& secret_;
};

}  // namespace doorman
