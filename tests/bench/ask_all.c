// Asks a query on many connections at the same moment, and says how long all of them took.
//
// Usage: ask_all, with the descriptors of connections that are logged in inherited and their
// numbers on the first line of the standard input. It prints "ready", waits for another line, asks,
// and prints the milliseconds until the last one was answered and how many were not.
//
// A program of its own, since the same in Python takes longer than what is measured. The query is
// an empty one: it goes all the way to PostgreSQL, which has little to do for it.
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { kPatienceMs = 30000, kEvents = 256, kMaxNumbers = 200000 };

static const char kQuery[] = "Q\0\0\0\x06;";  // with its closing zero byte
static const char kEnd[] = {'Z', 0, 0, 0, 5, 'I'};

static double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static bool ask(int poll, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  const bool asked = send(fd, kQuery, sizeof kQuery, MSG_NOSIGNAL) == (ssize_t)sizeof kQuery &&
                     epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) == 0;
  if (!asked) fprintf(stderr, "ask_all: %d: %s\n", fd, strerror(errno));
  return asked;
}

// The answer is short enough to come in one piece. False: it was none.
static bool take_answer(int poll, int fd) {
  char answer[1024];
  const ssize_t got = recv(fd, answer, sizeof answer, 0);
  epoll_ctl(poll, EPOLL_CTL_DEL, fd, NULL);
  return got >= (ssize_t)sizeof kEnd && answer[0] == 'I' &&
         memcmp(answer + got - sizeof kEnd, kEnd, sizeof kEnd) == 0;
}

int main(void) {
  static char numbers[kMaxNumbers];
  if (fgets(numbers, sizeof numbers, stdin) == NULL) return 1;
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  puts("ready");
  fflush(stdout);
  char go[8];
  if (fgets(go, sizeof go, stdin) == NULL) return 1;

  const double begun = now_ms();
  int all = 0, asked = 0;
  for (char* at = strtok(numbers, " \n"); at != NULL; at = strtok(NULL, " \n")) {
    asked += ask(poll, atoi(at)) ? 1 : 0;
    ++all;
  }
  int heard = 0, answered = 0;
  double last = begun;
  while (heard < asked) {
    struct epoll_event events[kEvents];
    const int count = epoll_wait(poll, events, kEvents, kPatienceMs);
    if (count <= 0) break;
    for (int i = 0; i < count; ++i) answered += take_answer(poll, events[i].data.fd) ? 1 : 0;
    heard += count;
    last = now_ms();
  }
  printf("%.3f %d\n", last - begun, all - answered);
  return 0;
}
