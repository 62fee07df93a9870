/*
 * One consumer of a stream, as a client library runs it: created through the API, asked for batches or pushing with
 * flow control, and deleted again. The numbers in a message's reply subject tell whether anything was lost, repeated
 * or moved:
 *
 *   $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>
 */
#define _GNU_SOURCE
#include "natsbench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACK_PREFIX "$JS.ACK."
#define PULL_EXPIRES "30000000000" /* ns */
#define STALLED "Nats-Consumer-Stalled: "

void open_consumer(struct consumer *self, const struct options *options) {
  *self = (struct consumer){.options = options, .in = open_reader(dial(options))};
}

/* Returns when the server has the subscription; what comes before that is of an earlier round. */
static void listen_on(struct consumer *self) {
  char line[160];
  int length = snprintf(line, sizeof line, "SUB %s %d\r\n", self->inbox, self->round);
  if (self->round > 1) length += snprintf(line + length, sizeof line - (size_t)length, "UNSUB %d\r\n", self->round - 1);
  length += snprintf(line + length, sizeof line - (size_t)length, "PING\r\n");
  send_all(self->in.fd, line, (size_t)length);
  struct message stale;
  for (long before = self->in.pongs; self->in.pongs == before;)
    if (!take_message(&self->in, &stale) && self->in.pongs == before) read_some(&self->in, WAIT_FOREVER);
}

void create_consumer(struct consumer *self) {
  const struct options *options = self->options;
  char deliver[128] = "", subject[256];
  self->round++;
  self->received = self->requested = 0;
  self->stream_seq = 0;
  self->ack_prefix_bytes = 0;
  snprintf(self->name, sizeof self->name, "r%d-%d", (int)getpid(), self->round);
  snprintf(self->inbox, sizeof self->inbox, "_INBOX.natsbench.deliver.%d", self->round);
  listen_on(self);
  if (!options->batch) snprintf(deliver, sizeof deliver, ",\"deliver_subject\":\"%s\"", self->inbox);
  size_t capacity = strlen(options->consumer) + 512;
  char *body = allocate(capacity);
  snprintf(body, capacity, "{\"stream_name\":\"%s\",\"action\":\"create\",\"config\":{\"name\":\"%s\"%s%s%s}}",
           options->stream, self->name, deliver, *options->consumer ? "," : "", options->consumer);
  snprintf(subject, sizeof subject, "$JS.API.CONSUMER.CREATE.%s.%s", options->stream, self->name);
  free(ask(options, subject, body));
  free(body);
  char request[128];
  int size = snprintf(request, sizeof request, "{\"batch\":%d,\"expires\":" PULL_EXPIRES "}", options->batch);
  int length = snprintf(self->pull, sizeof self->pull, "PUB $JS.API.CONSUMER.MSG.NEXT.%s.%s %s %d\r\n%s\r\n",
                        options->stream, self->name, self->inbox, size, request);
  if ((size_t)length >= sizeof self->pull) fail("name of the stream is too long");
  self->pull_bytes = (size_t)length;
}

void delete_consumer(struct consumer *self) {
  char subject[256];
  snprintf(subject, sizeof subject, "$JS.API.CONSUMER.DELETE.%s.%s", self->options->stream, self->name);
  free(ask(self->options, subject, ""));
}

void request_batch(struct consumer *self) {
  int batch = self->options->batch;
  if (!batch || self->requested > batch / 2) return;
  send_all(self->in.fd, self->pull, self->pull_bytes);
  self->requested += batch;
}

static void answer_flow_control(struct consumer *self, const char *subject, size_t bytes) {
  char line[512];
  int length = snprintf(line, sizeof line, "PUB %.*s 0\r\n\r\n", (int)bytes, subject);
  if ((size_t)length >= sizeof line) fail("reply subject is too long");
  send_all(self->in.fd, line, (size_t)length);
}

/* 100: heartbeat or flow control; 404, 408: the request is over; anything else is no ordinary end. */
static void take_status(struct consumer *self, const struct message *message, int status) {
  if (message->subject_bytes != strlen(self->inbox) || memcmp(message->subject, self->inbox, message->subject_bytes))
    return;
  if (status == 404 || status == 408) {
    self->requested = 0;
    request_batch(self);
    return;
  }
  if (status != 100)
    fail("the consumer said %.*s", (int)message->header_bytes, message->headers);
  const char *stalled = memmem(message->headers, message->header_bytes, STALLED, strlen(STALLED));
  if (message->reply_bytes) answer_flow_control(self, message->reply, message->reply_bytes);
  else if (stalled) {
    stalled += strlen(STALLED);
    answer_flow_control(self, stalled, strcspn(stalled, "\r"));
  }
}

static void learn_prefix(struct consumer *self, const struct message *message) {
  char token[sizeof self->name + 2];
  int bytes = snprintf(token, sizeof token, ".%s.", self->name);
  const char *found = memmem(message->reply, message->reply_bytes, token, (size_t)bytes);
  if (!found || memcmp(message->reply, ACK_PREFIX, strlen(ACK_PREFIX)))
    fail("no message of this consumer: %.*s", (int)message->reply_bytes, message->reply);
  self->ack_prefix_bytes = (size_t)(found - message->reply) + (size_t)bytes;
  if (self->ack_prefix_bytes > sizeof self->ack_prefix) fail("reply subject is too long");
  memcpy(self->ack_prefix, message->reply, self->ack_prefix_bytes);
}

static const char *next_number(const char *at, const char *end, uint64_t *value) {
  for (*value = 0; at < end && *at >= '0' && *at <= '9'; at++) *value = *value * 10 + (uint64_t)(*at - '0');
  return at < end && *at == '.' ? at + 1 : end;
}

_Noreturn static void lost(const struct consumer *self, const struct message *message) {
  fprintf(stderr, "natsbench: message lost, repeated or out of order: %.*s after stream sequence %lu, %ld messages\n",
          (int)message->reply_bytes, message->reply, self->stream_seq, self->received);
  _exit(EXIT_LOST);
}

bool consume_message(struct consumer *self, const struct message *message) {
  int status = status_of(message);
  if (status) {
    take_status(self, message, status);
    return false;
  }
  if (!self->ack_prefix_bytes) learn_prefix(self, message);
  bool ours = message->reply_bytes > self->ack_prefix_bytes &&
              !memcmp(message->reply, self->ack_prefix, self->ack_prefix_bytes);
  if (!ours) lost(self, message);
  const char *at = message->reply + self->ack_prefix_bytes, *end = message->reply + message->reply_bytes;
  uint64_t deliveries, stream_seq, consumer_seq;
  at = next_number(at, end, &deliveries);
  at = next_number(at, end, &stream_seq);
  next_number(at, end, &consumer_seq);
  if (deliveries != 1 || consumer_seq != (uint64_t)self->received + 1) lost(self, message);
  if (self->options->gapless && self->stream_seq ? stream_seq != self->stream_seq + 1 : stream_seq <= self->stream_seq)
    lost(self, message);
  self->stream_seq = stream_seq;
  self->received++;
  if (self->requested) self->requested--;
  return true;
}
