#include "handoff/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "base/record.h"
#include "base/secret.h"
#include "base/secret_memory.h"
#include "base/text.h"

namespace doorman::handoff {

namespace {

Error lost(const std::string& what) { return {ErrorCode::System, what}; }

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> Channel::pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
    return lost("no socket for the successor: " + errno_text(errno));
  }
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

Result<> Channel::wait(short events, Instant by) {
  for (;;) {
    const Duration left = by - clock_now();
    if (left <= Duration::zero()) return Error{ErrorCode::Limit, "no answer in time"};
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    pollfd waited[2] = {{.fd = fd_.get(), .events = events, .revents = 0},
                        {.fd = abort_, .events = POLLIN, .revents = 0}};
    const int ready = ::poll(waited, 2, static_cast<int>(std::min<long long>(ms, 60'000)));
    if (ready < 0 && errno != EINTR) return lost("poll: " + errno_text(errno));
    if (waited[1].revents != 0) return lost("given up");
    if (waited[0].revents != 0) return {};
  }
}

Result<> Channel::send(MessageKind kind, std::string_view body, std::span<const int> fds,
                       Instant by) {
  if (body.size() > kMaxBody || fds.size() > kMaxFds) return lost("a message is too long");
  std::string bytes;
  append_u16(bytes, static_cast<std::uint16_t>(kind));
  bytes.append(body);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFds * sizeof(int))> control{};
  iovec slice = {.iov_base = bytes.data(), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &slice;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (::sendmsg(fd_.get(), &message, MSG_NOSIGNAL) >= 0) return {};
    // Too many descriptors on their way to a peer that is slow: it takes them, or time is over.
    const bool crowded = errno == ETOOMANYREFS;
    if (!would_block(errno) && !crowded) {
      if (errno == EPIPE || errno == ECONNRESET) return lost("the other process has ended");
      return lost("cannot send: " + errno_text(errno));
    }
    if (crowded) {
      ::poll(nullptr, 0, 1);
      if (clock_now() >= by) return lost("too many descriptors are in flight (ETOOMANYREFS)");
    } else {
      TRY(wait(POLLOUT, by));
    }
  }
}

Result<Message> Channel::receive(Instant by) {
  TRY(wait(POLLIN, by));
  std::string bytes(kMaxBody + 2, '\0');
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFds * sizeof(int))> control{};
  iovec slice = {.iov_base = bytes.data(), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &slice;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
  if (got < 0 && would_block(errno)) return receive(by);
  if (got <= 0) return lost("the other process has ended");
  Message out;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::vector<int> fds(count);
    std::memcpy(fds.data(), CMSG_DATA(header), count * sizeof(int));
    for (const int fd : fds) out.fds.emplace_back(fd);
  }
  // Out of descriptors the kernel drops those that it has no room for.
  if ((message.msg_flags & MSG_CTRUNC) != 0) return lost("too few file descriptors are left");
  if (got < 2 || (message.msg_flags & MSG_TRUNC) != 0) return lost("it speaks another language");
  bytes.resize(static_cast<std::size_t>(got));
  out.kind = static_cast<MessageKind>(read_u16(bytes_of(bytes).data()));
  out.body = bytes.substr(2);
  return out;
}

Result<Message> Channel::expect(MessageKind kind, Instant by) {
  Message message = TRY(receive(by));
  if (message.kind == kind) return message;
  if (message.kind == MessageKind::Refused) {
    RecordReader reader(message.body);
    auto reason = reader.next();
    if (reason && *reason) return Error{ErrorCode::Config, std::string((*reason)->value)};
  }
  return Error{ErrorCode::Protocol, "it speaks another language"};
}

namespace {

std::size_t size_of(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? static_cast<std::size_t>(status.st_size) : 0;
}

// Not in core dumps. Null: there is nothing, or it cannot be mapped.
std::byte* map(int fd, std::size_t size, int protection) {
  if (size == 0) return nullptr;
  void* memory = ::mmap(nullptr, size, protection, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return nullptr;
  protect_memory(memory, size);
  return static_cast<std::byte*>(memory);
}

}  // namespace

Result<UniqueFd> memory_of(std::string_view text) {
  UniqueFd fd(::memfd_create("pg_doorman.handoff", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return lost("memfd_create: " + errno_text(errno));
  while (!text.empty()) {
    const ssize_t written = ::write(fd.get(), text.data(), text.size());
    if (written < 0) return lost("cannot write to memory: " + errno_text(errno));
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  // Not against writing: it is wiped.
  ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return fd;
}

void wipe_memory(int fd) {
  const std::size_t size = size_of(fd);
  std::byte* memory = map(fd, size, PROT_READ | PROT_WRITE);
  if (memory == nullptr) return;
  wipe(std::span(memory, size));
  ::munmap(memory, size);
}

Result<Mapped> Mapped::of(int fd) {
  const std::size_t size = size_of(fd);
  const std::byte* memory = map(fd, size, PROT_READ);
  if (memory == nullptr && size > 0) return lost("mmap: " + errno_text(errno));
  return Mapped(reinterpret_cast<const char*>(memory), size);
}

Mapped::Mapped(Mapped&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapped& Mapped::operator=(Mapped&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapped::~Mapped() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

}  // namespace doorman::handoff
