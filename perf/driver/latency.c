/*
 * Request-reply: one requester and one responder on connections of their own, one request under way at a time.
 * Every request has a reply subject of its own below the requester's inbox, as client libraries do it: a server
 * cannot answer from a cache keyed by subject.
 */
#define _GNU_SOURCE
#include "natsbench.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INBOX "_INBOX.natsbench0000000000001"
#define TOKEN_DIGITS 10
#define UNMEASURED 1000
#define BUFFER_BYTES (64 * 1024)

struct reader {
  int fd;
  char *bytes;
  size_t start, end, capacity;
};

struct message {
  char *subject;
  char *reply; /* "" without */
  char *payload;
  size_t size;
};

static void fill(struct reader *in) {
  if (in->start == in->end) in->start = in->end = 0;
  if (in->end == in->capacity) {
    memmove(in->bytes, in->bytes + in->start, in->end - in->start);
    in->end -= in->start;
    in->start = 0;
  }
  if (in->end == in->capacity) fail("message larger than the buffer");
  for (;;) {
    ssize_t got = recv(in->fd, in->bytes + in->end, in->capacity - in->end, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno("no message within the timeout");
    if (got == 0) fail("the server closed the connection");
    in->end += (size_t)got;
    return;
  }
}

/* Fields of `MSG subject sid [reply] size`, in place. */
static struct message parse_header(char *line) {
  struct message message = {.reply = ""};
  char *fields[6], *rest = NULL;
  int count = 0;
  for (char *field = strtok_r(line, " \r", &rest); field && count < 6; field = strtok_r(NULL, " \r", &rest))
    fields[count++] = field;
  if (count != 4 && count != 5) fail("malformed MSG");
  message.subject = fields[1];
  if (count == 5) message.reply = fields[3];
  message.size = strtoul(fields[count - 1], NULL, 10);
  return message;
}

/* The next message, valid until the next call; control lines are dealt with on the way. */
static struct message next_message(struct reader *in) {
  for (;;) {
    char *line = in->bytes + in->start, *end = memchr(line, '\n', in->end - in->start);
    if (!end) {
      fill(in);
      continue;
    }
    size_t header = (size_t)(end - line) + 1;
    if (!memcmp(line, "MSG ", 4)) {
      char *space = end;
      while (space[-1] != ' ') space--;
      size_t size = strtoul(space, NULL, 10);
      if (in->end - in->start < header + size + 2) {
        fill(in);
        continue;
      }
      *end = 0;
      struct message message = parse_header(line);
      message.payload = end + 1;
      in->start += header + size + 2;
      return message;
    }
    if (!memcmp(line, "PING", 4)) send_all(in->fd, "PONG\r\n", 6);
    else if (memcmp(line, "INFO", 4)) fail("unexpected input: %.*s", (int)header, line);
    in->start += header;
  }
}

static struct reader open_reader(int fd, int payload_size) {
  size_t capacity = BUFFER_BYTES + (size_t)payload_size;
  return (struct reader){.fd = fd, .bytes = allocate(capacity), .capacity = capacity};
}

static void *respond(void *argument) {
  const struct options *options = ((void **)argument)[0];
  struct reader in = open_reader(*(int *)((void **)argument)[1], options->payload_size);
  char *out = allocate(1024 + (size_t)options->payload_size);
  for (;;) {
    struct message request = next_message(&in);
    int header = snprintf(out, 1024, "PUB %s %zu\r\n", request.reply, request.size);
    memcpy(out + header, request.payload, request.size);
    memcpy(out + header + request.size, "\r\n", 2);
    send_all(in.fd, out, (size_t)header + request.size + 2);
  }
  return NULL;
}

static int ascending(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return a < b ? -1 : a > b;
}

struct requester {
  struct reader in;
  char *out;
  size_t token_at, length;
};

static void compose_request(struct requester *self, const struct options *options) {
  self->out = allocate(1024 + (size_t)options->payload_size);
  int header = snprintf(self->out, 1024, "PUB %s " INBOX ".%0*d %d\r\n", options->subject, TOKEN_DIGITS, 0,
                        options->payload_size);
  self->token_at = strlen("PUB ") + strlen(options->subject) + 1 + strlen(INBOX ".");
  memset(self->out + header, 'x', (size_t)options->payload_size);
  memcpy(self->out + header + options->payload_size, "\r\n", 2);
  self->length = (size_t)header + (size_t)options->payload_size + 2;
}

/* Nanoseconds from the request to its reply. */
static uint32_t request(struct requester *self, const struct options *options, long number) {
  char token[TOKEN_DIGITS + 12];
  snprintf(token, sizeof token, "%0*ld", TOKEN_DIGITS, number);
  memcpy(self->out + self->token_at, token, TOKEN_DIGITS);
  uint64_t sent = now_ns();
  send_all(self->in.fd, self->out, self->length);
  struct message reply = next_message(&self->in);
  uint64_t elapsed = now_ns() - sent;
  if (strcmp(reply.subject + strlen(INBOX "."), token) || reply.size != (size_t)options->payload_size) {
    fprintf(stderr, "natsbench: wrong reply on %s\n", reply.subject);
    exit(EXIT_LOST);
  }
  return elapsed > UINT32_MAX ? UINT32_MAX : (uint32_t)elapsed;
}

int run_latency(const struct options *options) {
  int responder = dial(options);
  subscribe(responder, options->subject, NULL, 1);
  void *arguments[2] = {(void *)options, &responder};
  pthread_t thread;
  if (pthread_create(&thread, NULL, respond, arguments)) fail("cannot start a thread");

  int fd = dial(options);
  subscribe(fd, INBOX ".*", NULL, 2);
  struct requester self = {.in = open_reader(fd, options->payload_size)};
  compose_request(&self, options);
  long number = 0;
  while (number < UNMEASURED) request(&self, options, number++);

  size_t count = 0, capacity = 1 << 22;
  uint32_t *latencies = allocate(capacity * sizeof *latencies);
  double cpu_before = process_cpu_s(options->server_pid), start = now_s(), end = start + options->seconds;
  while (count < capacity && now_s() < end) latencies[count++] = request(&self, options, number++);
  double seconds = now_s() - start, cpu_s = process_cpu_s(options->server_pid) - cpu_before;
  if (!count) fail("no request was made");
  qsort(latencies, count, sizeof *latencies, ascending);
  printf("{\"mode\":\"latency\",\"requests\":%zu,\"requests_per_s\":%.1f,\"p50_us\":%.2f,\"p90_us\":%.2f,"
         "\"p99_us\":%.2f,\"max_us\":%.2f,\"server_cpu_ns_per_message\":%.1f}\n",
         count, (double)count / seconds, latencies[count / 2] / 1e3, latencies[count * 9 / 10] / 1e3,
         latencies[count * 99 / 100] / 1e3, latencies[count - 1] / 1e3, cpu_s * 1e9 / (double)count);
  return EXIT_OK;
}
