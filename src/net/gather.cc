#include "net/gather.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace doorman::net {

void Gather::push(Bytes bytes) {
  if (bytes.empty()) return;
  CHECK(count_ < kMaxSlices);
  slices_[count_++] = {.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  end_ = bytes.data() + bytes.size();
}

void Gather::add_copy(Bytes bytes) {
  if (bytes.empty()) return;
  if (blocks_.empty() || blocks_.back().size - used_ < bytes.size()) {
    const std::size_t size = std::max(kBlock, bytes.size());
    blocks_.push_back({.bytes = std::unique_ptr<std::byte[]>(new std::byte[size]), .size = size});
    used_ = 0;
  }
  std::byte* place = blocks_.back().bytes.get() + used_;
  std::memcpy(place, bytes.data(), bytes.size());
  used_ += bytes.size();
  add({place, bytes.size()});
}

}  // namespace doorman::net
