// What this program frees it wipes first, so that no memory that nobody owns holds a key, a record
// of a session or a row. A part of the program and not of its library: tests that count allocations
// have an operator of their own.
//
// No query allocates, so it costs none of them anything. Sanitizers have their own allocator, which
// wants to see each new and delete.
#include <malloc.h>

#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PG_DOORMAN_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PG_DOORMAN_SANITIZED
#endif

#ifndef PG_DOORMAN_SANITIZED

void operator delete(void* memory) noexcept {
  if (memory != nullptr) ::explicit_bzero(memory, ::malloc_usable_size(memory));
  std::free(memory);
}

void operator delete(void* memory, std::size_t /*size*/) noexcept { operator delete(memory); }
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept {
  operator delete(memory);
}
void operator delete(void* memory, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  operator delete(memory);
}

#endif
