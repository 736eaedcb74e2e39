// Logs in to a pooler over and over, from several threads, and says how many logins that made.
//
// Usage: logins PORT USER DATABASE THREADS SECONDS [PASSWORD]
//
// Speaks the protocol itself instead of using libpq, so that the pooler and not this program sets
// the pace: libpq derives the SCRAM key anew for each login, which costs the client about a hundred
// times what it costs the server. Here each thread derives it once. It is a load generator, not a
// client: the server's signature is not checked.
#define OPENSSL_SUPPRESS_DEPRECATED  // the plain SHA256_* functions
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { kKeySize = 32, kBufferSize = 8192, kMaxThreads = 64 };

struct settings {
  uint16_t port;
  const char* user;
  const char* database;
  const char* password;
};

// The key that a password gives with the salt and iterations of the last login.
struct client_key {
  char salt_and_iterations[256];
  unsigned char client_key[kKeySize];
  unsigned char stored_key[kKeySize];
};

struct login {
  int fd;
  char buffer[kBufferSize];
  size_t received;
  size_t taken;
  char first_bare[128];  // the client's first SCRAM message without its "n,,"
};

static struct settings settings;
static atomic_bool stopped;
static atomic_long logins_made;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("logins: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

static void put_u32(char* to, size_t value) {
  const uint32_t wire = htonl((uint32_t)value);
  memcpy(to, &wire, sizeof wire);
}

static uint32_t get_u32(const char* from) {
  uint32_t wire;
  memcpy(&wire, from, sizeof wire);
  return ntohl(wire);
}

static void send_all(int fd, const char* bytes, size_t size) {
  if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size) die("send: %m");
}

// By hand on the plain hash: libcrypto's HMAC() looks its algorithm up under a lock at each call,
// which took most of this program's time in user mode.
static void hmac(const unsigned char* key, const char* text, size_t size, unsigned char* out) {
  unsigned char inner[SHA256_CBLOCK], outer[SHA256_CBLOCK];
  for (int i = 0; i < SHA256_CBLOCK; ++i) {
    const unsigned char byte = i < kKeySize ? key[i] : 0;
    inner[i] = byte ^ 0x36;
    outer[i] = byte ^ 0x5c;
  }
  SHA256_CTX hash;
  SHA256_Init(&hash);
  SHA256_Update(&hash, inner, sizeof inner);
  SHA256_Update(&hash, text, size);
  SHA256_Final(out, &hash);
  SHA256_Init(&hash);
  SHA256_Update(&hash, outer, sizeof outer);
  SHA256_Update(&hash, out, kKeySize);
  SHA256_Final(out, &hash);
}

// The next message: its type, its body in `body` with a zero byte behind it, valid until the next.
static char next_message(struct login* login, char** body, size_t* size) {
  static _Thread_local char text[kBufferSize];
  for (;;) {
    const size_t there = login->received - login->taken;
    const char* message = login->buffer + login->taken;
    if (there >= 5) {
      const size_t length = get_u32(message + 1);
      if (length < 4 || length >= kBufferSize - 1) die("a message of %zu bytes", length);
      if (there >= length + 1) {
        *size = length - 4;
        memcpy(text, message + 5, *size);
        text[*size] = '\0';
        *body = text;
        login->taken += length + 1;
        return *message;
      }
    }
    memmove(login->buffer, message, there);
    login->taken = 0;
    login->received = there;
    const ssize_t got = recv(login->fd, login->buffer + there, sizeof login->buffer - there, 0);
    if (got == 0) die("the server closed the connection during a login");
    if (got < 0) die("recv during a login: %m");
    login->received += (size_t)got;
  }
}

static void send_startup(struct login* login) {
  char packet[512];
  put_u32(packet + 4, 3 << 16);
  const int size = snprintf(packet + 8, sizeof packet - 8, "user%c%s%cdatabase%c%s%c", 0,
                            settings.user, 0, 0, settings.database, 0);
  packet[8 + size] = '\0';
  put_u32(packet, (size_t)size + 9);
  send_all(login->fd, packet, (size_t)size + 9);
}

static void send_scram_first(struct login* login) {
  static atomic_ulong nonce;
  snprintf(login->first_bare, sizeof login->first_bare, "n=,r=%08lx%016lx",
           (unsigned long)time(NULL), atomic_fetch_add(&nonce, 1));
  char packet[256] = "p....SCRAM-SHA-256";
  const size_t mechanism = 5 + strlen("SCRAM-SHA-256") + 1;
  const size_t text = (size_t)snprintf(packet + mechanism + 4, sizeof packet - mechanism - 4,
                                       "n,,%s", login->first_bare);
  put_u32(packet + mechanism, text);
  put_u32(packet + 1, mechanism + 4 + text - 1);
  send_all(login->fd, packet, mechanism + 4 + text);
}

