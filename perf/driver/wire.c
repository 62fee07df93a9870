/* Clocks, sockets and the handshake: what every mode needs. */
#define _GNU_SOURCE
#include "natsbench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double now_s(void) { return (double)now_ns() / 1e9; }

/* User and system seconds of a process, all its threads, the ended ones included; 0 for pid 0. */
double process_cpu_s(pid_t pid) {
  if (pid == 0) return 0;
  clockid_t clock;
  struct timespec t;
  int error = clock_getcpuclockid(pid, &clock);
  if (error) fail("no CPU clock of process %d: %s", (int)pid, strerror(error));
  if (clock_gettime(clock, &t)) fail_errno("CPU clock of the server");
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("natsbench: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  _exit(EXIT_FAILED);
}

void fail_errno(const char *what) { fail("%s: %s", what, strerror(errno)); }

void *allocate(size_t bytes) {
  void *memory = calloc(1, bytes);
  if (!memory) fail_errno("memory");
  return memory;
}

int digits(long value) {
  int count = 1;
  for (; value >= 10; value /= 10) count++;
  return count;
}

/* Sends bytes of the protocol, in a frame where frames are spoken. */
void send_all(int fd, const char *bytes, size_t length) {
  if (!is_websocket(fd)) {
    send_bytes(fd, bytes, length);
    return;
  }
  unsigned char *frame = allocate(length + FRAME_HEADER_BYTES);
  send_bytes(fd, (char *)frame, put_frame(frame, bytes, length));
  free(frame);
}

/* Sends bytes as they are. */
void send_bytes(int fd, const char *bytes, size_t length) {
  while (length) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) fail_errno("send");
    bytes += sent;
    length -= (size_t)sent;
  }
}

/* The CONNECT line a client library would send, without its line end. */
size_t connect_line(const struct options *options, char *out, size_t capacity) {
  char credentials[256] = "";
  if (options->user)
    snprintf(credentials, sizeof credentials, ",\"user\":\"%s\",\"pass\":\"%s\"", options->user, options->password);
  int length = snprintf(out, capacity,
                        "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false%s,\"name\":\"natsbench\","
                        "\"lang\":\"c\",\"version\":\"1.0.0\",\"protocol\":1,\"echo\":true,\"headers\":true,"
                        "\"no_responders\":true}",
                        credentials);
  if (length < 0 || (size_t)length >= capacity) fail("credentials are too long");
  return (size_t)length;
}

/* A connected blocking socket that gives up after the timeout. */
int open_socket(const struct options *options) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
  if (inet_pton(AF_INET, options->host, &address.sin_addr) != 1) fail("not an IPv4 address: %s", options->host);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail_errno("socket");
  if (connect(fd, (struct sockaddr *)&address, sizeof address)) fail_errno("connect");
  int one = 1;
  struct timeval limit = {.tv_sec = (time_t)options->timeout_s};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return fd;
}

/* Reads whole lines, byte by byte as they are few, until one starts with `wanted`. */
static void await_line(int fd, const char *wanted) {
  char line[4096];
  size_t length = 0;
  for (;;) {
    char byte;
    ssize_t got = recv(fd, &byte, 1, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno(wanted);
    if (got == 0) fail("the server closed the connection before %s", wanted);
    if (unframe(fd, &byte, 1) == 0) continue;
    if (byte != '\n') {
      if (length < sizeof line - 1) line[length++] = byte;
      continue;
    }
    line[length] = 0;
    length = 0;
    if (!strncmp(line, "-ERR", 4)) fail("the server said %s", line);
    if (!strncmp(line, "PING", 4)) send_all(fd, "PONG\r\n", 6);
    if (!strncmp(line, wanted, strlen(wanted))) return;
  }
}

/* PING, then everything up to the PONG; an -ERR in between ends the run. */
void round_trip(int fd) {
  send_all(fd, "PING\r\n", 6);
  await_line(fd, "PONG");
}

int dial(const struct options *options) {
  char line[1024];
  int fd = open_socket(options);
  if (options->websocket) upgrade(fd, options);
  await_line(fd, "INFO");
  size_t length = connect_line(options, line, sizeof line - 2);
  memcpy(line + length, "\r\n", 2);
  send_all(fd, line, length + 2);
  round_trip(fd);
  return fd;
}

/* Returns when the server has confirmed the subscription. */
void subscribe(int fd, const char *subject, const char *queue, int sid) {
  char line[512];
  int length = snprintf(line, sizeof line, "SUB %s %s%s%d\r\n", subject, queue ? queue : "", queue ? " " : "", sid);
  if (length < 0 || (size_t)length >= sizeof line) fail("subject is too long");
  send_all(fd, line, (size_t)length);
  round_trip(fd);
}
