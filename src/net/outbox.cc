#include "net/outbox.h"

#include <utility>

#include "net/stream.h"

namespace doorman::net {

bool Outbox::is_last(const Stream& stream) const { return stream.letter_ == letters_.size(); }

std::byte* Outbox::room(Stream& stream, std::size_t size) {
  if (used_ + size > kSize || letters_.size() == kLetters) flush();
  CHECK(stream.letter_ == 0 || is_last(stream));
  std::byte* const place = bytes_.data() + used_;
  if (stream.letter_ != 0) {
    letters_.back().size += static_cast<std::uint32_t>(size);
  } else {
    letters_.push_back({.stream = &stream,
                        .begin = static_cast<std::uint32_t>(used_),
                        .size = static_cast<std::uint32_t>(size)});
    stream.letter_ = static_cast<std::uint32_t>(letters_.size());
    stream.mark(true);
  }
  used_ += size;
  return place;
}

void Outbox::send(Letter& letter) {
  Stream* const stream = std::exchange(letter.stream, nullptr);
  if (stream == nullptr) return;
  stream->letter_ = 0;
  stream->send_put_off({bytes_.data() + letter.begin, letter.size});
  stream->mark(false);
}

void Outbox::flush() {
  for (std::size_t i = 0; i < letters_.size(); ++i) {
    if (i + 1 < letters_.size()) __builtin_prefetch(letters_[i + 1].stream);
    send(letters_[i]);
  }
  letters_.clear();
  used_ = 0;
}

void Outbox::flush(Stream& stream) {
  if (stream.letter_ != 0) send(letters_[stream.letter_ - 1]);
}

}  // namespace doorman::net
