// Stream: a connected, non-blocking socket in a worker's loop, and the bytes it has not taken yet.
//
// Knows nothing of what the bytes mean. With an Outbox, short writes are sent at the end of the
// turn; a peer that is found gone then is told of by reading, as any other. Reading is
// level-triggered: a handler reads once per wake-up and is woken again while there is more. Whoever
// writes looks at unsent(): while it is not zero, the source of the bytes should not be read
// (backpressure).
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>

#include "base/buffer.h"
#include "base/unique_fd.h"
#include "net/event.h"
#include "net/gather.h"
#include "net/outbox.h"

namespace doorman::net {

enum class ReadStatus { Data, WouldBlock, Closed };

struct Read {
  ReadStatus status;
  std::size_t size;  // with Data
};

class Stream {
 public:
  explicit Stream(UniqueFd fd) : fd_(std::move(fd)) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { detach(); }

  // Joins the loop of a worker; `handler` is told of readiness until detach(). Unsent bytes wait in
  // buffers of `buffers`, which the same thread owns.
  void attach(EventLoop& loop, BufferPool& buffers, EventHandler& handler,
              Outbox* outbox = nullptr);
  // Where Outbox::kDoubt is set while written bytes are not sent yet.
  void mark_in(std::atomic<std::uint8_t>& doubt);
  void detach();

  void assign(UniqueFd fd) {
    CHECK(!fd_);
    fd_ = std::move(fd);
  }
  int fd() const { return fd_.get(); }
  bool open() const { return static_cast<bool>(fd_); }

  Read read(std::span<std::byte> into);
  // Writes all of `gather`, keeps what the socket does not take. False: the peer is gone.
  [[nodiscard]] bool write(Gather& gather) {
    const std::span<iovec> slices = gather.slices();
    if (slices.empty()) return true;
    if (slices.size() > 1) return write_slices(gather);
    return write({static_cast<std::byte*>(slices[0].iov_base), slices[0].iov_len});
  }
  [[nodiscard]] bool write(Bytes bytes);
  [[nodiscard]] bool flush();  // on EV_WRITE
  std::size_t unsent() const { return unsent_ ? unsent_->size() : 0; }
  Bytes unsent_bytes() const { return unsent_ ? unsent_->bytes() : Bytes(); }
  void keep_unsent(Bytes bytes);  // when a session is rebuilt

  void want_read(bool wanted);
  bool wants_read() const { return read_event_ && read_event_->enabled(); }
  void want_write();  // once: to learn that a connect() is done

  void close();        // leaves the loop first
  UniqueFd release();  // for another owner; leaves the loop first

 private:
  friend class Outbox;
  bool write_slices(Gather& gather);
  void watch_unsent();
  bool send_or_keep(Bytes bytes);
  void send_put_off(Bytes bytes);
  void mark(bool set) {
    if (doubt_ == nullptr) return;
    const std::uint8_t now = doubt_->load(std::memory_order_relaxed);
    doubt_->store(static_cast<std::uint8_t>(set ? now | Outbox::kDoubt : now & ~Outbox::kDoubt),
                  std::memory_order_release);
  }

  UniqueFd fd_;
  EventLoop* loop_ = nullptr;
  BufferPool* buffers_ = nullptr;
  Outbox* outbox_ = nullptr;
  std::atomic<std::uint8_t>* doubt_ = nullptr;
  std::uint32_t letter_ = 0;  // its place in the outbox and 1; 0: nothing waits there
  EventHandler* handler_ = nullptr;
  std::optional<IoEvent> read_event_;
  std::unique_ptr<IoEvent> write_event_;  // made when a write has to wait for the first time
  BufferPool::Lent unsent_ = BufferPool::none();
};

}  // namespace doorman::net
