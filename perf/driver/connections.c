/*
 * Connections: how fast a server takes them (`connect`), and many of them held open (`hold`).
 *
 * One thread drives all handshakes with epoll, at most `parallel` under way at a time:
 *
 *   connect ──► INFO ──► send CONNECT [SUB] PING ──► PONG ──► `connect`: close it and open the next
 *                                                              `hold`: keep it, answer its PINGs until stdin ends
 *
 * Input is looked at through the first four bytes of every line, so a connection holds no buffer.
 */
#define _GNU_SOURCE
#include "natsbench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPARE_DESCRIPTORS 64

enum stage { AWAIT_INFO, AWAIT_PONG, ESTABLISHED, CLOSED };

struct connection {
  int fd;
  enum stage stage;
  uint32_t column; /* of the line being read */
  char line_start[4];
  uint64_t opened_ns;
};

struct crowd {
  const struct options *options;
  struct sockaddr_in address;
  int epoll;
  struct connection *connections;
  char connect[1024]; /* the CONNECT line */
  size_t connect_bytes;
  bool keep; /* subscribe, and stay connected */
  long established;
  int under_way;
  uint32_t *handshake_us; /* NULL: not recorded */
  size_t handshake_capacity;
};

static struct crowd open_crowd(const struct options *options, bool keep, int slots) {
  struct crowd crowd = {.options = options, .keep = keep};
  crowd.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
  if (inet_pton(AF_INET, options->host, &crowd.address.sin_addr) != 1) fail("not an IPv4 address: %s", options->host);
  crowd.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (crowd.epoll < 0) fail_errno("epoll_create1");
  crowd.connections = allocate(sizeof *crowd.connections * (size_t)slots);
  crowd.connect_bytes = connect_line(options, crowd.connect, sizeof crowd.connect);
  return crowd;
}

/* CONNECT, PING, and one subscription of its own for a connection that is to be kept, in one write. */
static void send_handshake(struct crowd *crowd, struct connection *self) {
  char bytes[sizeof crowd->connect + 512], sub[400] = "";
  int number = (int)(self - crowd->connections);
  if (crowd->keep) snprintf(sub, sizeof sub, "SUB %s.%d 1\r\n", crowd->options->subject, number);
  memcpy(bytes, crowd->connect, crowd->connect_bytes);
  int rest = snprintf(bytes + crowd->connect_bytes, sizeof bytes - crowd->connect_bytes, "\r\n%sPING\r\n", sub);
  send_all(self->fd, bytes, crowd->connect_bytes + (size_t)rest);
}

static void open_connection(struct crowd *crowd, struct connection *self) {
  *self = (struct connection){.opened_ns = now_ns()};
  if (crowd->options->websocket) {
    /* One after the other: only what they cost when they stand is measured. */
    self->fd = open_socket(crowd->options);
    upgrade(self->fd, crowd->options);
    fcntl(self->fd, F_SETFL, O_NONBLOCK);
  } else {
    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (self->fd < 0) fail_errno("socket");
    if (connect(self->fd, (struct sockaddr *)&crowd->address, sizeof crowd->address) && errno != EINPROGRESS)
      fail_errno("connect");
  }
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = self};
  if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, self->fd, &event)) fail_errno("epoll_ctl");
  crowd->under_way++;
}

static void establish(struct crowd *crowd, struct connection *self) {
  size_t index = (size_t)crowd->established++;
  crowd->under_way--;
  if (crowd->handshake_us && index < crowd->handshake_capacity)
    crowd->handshake_us[index] = (uint32_t)((now_ns() - self->opened_ns) / 1000);
  self->stage = ESTABLISHED;
  if (crowd->keep) return;
  close(self->fd);
  self->stage = CLOSED;
}

static void line_ended(struct crowd *crowd, struct connection *self) {
  const char *start = self->line_start;
  if (!memcmp(start, "PING", 4)) send_all(self->fd, "PONG\r\n", 6);
  else if (!memcmp(start, "-ERR", 4)) fail("the server refused connection %ld", crowd->established + 1);
  else if (self->stage == AWAIT_INFO && !memcmp(start, "INFO", 4)) {
    send_handshake(crowd, self);
    self->stage = AWAIT_PONG;
  } else if (self->stage == AWAIT_PONG && !memcmp(start, "PONG", 4)) establish(crowd, self);
}

