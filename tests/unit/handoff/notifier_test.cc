#include "handoff/notifier.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

namespace doorman::handoff {
namespace {

// A service manager's socket, as NOTIFY_SOCKET names it.
class ServiceManager {
 public:
  ServiceManager() {
    char folder[] = "/tmp/notifier.XXXXXX";
    EXPECT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    fd_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const std::string path = folder_ + "/notify";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~ServiceManager() {
    ::unsetenv("NOTIFY_SOCKET");
    std::filesystem::remove_all(folder_);
  }

  // The next message, waiting for it; with it came `fd`, if one did.
  std::string next() {
    pollfd readable = {.fd = fd_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, 20000) != 1) return "(nothing)";
    char text[4096];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec part = {.iov_base = text, .iov_len = sizeof text};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t length = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
    fd.reset();
    for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
         each = CMSG_NXTHDR(&message, each)) {
      if (each->cmsg_type != SCM_RIGHTS) continue;
      int passed = -1;
      std::memcpy(&passed, CMSG_DATA(each), sizeof passed);
      fd.reset(passed);
    }
    return {text, static_cast<std::size_t>(std::max<ssize_t>(length, 0))};
  }
  bool silent() {
    pollfd readable = {.fd = fd_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&readable, 1, 0) == 0;
  }

  UniqueFd fd;

 private:
  std::string folder_;
  UniqueFd fd_;
};

TEST(Notifier, WithoutServiceManagerSaysNothingAndSucceeds) {
  ::unsetenv("NOTIFY_SOCKET");
  Notifier notifier;
  EXPECT_FALSE(notifier.active());
  notifier.ready();
  notifier.status("well");
  EXPECT_FALSE(notifier.store("name", STDIN_FILENO));
  EXPECT_TRUE(notifier.barrier(std::chrono::seconds(1)));
  EXPECT_EQ(notifier.dropped(), 0U);
}

TEST(Notifier, SaysWhatSystemdUnderstands) {
  ServiceManager manager;
  Notifier notifier;
  EXPECT_TRUE(notifier.active());
  notifier.ready();
  EXPECT_EQ(manager.next(), "READY=1");
  notifier.status("two\nlines");
  EXPECT_EQ(manager.next(), "STATUS=two lines");
  notifier.reloading();
  const std::string reloading = manager.next();
  EXPECT_TRUE(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC=")) << reloading;
  EXPECT_GT(std::stoull(reloading.substr(reloading.rfind('=') + 1)), 0U);
  notifier.keep_alive();
  EXPECT_EQ(manager.next(), "WATCHDOG=1");
  notifier.extend_timeout(std::chrono::seconds(2));
  EXPECT_EQ(manager.next(), "EXTEND_TIMEOUT_USEC=2000000");
  notifier.main_pid(4711);
  EXPECT_EQ(manager.next(), "MAINPID=4711\nREADY=1");
  notifier.stopping();
  EXPECT_EQ(manager.next(), "STOPPING=1");
}

TEST(Notifier, StoresADuplicateOfADescriptor) {
  ServiceManager manager;
  Notifier notifier;
  struct stat before = {};
  {
    const UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::fstat(file.get(), &before), 0);
    EXPECT_TRUE(notifier.store("stash-1", file.get()));
  }
  EXPECT_EQ(manager.next(), "FDSTORE=1\nFDNAME=stash-1\nFDPOLL=0");
  struct stat after = {};
  ASSERT_EQ(::fstat(manager.fd.get(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_TRUE(notifier.store("stash-2", STDIN_FILENO, Notifier::Poll::Yes));
  EXPECT_EQ(manager.next(), "FDSTORE=1\nFDNAME=stash-2");
  notifier.remove("stash-1");
  EXPECT_EQ(manager.next(), "FDSTOREREMOVE=1\nFDNAME=stash-1");
}

TEST(Notifier, ABarrierEndsWhenItsDescriptorIsClosed) {
  ServiceManager manager;
  Notifier notifier;
  bool reached = false;
  std::thread waits([&] { reached = notifier.barrier(std::chrono::seconds(20)); });
  EXPECT_EQ(manager.next(), "BARRIER=1");
  manager.fd.reset();
  waits.join();
  EXPECT_TRUE(reached);
  EXPECT_FALSE(notifier.barrier(std::chrono::milliseconds(10)));
}

TEST(Notifier, IsMuteUntilItIsTheMainProcess) {
  ServiceManager manager;
  Notifier notifier;
  notifier.mute(true);
  notifier.ready();
  notifier.status("restoring");
  notifier.status("serving");
  notifier.mute(false);
  notifier.ready();
  EXPECT_EQ(manager.next(), "STATUS=serving");
  EXPECT_EQ(manager.next(), "READY=1");
  EXPECT_TRUE(manager.silent());
}

// The socket's queue is full and nobody reads: callers do not wait, and what is too much is
// counted.
TEST(Notifier, DoesNotHoldUpItsCallersWhileTheServiceManagerIsBusy) {
  ServiceManager manager;
  Notifier notifier;
  for (std::size_t i = 0; i < Notifier::kQueue * 2; ++i) notifier.keep_alive();
  notifier.status("first");
  notifier.status("last");
  EXPECT_GT(notifier.dropped(), 0U);
  std::string message;
  std::size_t count = 0;
  while ((message = manager.next()) == "WATCHDOG=1") ++count;
  EXPECT_LT(count, Notifier::kQueue * 2);
  EXPECT_EQ(message, "STATUS=last");
}

}  // namespace
}  // namespace doorman::handoff
