#include "base/buffer.h"

#include <algorithm>
#include <cstring>

namespace doorman {

std::span<std::byte> Buffer::free_space(std::size_t wanted) {
  if (capacity_ - end_ < wanted && begin_ > 0) {
    std::memmove(storage_.get(), storage_.get() + begin_, size());
    end_ -= begin_;
    begin_ = 0;
  }
  if (capacity_ - end_ < wanted) {
    const std::size_t larger = std::max(capacity_ * 2, end_ + wanted);
    std::unique_ptr<std::byte[]> storage(new std::byte[larger]);
    std::memcpy(storage.get(), storage_.get(), end_);
    storage_ = std::move(storage);
    capacity_ = larger;
  }
  return {storage_.get() + end_, capacity_ - end_};
}

void Buffer::append(Bytes more) {
  if (more.empty()) return;
  std::memcpy(free_space(more.size()).data(), more.data(), more.size());
  received(more.size());
}

BufferPool::Lent BufferPool::lend(std::size_t size) {
  ++lent_;
  const bool small = size <= kSmall;
  Kept& kept = small ? kept_small_ : kept_;
  if (kept.empty()) return Lent(new Buffer(small ? kSmall : kSize), Return{this});
  Lent buffer(kept.back().release(), Return{this});
  kept.pop_back();
  return buffer;
}

void BufferPool::take_back(std::unique_ptr<Buffer> buffer) {
  CHECK(lent_ > 0);
  --lent_;
  const bool small = buffer->capacity() == kSmall;
  Kept& kept = small ? kept_small_ : kept_;
  if ((!small && buffer->capacity() != kSize) || kept.size() >= kKept) return;
  buffer->consume(buffer->size());
  kept.push_back(std::move(buffer));
}

}  // namespace doorman