static void receive(struct crowd *crowd, struct connection *self) {
  char bytes[4096];
  ssize_t got = recv(self->fd, bytes, sizeof bytes, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) fail_errno("receive");
  if (got == 0) fail("the server closed a connection, %ld were established", crowd->established);
  got = (ssize_t)unframe(self->fd, bytes, (size_t)got);
  for (ssize_t i = 0; i < got && self->stage != CLOSED; i++) {
    if (bytes[i] != '\n') {
      if (self->column < sizeof self->line_start) self->line_start[self->column] = bytes[i];
      self->column++;
      continue;
    }
    line_ended(crowd, self);
    self->column = 0;
    memset(self->line_start, 0, sizeof self->line_start);
  }
}

/* Waits for input and takes it; connections closed on the way are handed to `reopen`, which may be NULL. */
static void turn(struct crowd *crowd, int timeout_ms, void (*reopen)(struct crowd *, struct connection *)) {
  struct epoll_event events[256];
  int ready = epoll_wait(crowd->epoll, events, 256, timeout_ms);
  if (ready < 0 && errno != EINTR) fail_errno("epoll_wait");
  if (ready == 0 && crowd->under_way) fail("no handshake finished within the timeout");
  for (int i = 0; i < ready; i++) {
    struct connection *connection = events[i].data.ptr;
    if (!connection) continue;
    receive(crowd, connection);
    if (connection->stage == CLOSED && reopen) reopen(crowd, connection);
  }
}

static int ascending(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return a < b ? -1 : a > b;
}

int run_connect_rate(const struct options *options) {
  struct crowd crowd = open_crowd(options, false, options->parallel);
  crowd.handshake_capacity = 1 << 20;
  crowd.handshake_us = allocate(sizeof *crowd.handshake_us * crowd.handshake_capacity);
  double cpu_before = process_cpu_s(options->server_pid), start = now_s(), end = start + options->seconds;
  for (int i = 0; i < options->parallel; i++) open_connection(&crowd, &crowd.connections[i]);
  int timeout_ms = (int)(options->timeout_s * 1000);
  while (crowd.under_way) turn(&crowd, timeout_ms, now_s() < end ? open_connection : NULL);
  double seconds = now_s() - start, cpu_s = process_cpu_s(options->server_pid) - cpu_before;
  long count = crowd.established;
  size_t recorded = (size_t)count < crowd.handshake_capacity ? (size_t)count : crowd.handshake_capacity;
  qsort(crowd.handshake_us, recorded, sizeof *crowd.handshake_us, ascending);
  printf("{\"mode\":\"connect\",\"connections\":%ld,\"seconds\":%.6f,\"connections_per_s\":%.1f,"
         "\"handshake_p50_us\":%u,\"handshake_p99_us\":%u,\"server_cpu_ns_per_message\":%.1f}\n",
         count, seconds, (double)count / seconds, crowd.handshake_us[recorded / 2],
         crowd.handshake_us[recorded * 99 / 100], cpu_s * 1e9 / (double)count);
  return EXIT_OK;
}

static void raise_descriptor_limit(int connections) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) fail_errno("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit)) fail_errno("setrlimit");
  if (limit.rlim_max < (rlim_t)connections + SPARE_DESCRIPTORS)
    fail("%d connections need more file descriptors than the limit of %lu", connections, (unsigned long)limit.rlim_max);
}

/* Answers PINGs until standard input ends. */
static void stay(struct crowd *crowd) {
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
  if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input)) fail_errno("standard input must be a pipe");
  for (;;) {
    char byte;
    struct epoll_event events[256];
    int ready = epoll_wait(crowd->epoll, events, 256, -1);
    for (int i = 0; i < ready; i++) {
      if (events[i].data.ptr) receive(crowd, events[i].data.ptr);
      else if (read(STDIN_FILENO, &byte, 1) <= 0) return;
    }
  }
}

int run_hold(const struct options *options) {
  raise_descriptor_limit(options->connections);
  struct crowd crowd = open_crowd(options, true, options->connections);
  double start = now_s();
  int opened = 0, timeout_ms = (int)(options->timeout_s * 1000);
  while (crowd.established < options->connections) {
    while (opened < options->connections && crowd.under_way < options->parallel)
      open_connection(&crowd, &crowd.connections[opened++]);
    turn(&crowd, timeout_ms, NULL);
  }
  printf("{\"mode\":\"hold\",\"connections\":%ld,\"seconds\":%.6f}\n", crowd.established, now_s() - start);
  fflush(stdout);
  stay(&crowd);
  return EXIT_OK;
}