static void derive(struct client_key* key, const char* salt, int iterations) {
  unsigned char raw_salt[256];
  const size_t length = strlen(salt);
  int size = EVP_DecodeBlock(raw_salt, (const unsigned char*)salt, (int)length);
  for (size_t i = length; size > 0 && i > 0 && salt[i - 1] == '='; --i) --size;
  unsigned char salted[kKeySize];
  if (size < 0 || !PKCS5_PBKDF2_HMAC(settings.password, -1, raw_salt, size, iterations,
                                     EVP_sha256(), kKeySize, salted)) {
    die("cannot derive a key from salt \"%s\"", salt);
  }
  hmac(salted, "Client Key", strlen("Client Key"), key->client_key);
  EVP_Digest(key->client_key, kKeySize, key->stored_key, NULL, EVP_sha256(), NULL);
}

static void send_scram_final(struct login* login, struct client_key* key,
                             const char* server_first) {
  char nonce[256], salt[128];
  int iterations;
  if (sscanf(server_first, "r=%255[^,],s=%127[^,],i=%d", nonce, salt, &iterations) != 3) {
    die("not a SCRAM message: %s", server_first);
  }
  const char* salt_and_iterations = strstr(server_first, ",s=");
  if (strcmp(key->salt_and_iterations, salt_and_iterations) != 0) {
    derive(key, salt, iterations);
    snprintf(key->salt_and_iterations, sizeof key->salt_and_iterations, "%s", salt_and_iterations);
  }
  char packet[512] = "p", all[1024];
  char* const text = packet + 5;
  int size = snprintf(text, sizeof packet - 5, "c=biws,r=%s", nonce);
  const int all_size = snprintf(all, sizeof all, "%s,%s,%s", login->first_bare, server_first, text);
  unsigned char proof[kKeySize];
  hmac(key->stored_key, all, (size_t)all_size, proof);
  for (int i = 0; i < kKeySize; ++i) proof[i] ^= key->client_key[i];
  memcpy(text + size, ",p=", 3);
  size += 3;
  size += EVP_EncodeBlock((unsigned char*)text + size, proof, kKeySize);
  put_u32(packet + 1, (size_t)size + 4);
  send_all(login->fd, packet, (size_t)size + 5);
}

static void open_socket(struct login* login) {
  const struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons(settings.port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int one = 1;
  login->received = login->taken = 0;
  login->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (login->fd < 0) die("socket: %m");
  const struct timeval patience = {.tv_sec = 10};
  setsockopt(login->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(login->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(login->fd, (const struct sockaddr*)&address, sizeof address) != 0) die("connect: %m");
}

static void answer(struct login* login, struct client_key* key, const char* body) {
  switch (get_u32(body)) {
    case 0: break;   // logged in
    case 12: break;  // the server's SCRAM signature
    case 10: send_scram_first(login); break;
    case 11: send_scram_final(login, key, body + 4); break;
    default: die("asked for authentication of kind %u", get_u32(body));
  }
}

// Waits for the server's close and resets what is left, so that no port stays in TIME_WAIT: with
// thousands of those, connect() would spend more time on finding a port than the login takes.
static void log_out(struct login* login) {
  const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  send_all(login->fd, "X\0\0\0\4", 5);
  while (recv(login->fd, login->buffer, sizeof login->buffer, 0) > 0) {
  }
  setsockopt(login->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(login->fd);
}

static void log_in(struct login* login, struct client_key* key) {
  open_socket(login);
  send_startup(login);
  for (char type = 0; type != 'Z';) {
    char* body;
    size_t size;
    type = next_message(login, &body, &size);
    if (type == 'R' && size >= 4) answer(login, key, body);
    if (type == 'E') {
      for (size_t i = 0; i + 1 < size; ++i) {
        if (body[i] == '\0') body[i] = ' ';
      }
      die("%s", body);
    }
  }
  log_out(login);
}

static void* run(void* unused) {
  static _Thread_local struct login login;
  static _Thread_local struct client_key key;
  while (!atomic_load_explicit(&stopped, memory_order_relaxed)) {
    log_in(&login, &key);
    atomic_fetch_add_explicit(&logins_made, 1, memory_order_relaxed);
  }
  return unused;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char** argv) {
  if (argc < 6) die("usage: logins PORT USER DATABASE THREADS SECONDS [PASSWORD]");
  settings = (struct settings){.port = (uint16_t)atoi(argv[1]),
                               .user = argv[2],
                               .database = argv[3],
                               .password = argc > 6 ? argv[6] : ""};
  const int threads = atoi(argv[4]);
  if (threads < 1 || threads > kMaxThreads) die("1 to %d threads", kMaxThreads);

  pthread_t started[kMaxThreads];
  const double begin = now();
  for (int i = 0; i < threads; ++i) pthread_create(&started[i], NULL, run, NULL);
  usleep((useconds_t)(atof(argv[5]) * 1e6));
  atomic_store(&stopped, true);
  for (int i = 0; i < threads; ++i) pthread_join(started[i], NULL);
  printf("%ld %.6f\n", atomic_load(&logins_made), now() - begin);
  return 0;
}
