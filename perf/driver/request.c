/*
 * Requests with a window: every publisher keeps up to `window` of them under way and counts the answers. That is how a
 * client publishes to a stream, which answers with a PubAck, and how the API of JetStream is asked many times over.
 *
 *   PUB <subject> _INBOX.natsbench.<publisher>.<number> <size>\r\n<body>\r\n
 *
 * The frame is composed once; of each copy only the digits change. Every answer has to name a request that is under
 * way, and has to come once: answers may come in any order, as those of several streams do. An answer with an error in
 * it ends the run, so does one that does not come within the timeout.
 *
 * All requests have numbers of their own, the publishers taking turns: P publishers fill {N} as one would.
 */
#define _GNU_SOURCE
#include "natsbench.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MAX_FIELDS 16
#define NUMBER_DIGITS 10
#define TAG_BYTES 8
#define MAX_WAIT_MS 100
#define WRITE_BYTES (256 * 1024)
#define IDLE UINT64_MAX

/* Decimal digits in the frame that follow from the request's number. */
struct field {
  size_t at;
  int width;
  uint64_t modulus;
};

struct client {
  const struct options *options;
  uint64_t id;
  struct reader in;
  char *frame; /* what every request looks like */
  size_t frame_bytes, number_at, tag_at; /* tag_at 0: no tag */
  struct field fields[MAX_FIELDS];
  int field_count;
  char inbox[64];
  size_t inbox_bytes;
  uint64_t *under_way; /* by number modulo `slots`: a request's number, or IDLE */
  uint64_t slots;
  long sent, answered;
  long quota; /* requests to make; -1: until the time is over */
  char *out;
};

struct worker {
  struct client *clients;
  int count;
  int epoll;
  double last_answer_s;
  pthread_t thread;
};

static pthread_barrier_t start_line;
static double end_s;

static void print_digits(char *at, int width, uint64_t value) {
  for (int i = width - 1; i >= 0; i--, value /= 10) at[i] = (char)('0' + value % 10);
}

/* Appends text, replacing each {N} by as many digits as N-1 has, which become a field. */
static size_t expand(struct client *self, size_t at, const char *text) {
  while (*text) {
    uint64_t modulus = 0;
    int taken = 0;
    if (*text != '{' || sscanf(text, "{%lu}%n", &modulus, &taken) != 1 || taken == 0 || modulus == 0) {
      self->frame[at++] = *text++;
      continue;
    }
    if (self->field_count == MAX_FIELDS) fail("more than %d {N}", MAX_FIELDS);
    int width = digits((long)modulus - 1);
    self->fields[self->field_count++] = (struct field){.at = at, .width = width, .modulus = modulus};
    memset(self->frame + at, '0', (size_t)width);
    at += (size_t)width;
    text += taken;
  }
  return at;
}

/* Subject and body count from the same number, each from its start. */
static void compose(struct client *self, int *body_from) {
  const struct options *options = self->options;
  size_t given = options->body ? strlen(options->body) : (size_t)options->payload_size;
  self->frame = allocate(1024 + 2 * strlen(options->subject) + 2 * given);
  size_t at = (size_t)sprintf(self->frame, "PUB ");
  at = expand(self, at, options->subject);
  *body_from = self->field_count;
  at += (size_t)sprintf(self->frame + at, " %s", self->inbox);
  self->number_at = at;
  at += NUMBER_DIGITS;
  size_t line_end = at;
  if (options->body) {
    /* The size is known once the body is expanded, which starts behind the longest size there can be. */
    size_t start = line_end + 1 + (size_t)digits((long)given * 2) + 2;
    size_t end = expand(self, start, options->body), size = end - start;
    char line[32];
    int length = snprintf(line, sizeof line, " %zu\r\n", size);
    memcpy(self->frame + line_end, line, (size_t)length);
    memmove(self->frame + line_end + (size_t)length, self->frame + start, size);
    for (int i = *body_from; i < self->field_count; i++) self->fields[i].at -= start - line_end - (size_t)length;
    at = line_end + (size_t)length + size;
  } else {
    at += (size_t)sprintf(self->frame + at, " %d\r\n", options->payload_size);
    memset(self->frame + at, 'x', given);
    if (given >= TAG_BYTES) self->tag_at = at;
    at += given;
  }
  memcpy(self->frame + at, "\r\n", 2);
  self->frame_bytes = at + 2;
}

static void set_number(struct client *self, char *frame, uint64_t number, int body_from) {
  print_digits(frame + self->number_at, NUMBER_DIGITS, number);
  uint64_t left = number;
  for (int i = 0; i < self->field_count; i++) {
    const struct field *field = &self->fields[i];
    if (i == body_from) left = number;
    print_digits(frame + field->at, field->width, left % field->modulus);
    left /= field->modulus;
  }
  if (self->tag_at) memcpy(frame + self->tag_at, &number, TAG_BYTES);
}

static bool may_send(const struct client *self, bool over) {
  if (self->quota >= 0 ? self->sent >= self->quota : over) return false;
  if (self->sent - self->answered >= self->options->window) return false;
  return self->under_way[(uint64_t)self->sent % self->slots] == IDLE;
}

static int body_fields; /* index of the first field of the body, the same for every client */

static void send_more(struct client *self, bool over) {
  size_t bytes = 0;
  while (may_send(self, over)) {
    uint64_t index = (uint64_t)self->sent++, number = index * (uint64_t)self->options->publishers + self->id;
    self->under_way[index % self->slots] = number;
    memcpy(self->out + bytes, self->frame, self->frame_bytes);
    set_number(self, self->out + bytes, number, body_fields);
    bytes += self->frame_bytes;
    if (bytes < WRITE_BYTES) continue;
    send_all(self->in.fd, self->out, bytes);
    bytes = 0;
  }
  if (bytes) send_all(self->in.fd, self->out, bytes);
}

