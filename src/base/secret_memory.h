// SecretMemory: where keys are that live as long as a session or the process does.
//
// It is in no core dump, not in swap where RLIMIT_MEMLOCK allows that, and wiped when it is given
// back. Containers use it through SecretAllocator. A std::string or another type that keeps its
// bytes inside itself is safe only where the object is in such memory too, as in a node of a map.
//
// Any thread; used at login and logout.
#pragma once

#include <cstddef>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace doorman {

void* take_secret_memory(std::size_t size);
void give_back_secret_memory(void* memory, std::size_t size);

// Keeps mapped memory out of core dumps and out of swap. Says so, once, where it may be swapped.
void protect_memory(void* memory, std::size_t size);

template <class T>
struct SecretAllocator {
  using value_type = T;
  SecretAllocator() = default;
  template <class U>
  SecretAllocator(const SecretAllocator<U>& /*other*/) {}

  T* allocate(std::size_t count) {
    static_assert(alignof(T) <= alignof(std::max_align_t));
    return static_cast<T*>(take_secret_memory(bytes(count)));
  }
  void deallocate(T* memory, std::size_t count) { give_back_secret_memory(memory, bytes(count)); }
  static std::size_t bytes(std::size_t count) {
    return count * sizeof(T);  // NOLINT(bugprone-sizeof-expression): T may well be a pointer
  }
  friend bool operator==(const SecretAllocator& /*a*/, const SecretAllocator& /*b*/) {
    return true;
  }
};

// A key that belongs to an object in ordinary memory.
using SecretBytes = std::vector<char, SecretAllocator<char>>;
inline std::string_view text_of(const SecretBytes& bytes) { return {bytes.data(), bytes.size()}; }

// For what is in secret memory itself.
using SecretText = std::basic_string<char, std::char_traits<char>, SecretAllocator<char>>;

}  // namespace doorman
