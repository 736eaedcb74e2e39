// Outbox: what the sessions of one turn write to their peers, sent together at its end.
//
// Each system call empties the processor's caches of our code, so a turn that reads, decides and
// sends for one peer after the other meets cold code at each step. With the sends put off, all
// sessions of a turn are served by the same warm code, and then all sends by the same warm kernel.
// Only short writes wait here, as copies; longer ones go out at once, behind what waits for the
// same peer. One thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/secret_memory.h"

namespace doorman::net {

class Stream;

class Outbox {
 public:
  static constexpr std::size_t kSize = std::size_t{32} * 1024;  // of all that waits
  static constexpr std::size_t kLargest = 1024;                 // of one write that may wait
  // Set in a stream's `doubt` while something of it waits.
  static constexpr std::uint8_t kDoubt = 2;

  Outbox() : bytes_(kSize) {}
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  bool empty() const { return used_ == 0; }
  bool is_last(const Stream& stream) const;
  // Keeps a copy. Of `stream` nothing waits, or what waits is the last of all.
  void add(Stream& stream, Bytes bytes);
  // Sends all; what a socket does not take waits in its stream.
  void flush();
  void flush(Stream& stream);

 private:
  static constexpr std::size_t kLetters = 256;
  struct Letter {
    Stream* stream;  // null: sent
    std::uint32_t begin;
    std::uint32_t size;
  };
  void send(Letter& letter);

  std::vector<std::byte, SecretAllocator<std::byte>> bytes_;  // among them cancel keys
  std::size_t used_ = 0;
  std::array<Letter, kLetters> letters_;
  std::size_t count_ = 0;  // of letters
};

}  // namespace doorman::net
