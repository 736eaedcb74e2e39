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

BufferPool::Lent BufferPool::lend() {
  ++lent_;
  if (kept_.empty()) return Lent(new Buffer(kSize), Return{this});
  Lent buffer(kept_.back().release(), Return{this});
  kept_.pop_back();
  return buffer;
}

void BufferPool::take_back(std::unique_ptr<Buffer> buffer) {
  CHECK(lent_ > 0);
  --lent_;
  if (buffer->capacity() > kSize || kept_.size() >= kKept) return;
  buffer->consume(buffer->size());
  kept_.push_back(std::move(buffer));
}

}  // namespace doorman
