#include "handoff/vault.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "base/bytes.h"
#include "base/text.h"

namespace doorman::handoff {

namespace {

constexpr std::uint32_t kMagic = 0x50475631;  // "PGV1": a head, then a number for each socket
constexpr std::size_t kHeadSize = 8;
constexpr std::size_t kMostBytes = kHeadSize + Vault::kMostPerMessage * 8;
// So many at once are a message of their own: they would fill the first pair soon.
constexpr std::size_t kMany = 128;
// So many in the first pair: there will soon be a batch, which needs a second one.
constexpr std::size_t kSoonABatch = 64;

std::string text_for(std::span<const Socket> sockets) {
  std::string text;
  append_u32(text, kMagic);
  append_u32(text, static_cast<std::uint32_t>(sockets.size()));
  for (const Socket& each : sockets) append_u64(text, each.id);
  return text;
}

void set_peek_offset(int fd, int offset) {
  ::setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset);
}

}  // namespace

struct Vault::Message {
  std::vector<std::uint64_t> ids;
  std::vector<UniqueFd> fds;  // as many, or fewer if this process may not have more

  bool whole() const { return ids.size() == fds.size(); }
};

// ---- Pairs ------------------------------------------------------------------------------------

std::string Vault::name_of(const Pair& pair, char end) const {
  return std::string(kStashPrefix) + 'v' + std::to_string(number_) + '.' +
         std::to_string(pair.number) + '.' + end;
}

Vault::Pair* Vault::add_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return nullptr;
  }
  Pair pair{.number = next_pair_++, .in = UniqueFd(ends[0]), .out = UniqueFd(ends[1])};
  ::setsockopt(pair.in.get(), SOL_SOCKET, SO_SNDBUF, &send_buffer_, sizeof send_buffer_);
  store_.keep(name_of(pair, 'r'), pair.out.get());
  store_.keep(name_of(pair, 'w'), pair.in.get());
  pairs_.push_back(std::move(pair));
  return &pairs_.back();
}

void Vault::give_back(Pair& pair) {
  store_.drop(name_of(pair, 'r'));
  store_.drop(name_of(pair, 'w'));
  pair.in.reset();
  pair.out.reset();
}

bool Vault::is_filling(const Pair& pair) {
  int queued = 0;
  int room = 0;
  socklen_t size = sizeof room;
  return ::ioctl(pair.in.get(), SIOCOUTQ, &queued) == 0 &&
         ::getsockopt(pair.in.get(), SOL_SOCKET, SO_SNDBUF, &room, &size) == 0 &&
         queued > room / 4 * 3;
}

// Whether an empty pair behind that one will be wanted soon.
bool Vault::needs_spare(std::size_t before) const {
  const Pair& pair = pairs_[before];
  return before == 0 ? pair.sockets >= kSoonABatch : pair.messages > 0 && is_filling(pair);
}

Result<> Vault::add_end(const std::string& name, UniqueFd fd) {
  const std::lock_guard lock(mutex_);
  const std::string wrong = "a vault's descriptor has no such name: " + name;
  std::string_view rest(name);
  const std::string prefix = std::string(kStashPrefix) + 'v' + std::to_string(number_) + '.';
  if (!rest.starts_with(prefix)) return Error{ErrorCode::Protocol, wrong};
  rest.remove_prefix(prefix.size());
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  if (error != std::errc() || (rest != ".r" && rest != ".w")) {
    return Error{ErrorCode::Protocol, wrong};
  }
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
    return Error{ErrorCode::Protocol, "a vault's descriptor is none: " + name};
  }
  auto known = std::find_if(pairs_.begin(), pairs_.end(),
                            [&](const Pair& each) { return each.number == number; });
  if (known == pairs_.end()) {
    known = pairs_.insert(pairs_.end(), Pair{.number = number, .in = {}, .out = {}});
  }
  (rest == ".r" ? known->out : known->in) = std::move(fd);
  next_pair_ = std::max(next_pair_, number + 1);
  return {};
}

void Vault::ends_are_complete() {
  const std::lock_guard lock(mutex_);
  for (Pair& each : pairs_) {
    if (!each.in || !each.out) give_back(each);
  }
  std::erase_if(pairs_, [](const Pair& each) { return !each.in; });
  std::sort(pairs_.begin(), pairs_.end(),
            [](const Pair& a, const Pair& b) { return a.number < b.number; });
}

void Vault::drop() {
  const std::lock_guard lock(mutex_);
  for (Pair& each : pairs_) give_back(each);
  pairs_.clear();
}

std::vector<NamedFd> Vault::fds() const {
  const std::lock_guard lock(mutex_);
  std::vector<NamedFd> all;
  for (const Pair& each : pairs_) {
    all.push_back({.name = name_of(each, 'r'), .fd = each.out.get()});
    all.push_back({.name = name_of(each, 'w'), .fd = each.in.get()});
  }
  return all;
}

