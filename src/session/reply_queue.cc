#include "session/reply_queue.h"

#include <algorithm>
#include <utility>

namespace doorman::session {

void ReplyQueue::grow() {
  const std::size_t room = std::max<std::size_t>(8, room_ * 2);
  auto larger = std::make_unique<Reply[]>(room);
  for (std::size_t i = 0; i < count_; ++i) larger[i] = std::move(at(i));
  ring_ = std::move(larger);
  room_ = room;
  first_ = 0;
}

void ReplyQueue::erase(std::size_t index, std::size_t count) {
  CHECK(index + count <= count_);
  for (std::size_t i = index; i + count < count_; ++i) at(i) = std::move(at(i + count));
  for (std::size_t i = count_ - count; i < count_; ++i) at(i) = {};
  count_ -= count;
  if (count_ == 0) emptied();
}

void ReplyQueue::shrink() {
  ring_.reset();
  room_ = 0;
  first_ = 0;
}

}  // namespace doorman::session
