// Gather: what is to be written to one peer in one go, as slices of memory that belongs to others.
//
// Neighbouring slices become one, so that the usual case, everything of one read passed on, is one
// plain send. Bytes that exist nowhere yet (a message that we make) are kept by the Gather itself.
// Lives for one pass over a peer's input: reset() before the memory that it points to changes.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace doorman::net {

class Gather {
 public:
  static constexpr std::size_t kMaxSlices = 256;

  // `bytes` must stay where they are until reset().
  void add(Bytes bytes) {
    size_ += bytes.size();
    if (bytes.data() == end_ && count_ > 0) {
      slices_[count_ - 1].iov_len += bytes.size();
      end_ += bytes.size();
    } else {
      push(bytes);
    }
  }
  // Keeps a copy.
  void add_copy(Bytes bytes);
  void add_copy(std::string_view text) { add_copy(bytes_of(text)); }

  bool full() const { return count_ + 16 >= kMaxSlices; }  // time to write
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  std::span<iovec> slices() { return {slices_, count_}; }
  void reset() {
    count_ = 0;
    size_ = 0;
    used_ = 0;
    if (blocks_.size() > 1) blocks_.resize(1);
  }

 private:
  static constexpr std::size_t kBlock = std::size_t{16} * 1024;
  struct Block {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t size;
  };
  void push(Bytes bytes);

  iovec slices_[kMaxSlices];
  std::size_t count_ = 0;
  std::size_t size_ = 0;
  const std::byte* end_ = nullptr;  // of the last slice
  std::vector<Block> blocks_;       // the copies; the last one is being filled
  std::size_t used_ = 0;            // of the last block
};

}  // namespace doorman::net