// ---- Messages ---------------------------------------------------------------------------------

bool Vault::send(Pair& pair, std::span<const Socket> sockets) {
  const std::string text = text_for(sockets);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostPerMessage * sizeof(int))> control{};
  iovec part = {.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(sockets.size() * sizeof(int));
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sockets.size() * sizeof(int));
  std::byte* at = reinterpret_cast<std::byte*>(CMSG_DATA(head));
  for (const Socket& each : sockets) {
    std::memcpy(at, &each.fd, sizeof each.fd);
    at += sizeof each.fd;
  }
  if (::sendmsg(pair.in.get(), &message, MSG_NOSIGNAL) < 0) return false;
  ++pair.messages;
  pair.sockets += sockets.size();
  return true;
}

// Into any pair but the first, or into a new one. False with errno: there is no room at all.
bool Vault::send_anywhere(std::span<const Socket> sockets) {
  for (std::size_t i = 1; i < pairs_.size(); ++i) {
    if (send(pairs_[i], sockets)) {
      if (i + 1 == pairs_.size() && needs_spare(i)) add_pair();
      return true;
    }
    if (errno != EAGAIN && errno != ENOBUFS) return false;
  }
  Pair* added = add_pair();
  return added != nullptr && send(*added, sockets);
}

// One message, from the pair's offset on. 0: there is none; -1: it is none of ours.
int Vault::peek(const Pair& pair, Message& message) {
  message.ids.clear();
  message.fds.clear();
  std::array<std::byte, kMostBytes> text{};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostPerMessage * sizeof(int))> control{};
  iovec part = {.iov_base = text.data(), .iov_len = text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t got =
      ::recvmsg(pair.out.get(), &header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got <= 0) return 0;
  for (cmsghdr* head = CMSG_FIRSTHDR(&header); head != nullptr; head = CMSG_NXTHDR(&header, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
      message.fds.emplace_back(fd);
    }
  }
  const auto size = static_cast<std::size_t>(got);
  if (size < kHeadSize || read_u32(text.data()) != kMagic) return -1;
  const std::size_t count = read_u32(text.data() + 4);
  if (count > kMostPerMessage || size != kHeadSize + count * 8 || count < message.fds.size()) {
    return -1;
  }
  for (std::size_t i = 0; i < count; ++i) {
    message.ids.push_back(read_u64(text.data() + kHeadSize + i * 8));
  }
  return 1;
}

// Receives the oldest message, whose sockets the kernel closes: no room is offered for them.
void Vault::take_first(Pair& pair, std::size_t sockets) {
  std::byte byte{};
  if (::recv(pair.out.get(), &byte, sizeof byte, MSG_DONTWAIT) < 0) return;
  pair.messages -= std::min<std::size_t>(pair.messages, 1);
  pair.sockets -= std::min(pair.sockets, sockets);
}

// ---- In and out -------------------------------------------------------------------------------

// The oldest messages of a pair, as many as fit into one and without what is not alive, become one:
// of another pair if `place` is the first, else the pair's youngest. Returns how many there were.
// For a moment their sockets are in flight twice. Where the limit does not allow that, the oldest
// is taken out before what is alive of it is put in again: who is killed between the two calls
// loses it.
std::size_t Vault::condense(std::size_t place, const Alive& alive, std::size_t most) {
  std::vector<Socket> sockets;
  std::vector<UniqueFd> copies;
  std::vector<std::size_t> counts;
  std::size_t alive_in_first = 0;
  set_peek_offset(pairs_[place].out.get(), 0);
  Message message;
  int got = 0;
  while (counts.size() < most && (got = peek(pairs_[place], message)) != 0) {
    if (!message.whole() && got > 0) break;  // this process has no room for more descriptors
    const std::size_t before = sockets.size();
    for (std::size_t i = 0; got > 0 && i < message.ids.size(); ++i) {
      if (!alive(message.ids[i])) continue;
      sockets.push_back({.id = message.ids[i], .fd = message.fds[i].get()});
    }
    if (sockets.size() > kMostPerMessage) {
      sockets.resize(before);
      break;
    }
    if (counts.empty()) alive_in_first = sockets.size();
    counts.push_back(message.ids.size());
    for (UniqueFd& each : message.fds) copies.push_back(std::move(each));
  }
  set_peek_offset(pairs_[place].out.get(), -1);
  if (!sockets.empty()) {
    const bool sent = place > 0 && send(pairs_[place], sockets);
    if (!sent && !send_anywhere(sockets)) {
      if (errno != ETOOMANYREFS || counts.empty()) return 0;
      take_first(pairs_[place], counts.front());
      const auto first = std::span(sockets).first(alive_in_first);
      if (!first.empty() && !send(pairs_[place], first)) refused_ += first.size();
      return 1;
    }
  }
  for (const std::size_t count : counts) take_first(pairs_[place], count);
  return counts.size();
}

