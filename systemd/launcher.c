/* launcher PROGRAM [ARGUMENT...]: what systemd starts. It becomes PROGRAM.
 *
 * Clients outlive a restart, so a program that cannot start would leave them hanging. After two
 * starts in a row that came to nothing, or at once if PROGRAM cannot be executed at all, the
 * launcher becomes the last executable that has served, which pg_doorman keeps in the unit's FD
 * store under the name "last-good". The program learns of it by PG_DOORMAN_FALLBACK. Starts that go
 * on failing are slowed down.
 *
 * Starts are counted by the length of the file "starts" in $RUNTIME_DIRECTORY, which pg_doorman
 * removes when it serves. Linked statically, so that no missing library stops it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
  FIRST_PASSED_FD = 3,
  FAILURES_TO_FALL_BACK = 2,
  FAILURES_TO_SLOW_DOWN = 3,
  FIRST_DELAY_MS = 100,
  MAX_DELAY_MS = 5000,
};

__attribute__((format(printf, 1, 2))) static void say(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  dprintf(STDERR_FILENO, "<3>launcher: %s\n", text);
}

/* Starts before this one since the program last served; and counts this one. */
static long failures(void) {
  const char* folder = getenv("RUNTIME_DIRECTORY");
  if (folder == NULL) return 0;
  char path[4096];
  const int length = (int)strcspn(folder, ":");
  if (snprintf(path, sizeof path, "%.*s/starts", length, folder) >= (int)sizeof path) return 0;
  const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return 0;
  struct stat file;
  long before = fstat(fd, &file) == 0 ? (long)file.st_size : 0;
  if (write(fd, ".", 1) != 1) before = 0;
  close(fd);
  return before;
}

/* The descriptor of that name among those that systemd passed, or -1. */
static int passed_fd(const char* name) {
  const char* pid = getenv("LISTEN_PID");
  const char* names = getenv("LISTEN_FDNAMES");
  if (pid == NULL || names == NULL || strtol(pid, NULL, 10) != (long)getpid()) return -1;
  for (int fd = FIRST_PASSED_FD;; ++fd) {
    const size_t length = strcspn(names, ":");
    if (length == strlen(name) && memcmp(names, name, length) == 0) return fd;
    if (names[length] == '\0') return -1;
    names += length + 1;
  }
}

static void slow_down(long failed) {
  if (failed < FAILURES_TO_SLOW_DOWN) return;
  long delay = FIRST_DELAY_MS;
  for (long i = FAILURES_TO_SLOW_DOWN; i < failed && delay < MAX_DELAY_MS; ++i) delay *= 2;
  if (delay > MAX_DELAY_MS) delay = MAX_DELAY_MS;
  const struct timespec pause = {.tv_sec = delay / 1000, .tv_nsec = delay % 1000 * 1000000};
  nanosleep(&pause, NULL);
}

static void become_last_good(int fd, char** arguments, const char* why) {
  extern char** environ;
  say("%s: starting the last good executable instead", why);
  setenv("PG_DOORMAN_FALLBACK", why, 1);
  fexecve(fd, arguments, environ);
  say("the last good executable cannot be executed: %s", strerror(errno));
  unsetenv("PG_DOORMAN_FALLBACK");
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fputs("usage: launcher PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  char** arguments = argv + 1;
  const char* program = arguments[0];
  const long failed = failures();
  slow_down(failed);

  const int last_good = passed_fd("last-good");
  struct stat installed;
  struct stat kept;
  char why[256];
  if (failed >= FAILURES_TO_FALL_BACK && last_good >= 0 && fstat(last_good, &kept) == 0 &&
      (stat(program, &installed) != 0 || installed.st_ino != kept.st_ino ||
       installed.st_dev != kept.st_dev)) {
    snprintf(why, sizeof why, "%s failed to start %ld times in a row", program, failed);
    become_last_good(last_good, arguments, why);
  }
  execv(program, arguments);
  snprintf(why, sizeof why, "%s cannot be executed: %s", program, strerror(errno));
  if (last_good >= 0) become_last_good(last_good, arguments, why);
  say("%s", why);
  return 203; /* as systemd's own EXIT_EXEC */
}
