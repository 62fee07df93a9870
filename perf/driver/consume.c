/*
 * How fast a consumer delivers what its stream holds: a new consumer is created, takes --messages, and is deleted, until
 * messages have flowed for --seconds; nothing else is counted. With --acknowledge a round ends when the server has
 * confirmed the last acknowledgement, behind which it has dealt with all the others.
 *
 * The stream has to be one that a single `request` run filled: every payload carries its position.
 */
#define _GNU_SOURCE
#include "natsbench.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TAG_BYTES 8
#define WRITE_BYTES (64 * 1024)
/* Creating and deleting consumers is not counted, but may not make a run endless: times --seconds. */
#define LONGEST_WALL 4
#define CONFIRMED "_INBOX.natsbench.confirmed"
#define CONFIRMED_SID (1 << 30)

struct acknowledgements {
  char bytes[WRITE_BYTES + 1024];
  size_t count;
  char held[512]; /* reply subject of the last message: its acknowledgement is the one to be confirmed */
  size_t held_bytes;
};

static void append(struct acknowledgements *self, const char *reply) {
  self->count += (size_t)sprintf(self->bytes + self->count, "PUB %.*s%s 4\r\n+ACK\r\n", (int)self->held_bytes,
                                 self->held, reply);
}

static void acknowledge(struct acknowledgements *self, int fd, const struct message *message) {
  if (self->held_bytes) append(self, "");
  if (message->reply_bytes > sizeof self->held) fail("reply subject is too long");
  memcpy(self->held, message->reply, message->reply_bytes);
  self->held_bytes = message->reply_bytes;
  if (self->count < WRITE_BYTES) return;
  send_all(fd, self->bytes, self->count);
  self->count = 0;
}

static void flush(struct acknowledgements *self, int fd) {
  if (self->count) send_all(fd, self->bytes, self->count);
  self->count = 0;
}

static bool confirms(const struct message *message) {
  return message->subject_bytes == strlen(CONFIRMED) && !memcmp(message->subject, CONFIRMED, message->subject_bytes);
}

static void await_confirmation(struct acknowledgements *self, struct consumer *consumer) {
  if (!self->held_bytes) return;
  append(self, " " CONFIRMED);
  flush(self, consumer->in.fd);
  self->held_bytes = 0;
  for (struct message message;;) {
    /* What else arrives was asked for before the time was over, and is left to the consumer's end. */
    while (!take_message(&consumer->in, &message)) read_some(&consumer->in, WAIT_FOREVER);
    if (confirms(&message)) return;
  }
}

static void check_tag(const struct consumer *consumer, const struct message *message) {
  uint64_t tag;
  if (message->payload_bytes < TAG_BYTES) return;
  memcpy(&tag, message->payload, TAG_BYTES);
  if (tag + 1 == consumer->stream_seq) return;
  fprintf(stderr, "natsbench: payload of another message at stream sequence %lu\n", consumer->stream_seq);
  _exit(EXIT_LOST);
}

/* Takes messages, at least one, until the round's are complete or the time is over. */
static void take_round(struct consumer *self, struct acknowledgements *acks, double end_s) {
  const struct options *options = self->options;
  request_batch(self);
  while (self->received < options->messages && (now_s() < end_s || !self->received)) {
    read_some(&self->in, WAIT_FOREVER);
    for (struct message message; self->received < options->messages && take_message(&self->in, &message);) {
      if (!consume_message(self, &message)) continue;
      check_tag(self, &message);
      if (options->acknowledge) acknowledge(acks, self->in.fd, &message);
    }
    request_batch(self);
    flush(acks, self->in.fd);
  }
  if (options->acknowledge) await_confirmation(acks, self);
}

int run_consume(const struct options *options) {
  static struct acknowledgements acks;
  struct consumer consumer;
  if (!options->messages) fail("consume wants --messages");
  open_consumer(&consumer, options);
  subscribe(consumer.in.fd, CONFIRMED, NULL, CONFIRMED_SID);
  long received = 0;
  double seconds = 0, cpu_s = 0, create_s = 0, give_up_s = now_s() + options->seconds * LONGEST_WALL;
  while (seconds < options->seconds && now_s() < give_up_s) {
    double created = now_s(), cpu_before = process_cpu_s(options->server_pid);
    create_consumer(&consumer);
    /* One that pushes is at work since it was created; one that is asked starts when it is asked. */
    double asked = now_s(), start = options->batch ? asked : created;
    if (options->batch) cpu_before = process_cpu_s(options->server_pid);
    take_round(&consumer, &acks, start + options->seconds - seconds);
    seconds += now_s() - start;
    cpu_s += process_cpu_s(options->server_pid) - cpu_before;
    create_s = asked - created;
    received += consumer.received;
    delete_consumer(&consumer);
  }
  printf("{\"mode\":\"consume\",\"received\":%ld,\"rounds\":%d,\"seconds\":%.6f,\"received_per_s\":%.1f,"
         "\"create_ms\":%.3f,\"server_cpu_ns_per_message\":%.1f}\n",
         received, consumer.round, seconds, (double)received / seconds, create_s * 1e3, cpu_s * 1e9 / (double)received);
  return EXIT_OK;
}