_Noreturn static void wrong(const char *what, const struct message *message) {
  fprintf(stderr, "natsbench: %s: %.*s: %.*s\n", what, (int)message->subject_bytes, message->subject,
          (int)(message->payload_bytes < 400 ? message->payload_bytes : 400), message->payload);
  _exit(EXIT_LOST);
}

static void take_answer(struct client *self, const struct message *message) {
  if (status_of(message)) fail("the server answered with status %d", status_of(message));
  if (memmem(message->payload, message->payload_bytes, "\"error\":", 8)) wrong("refused", message);
  bool ours = message->subject_bytes == self->inbox_bytes + NUMBER_DIGITS &&
              !memcmp(message->subject, self->inbox, self->inbox_bytes);
  if (!ours) wrong("answer to nobody", message);
  uint64_t number = 0;
  for (int i = 0; i < NUMBER_DIGITS; i++)
    number = number * 10 + (uint64_t)(message->subject[self->inbox_bytes + (size_t)i] - '0');
  uint64_t *slot = &self->under_way[number / (uint64_t)self->options->publishers % self->slots];
  if (*slot != number) wrong("answer to a request that is not under way", message);
  *slot = IDLE;
  self->answered++;
}

static void receive(struct client *self) {
  struct message message;
  if (!read_some(&self->in, 0)) return;
  while (take_message(&self->in, &message)) take_answer(self, &message);
}

static bool finished(const struct worker *self, bool over) {
  for (int i = 0; i < self->count; i++) {
    const struct client *client = &self->clients[i];
    if (client->answered < client->sent) return false;
    if (client->quota >= 0 ? client->sent < client->quota : !over) return false;
  }
  return true;
}

static void *work(void *argument) {
  struct worker *self = argument;
  struct epoll_event events[64];
  pthread_barrier_wait(&start_line);
  self->last_answer_s = now_s();
  for (int i = 0; i < self->count; i++) send_more(&self->clients[i], false);
  for (bool over = false; !finished(self, over); over = now_s() >= end_s) {
    int ready = epoll_wait(self->epoll, events, 64, MAX_WAIT_MS);
    if (ready < 0 && errno != EINTR) fail_errno("epoll_wait");
    if (ready > 0) self->last_answer_s = now_s();
    else if (now_s() - self->last_answer_s > self->clients->options->timeout_s) {
      fprintf(stderr, "natsbench: no answer within the timeout\n");
      _exit(EXIT_LOST);
    }
    for (int i = 0; i < ready; i++) {
      receive(events[i].data.ptr);
      send_more(events[i].data.ptr, over);
    }
  }
  return NULL;
}

static void open_client(struct client *self, const struct options *options, int id) {
  *self = (struct client){.options = options, .id = (uint64_t)id, .quota = -1};
  snprintf(self->inbox, sizeof self->inbox, "_INBOX.natsbench.%04d.", id);
  self->inbox_bytes = strlen(self->inbox);
  compose(self, &body_fields);
  for (self->slots = 1; self->slots < 4 * (uint64_t)options->window;) self->slots *= 2;
  self->under_way = allocate(sizeof *self->under_way * self->slots);
  memset(self->under_way, 0xff, sizeof *self->under_way * self->slots);
  if (options->messages)
    self->quota = options->messages / options->publishers + (id < options->messages % options->publishers);
  self->out = allocate(WRITE_BYTES + self->frame_bytes);
  self->in = open_reader(dial(options));
  char pattern[sizeof self->inbox + 1];
  snprintf(pattern, sizeof pattern, "%s*", self->inbox);
  subscribe(self->in.fd, pattern, NULL, 1);
}

static void start_workers(const struct options *options, struct worker *workers, struct client *clients) {
  for (int i = 0, from = 0; i < options->receiver_threads; i++) {
    int until = (int)((long)options->publishers * (i + 1) / options->receiver_threads);
    workers[i] = (struct worker){.clients = clients + from, .count = until - from};
    workers[i].epoll = epoll_create1(EPOLL_CLOEXEC);
    if (workers[i].epoll < 0) fail_errno("epoll_create1");
    for (; from < until; from++) {
      struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[from]};
      if (epoll_ctl(workers[i].epoll, EPOLL_CTL_ADD, clients[from].in.fd, &event)) fail_errno("epoll_ctl");
    }
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) fail("cannot start a thread");
  }
}

int run_request(const struct options *options) {
  struct client *clients = allocate(sizeof *clients * (size_t)options->publishers);
  struct worker *workers = allocate(sizeof *workers * (size_t)options->receiver_threads);
  for (int i = 0; i < options->publishers; i++) open_client(&clients[i], options, i);
  pthread_barrier_init(&start_line, NULL, (unsigned)options->receiver_threads + 1);
  start_workers(options, workers, clients);
  double cpu_before = process_cpu_s(options->server_pid), start = now_s(), last = start;
  end_s = start + options->seconds;
  pthread_barrier_wait(&start_line);
  long answered = 0;
  for (int i = 0; i < options->receiver_threads; i++) {
    pthread_join(workers[i].thread, NULL);
    if (workers[i].last_answer_s > last) last = workers[i].last_answer_s;
  }
  double cpu_s = process_cpu_s(options->server_pid) - cpu_before;
  for (int i = 0; i < options->publishers; i++) answered += clients[i].answered;
  printf("{\"mode\":\"request\",\"answered\":%ld,\"seconds\":%.6f,\"answered_per_s\":%.1f,"
         "\"server_cpu_ns_per_message\":%.1f}\n",
         answered, last - start, (double)answered / (last - start), answered ? cpu_s * 1e9 / (double)answered : 0);
  return EXIT_OK;
}
