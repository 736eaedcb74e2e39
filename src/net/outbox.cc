#include "net/outbox.h"

#include <cstring>
#include <utility>

#include "net/stream.h"

namespace doorman::net {

bool Outbox::is_last(const Stream& stream) const { return stream.letter_ == count_; }

void Outbox::add(Stream& stream, Bytes bytes) {
  if (used_ + bytes.size() > kSize || count_ == kLetters) [[unlikely]]
    flush();
  std::memcpy(bytes_.data() + used_, bytes.data(), bytes.size());
  if (stream.letter_ == 0) {
    letters_[count_++] = {.stream = &stream,
                          .begin = static_cast<std::uint32_t>(used_),
                          .size = static_cast<std::uint32_t>(bytes.size())};
    stream.letter_ = static_cast<std::uint32_t>(count_);
    stream.mark(true);
  } else {
    CHECK(is_last(stream));
    letters_[count_ - 1].size += static_cast<std::uint32_t>(bytes.size());
  }
  used_ += bytes.size();
}

void Outbox::send(Letter& letter) {
  Stream* const stream = std::exchange(letter.stream, nullptr);
  if (stream == nullptr) return;
  stream->letter_ = 0;
  stream->send_put_off({bytes_.data() + letter.begin, letter.size});
  stream->mark(false);
}

void Outbox::flush() {
  for (std::size_t i = 0; i < count_; ++i) {
    if (i + 1 < count_) __builtin_prefetch(letters_[i + 1].stream);
    send(letters_[i]);
  }
  count_ = 0;
  used_ = 0;
}

void Outbox::flush(Stream& stream) {
  if (stream.letter_ != 0) send(letters_[stream.letter_ - 1]);
}

}  // namespace doorman::net
