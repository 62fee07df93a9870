/*
 * Request-reply: one requester and one responder on connections of their own, one request under way at a time.
 * Every request has a reply subject of its own below the requester's inbox, as client libraries do it: a server
 * cannot answer from a cache keyed by subject.
 */
#define _GNU_SOURCE
#include "natsbench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INBOX "_INBOX.natsbench0000000000001"
#define TOKEN_DIGITS 10
#define UNMEASURED 1000

static struct message next_message(struct reader *in) {
  struct message message;
  while (!take_message(in, &message)) read_some(in, WAIT_FOREVER);
  return message;
}

static void *respond(void *argument) {
  const struct options *options = ((void **)argument)[0];
  struct reader in = open_reader(*(int *)((void **)argument)[1]);
  char *out = allocate(1024 + (size_t)options->payload_size);
  for (;;) {
    struct message request = next_message(&in);
    int header = snprintf(out, 1024, "PUB %.*s %zu\r\n", (int)request.reply_bytes, request.reply, request.payload_bytes);
    memcpy(out + header, request.payload, request.payload_bytes);
    memcpy(out + header + request.payload_bytes, "\r\n", 2);
    send_all(in.fd, out, (size_t)header + request.payload_bytes + 2);
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
  bool ours = reply.subject_bytes == strlen(INBOX ".") + TOKEN_DIGITS &&
              !memcmp(reply.subject + strlen(INBOX "."), token, TOKEN_DIGITS);
  if (!ours || reply.payload_bytes != (size_t)options->payload_size) {
    fprintf(stderr, "natsbench: wrong reply on %.*s\n", (int)reply.subject_bytes, reply.subject);
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
  struct requester self = {.in = open_reader(fd)};
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
