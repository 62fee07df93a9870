/*
 * From publish to delivery, one message under way: how long until a waiting consumer has it, and until the publisher
 * has its PubAck. The next one follows when both have come, in whichever order. With --acknowledge the consumer answers
 * each message, without waiting for anything.
 */
#define _GNU_SOURCE
#include "natsbench.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNMEASURED 200
#define TAG_BYTES 8
#define CAPACITY (1 << 20)

struct publisher {
  struct reader in;
  char *out;
};

struct arrival {
  char reply[512];
  size_t reply_bytes;
};

struct sample {
  uint32_t delivered_ns, acknowledged_ns;
};

static uint32_t since(uint64_t start_ns) {
  uint64_t elapsed = now_ns() - start_ns;
  return elapsed > UINT32_MAX ? UINT32_MAX : (uint32_t)elapsed;
}

static void publish(struct publisher *self, const struct options *options, uint64_t number) {
  int head = sprintf(self->out, "PUB %s _INBOX.natsbench.ack.%010lu %d\r\n", options->subject, number,
                     options->payload_size);
  size_t size = (size_t)options->payload_size;
  memset(self->out + head, 'x', size);
  memcpy(self->out + head, &number, TAG_BYTES);
  memcpy(self->out + head + size, "\r\n", 2);
  send_all(self->in.fd, self->out, (size_t)head + size + 2);
}

static bool acknowledged(struct publisher *self, uint64_t number) {
  struct message message;
  char suffix[16];
  read_some(&self->in, 0);
  if (!take_message(&self->in, &message)) return false;
  size_t bytes = (size_t)snprintf(suffix, sizeof suffix, ".%010lu", number);
  bool ours = message.subject_bytes > bytes && !memcmp(message.subject + message.subject_bytes - bytes, suffix, bytes);
  if (!ours || status_of(&message) || memmem(message.payload, message.payload_bytes, "\"error\":", 8))
    fail("not acknowledged: %.*s", (int)message.payload_bytes, message.payload);
  return true;
}

static bool delivered(struct consumer *self, uint64_t number, struct arrival *arrival) {
  struct message message;
  read_some(&self->in, 0);
  while (take_message(&self->in, &message)) {
    if (!consume_message(self, &message)) continue;
    if (message.payload_bytes == (size_t)self->options->payload_size && !memcmp(message.payload, &number, TAG_BYTES)) {
      if (message.reply_bytes > sizeof arrival->reply) fail("reply subject is too long");
      arrival->reply_bytes = message.reply_bytes;
      memcpy(arrival->reply, message.reply, message.reply_bytes);
      return true;
    }
    fprintf(stderr, "natsbench: another message than the one published\n");
    _exit(EXIT_LOST);
  }
  return false;
}

static void answer(struct consumer *self, const struct arrival *arrival) {
  char line[600];
  int length = snprintf(line, sizeof line, "PUB %.*s 4\r\n+ACK\r\n", (int)arrival->reply_bytes, arrival->reply);
  if (self->options->acknowledge) send_all(self->in.fd, line, (size_t)length);
  request_batch(self);
}

static struct sample measure(struct publisher *publisher, struct consumer *consumer, uint64_t number) {
  const struct options *options = consumer->options;
  struct sample sample = {0};
  struct arrival arrival;
  struct pollfd waiting[2] = {{.fd = publisher->in.fd, .events = POLLIN}, {.fd = consumer->in.fd, .events = POLLIN}};
  uint64_t start = now_ns();
  publish(publisher, options, number);
  while (!sample.delivered_ns || !sample.acknowledged_ns) {
    int ready = poll(waiting, 2, (int)(options->timeout_s * 1000));
    if (ready < 0 && errno != EINTR) fail_errno("poll");
    if (ready == 0) {
      fprintf(stderr, "natsbench: message %lu was not %s\n", number, sample.delivered_ns ? "acknowledged" : "delivered");
      _exit(EXIT_LOST);
    }
    if (waiting[1].revents && delivered(consumer, number, &arrival)) {
      sample.delivered_ns = since(start);
      answer(consumer, &arrival);
    }
    if (waiting[0].revents && acknowledged(publisher, number)) sample.acknowledged_ns = since(start);
  }
  return sample;
}

static int ascending(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return a < b ? -1 : a > b;
}

int run_delivery(const struct options *options) {
  if (options->payload_size < TAG_BYTES) fail("--size has to be %d or more", TAG_BYTES);
  struct consumer consumer;
  struct publisher publisher = {.in = open_reader(dial(options))};
  publisher.out = allocate(strlen(options->subject) + (size_t)options->payload_size + 128);
  subscribe(publisher.in.fd, "_INBOX.natsbench.ack.*", NULL, 1);
  open_consumer(&consumer, options);
  create_consumer(&consumer);
  request_batch(&consumer);
  round_trip(consumer.in.fd);
  uint64_t number = 1;
  while (number <= UNMEASURED) measure(&publisher, &consumer, number++);

  size_t count = 0;
  uint32_t *delivered_ns = allocate(CAPACITY * sizeof(uint32_t)), *acked_ns = allocate(CAPACITY * sizeof(uint32_t));
  double cpu_before = process_cpu_s(options->server_pid), start = now_s(), end = start + options->seconds;
  while (count < CAPACITY && now_s() < end) {
    struct sample sample = measure(&publisher, &consumer, number++);
    delivered_ns[count] = sample.delivered_ns;
    acked_ns[count++] = sample.acknowledged_ns;
  }
  if (!count) fail("no message was published");
  double seconds = now_s() - start, cpu_s = process_cpu_s(options->server_pid) - cpu_before;
  delete_consumer(&consumer);
  qsort(delivered_ns, count, sizeof *delivered_ns, ascending);
  qsort(acked_ns, count, sizeof *acked_ns, ascending);
  printf("{\"mode\":\"delivery\",\"messages\":%zu,\"messages_per_s\":%.1f,\"delivered_p50_us\":%.2f,"
         "\"delivered_p99_us\":%.2f,\"acknowledged_p50_us\":%.2f,\"acknowledged_p99_us\":%.2f,"
         "\"server_cpu_ns_per_message\":%.1f}\n",
         count, (double)count / seconds, delivered_ns[count / 2] / 1e3, delivered_ns[count * 99 / 100] / 1e3,
         acked_ns[count / 2] / 1e3, acked_ns[count * 99 / 100] / 1e3, cpu_s * 1e9 / (double)count);
  return EXIT_OK;
}