bool Vault::send_small(std::span<const Socket> sockets) {
  const auto fits = [&] { return pairs_.front().sockets + sockets.size() <= kMostPerMessage; };
  if (fits() && send(pairs_.front(), sockets)) return true;
  const auto all = [](std::uint64_t) { return true; };
  while (!fits() || errno == EAGAIN) {
    if (condense(0, all, kMostPerMessage) == 0) return false;
    if (fits() && send(pairs_.front(), sockets)) return true;
  }
  return false;
}

void Vault::prepare() {
  const std::lock_guard lock(mutex_);
  if (pairs_.empty()) add_pair();
}

std::size_t Vault::put(std::span<const Socket> sockets) {
  const std::lock_guard lock(mutex_);
  std::size_t done = 0;
  while (done < sockets.size()) {
    const auto some = sockets.subspan(done, std::min(kMostPerMessage, sockets.size() - done));
    if (pairs_.empty() && add_pair() == nullptr) break;
    const bool in = some.size() < kMany && send_small(some);
    if (!in && !send_anywhere(some)) break;
    done += some.size();
  }
  refused_ += sockets.size() - done;
  if (pairs_.size() == 1 && needs_spare(0)) add_pair();
  return done;
}

Result<> Vault::read(const std::function<void(std::uint64_t id, UniqueFd fd)>& visit) {
  const std::lock_guard lock(mutex_);
  std::size_t missing = 0;
  for (Pair& pair : pairs_) {
    pair.messages = 0;
    pair.sockets = 0;
    set_peek_offset(pair.out.get(), 0);
    Message message;
    int got = 0;
    while ((got = peek(pair, message)) != 0) {
      ++pair.messages;
      if (got < 0) continue;
      pair.sockets += message.ids.size();
      missing += message.ids.size() - message.fds.size();
      for (std::size_t i = 0; i < message.fds.size(); ++i) {
        visit(message.ids[i], std::move(message.fds[i]));
      }
    }
    set_peek_offset(pair.out.get(), -1);
  }
  if (missing == 0) return {};
  return Error{ErrorCode::Limit, std::to_string(missing) +
                                     " sockets of a vault do not fit into this process: raise "
                                     "LimitNOFILE"};
}

// No room is offered for the sockets, so none of them comes.
void Vault::count() {
  const std::lock_guard lock(mutex_);
  for (Pair& pair : pairs_) {
    pair.messages = 0;
    pair.sockets = 0;
    set_peek_offset(pair.out.get(), 0);
    std::array<std::byte, kMostBytes> text{};
    ssize_t got = 0;
    while ((got = ::recv(pair.out.get(), text.data(), text.size(), MSG_PEEK | MSG_DONTWAIT)) > 0) {
      ++pair.messages;
      const auto size = static_cast<std::size_t>(got);
      if (size >= kHeadSize && read_u32(text.data()) == kMagic) {
        pair.sockets += (size - kHeadSize) / 8;
      }
    }
    set_peek_offset(pair.out.get(), -1);
  }
}

void Vault::tidy(const Alive& alive, std::size_t messages) {
  const std::lock_guard lock(mutex_);
  while (messages > 0 && !pairs_.empty()) {
    if (tidy_at_ >= pairs_.size()) {
      tidy_at_ = 0;
      tidy_left_ = pairs_.front().messages;
    }
    const std::size_t done = condense(tidy_at_, alive, std::min(messages, tidy_left_));
    messages -= std::max<std::size_t>(done, 1);
    tidy_left_ -= done;
    if (done > 0 && tidy_left_ > 0) continue;
    ++tidy_at_;
    if (tidy_at_ < pairs_.size()) tidy_left_ = pairs_[tidy_at_].messages;
  }
  for (std::size_t i = pairs_.size(); i-- > 1;) {
    const bool spare = i + 1 == pairs_.size() && needs_spare(i - 1);
    if (pairs_[i].messages == 0 && !spare) {
      give_back(pairs_[i]);
      pairs_.erase(pairs_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

std::size_t Vault::sockets() const {
  const std::lock_guard lock(mutex_);
  std::size_t sum = 0;
  for (const Pair& each : pairs_) sum += each.sockets;
  return sum;
}

std::size_t Vault::messages() const {
  const std::lock_guard lock(mutex_);
  std::size_t sum = 0;
  for (const Pair& each : pairs_) sum += each.messages;
  return sum;
}

std::size_t Vault::pairs() const {
  const std::lock_guard lock(mutex_);
  return pairs_.size();
}

std::uint64_t Vault::refused() const {
  const std::lock_guard lock(mutex_);
  return refused_;
}

}  // namespace doorman::handoff
