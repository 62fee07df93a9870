/*
 * Throughput: publishers send for a while, receivers count until everything sent has arrived.
 *
 * The rate is messages over the time from the start signal to the last arrival (without subscribers: to the PONG
 * that follows the last message), so what a server buffers is not counted as done.
 *
 *   publisher:  pool of `period` frames, sent over and over in writes of about 64 KiB
 *   receiver:   MSG <subject> 1 <size>\r\n <publisher u32> <index u32> xxxx…\r\n
 *               |------- head: compared, and the index must be the next of that publisher -----|
 */
#define _GNU_SOURCE
#include "natsbench.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define WRITE_BYTES (64 * 1024)
#define SCRATCH_BYTES (256 * 1024)
#define HEAD_BYTES 512 /* longest head that may be carried over to the next read */
#define SUBJECT_DIGITS 7
#define TAG_BYTES 8
#define POOL_BYTES (512 * 1024) /* with random subjects: enough for the order not to be learnt */

struct publisher {
  const struct options *options;
  uint32_t id;
  int fd;
  char *pool;
  size_t frame_bytes;
  size_t period; /* frames in the pool */
  char *wrapped; /* the whole pool in a WebSocket frame; NULL: it is sent as it is */
  size_t wrapped_bytes;
  long sent;
  pthread_t thread;
};

struct subscriber {
  int fd;
  long received;
  size_t payload_left; /* of a frame whose head has been seen, line end included */
  size_t carried;      /* bytes of an incomplete head or control line */
  uint32_t *next_index; /* one per publisher */
  char carry[HEAD_BYTES];
};

struct receiver {
  const struct options *options;
  struct subscriber *subscribers;
  int count;
  int epoll;
  double last_arrival_s;
  pthread_t thread;
};

/* What every delivered frame of this run looks like. */
static struct {
  char prefix[256];
  size_t prefix_bytes;
  char suffix[64];
  size_t suffix_bytes;
  size_t header_bytes; /* up to and with the line end */
  size_t head_bytes;   /* header and tag */
  size_t frame_bytes;
  bool tagged;
  bool ordered; /* one subscriber sees all of a publisher's messages */
  uint32_t period;
  uint32_t publishers;
} frame;

static pthread_barrier_t start_line;
static atomic_long expected = -1; /* messages published by all; -1 while they still publish */
static atomic_long queue_received;
static atomic_int damaged;

static void damage(const char *what, const char *at, size_t available) {
  if (atomic_fetch_add(&damaged, 1)) return;
  fprintf(stderr, "natsbench: %s: %.*s\n", what, (int)(available < 80 ? available : 80), at);
}

static size_t pool_period(const struct options *options, size_t frame_bytes) {
  size_t bytes = options->subject_count > 1 ? POOL_BYTES : WRITE_BYTES;
  return frame_bytes >= bytes ? 1 : bytes / frame_bytes;
}

static size_t published_frame_bytes(const struct options *options) {
  size_t subject = strlen(options->subject) + (options->subject_count > 1 ? 1 + SUBJECT_DIGITS : 0);
  return 4 + subject + 1 + (size_t)digits(options->payload_size) + 2 + (size_t)options->payload_size + 2;
}

static void describe_frames(const struct options *options) {
  bool random = options->subject_count > 1;
  snprintf(frame.prefix, sizeof frame.prefix, "MSG %s%s", options->subject, random ? "." : " ");
  frame.prefix_bytes = strlen(frame.prefix);
  snprintf(frame.suffix, sizeof frame.suffix, "%s1 %d\r\n", random ? " " : "", options->payload_size);
  frame.suffix_bytes = strlen(frame.suffix);
  frame.header_bytes = frame.prefix_bytes + (random ? SUBJECT_DIGITS : 0) + frame.suffix_bytes;
  frame.tagged = options->payload_size >= TAG_BYTES;
  frame.ordered = frame.tagged && !options->queue;
  frame.head_bytes = frame.header_bytes + (frame.tagged ? TAG_BYTES : 0);
  frame.frame_bytes = frame.header_bytes + (size_t)options->payload_size + 2;
  frame.period = (uint32_t)pool_period(options, published_frame_bytes(options));
  frame.publishers = (uint32_t)options->publishers;
  if (frame.head_bytes > HEAD_BYTES - 64) fail("subject is too long");
}

static void compose_pool(struct publisher *self) {
  const struct options *options = self->options;
  char name[32] = "";
  unsigned seed = self->id * 7919 + 1;
  self->frame_bytes = published_frame_bytes(options);
  self->period = pool_period(options, self->frame_bytes);
  self->pool = allocate(self->frame_bytes * self->period + 1);
  char *out = self->pool;
  for (uint32_t index = 0; index < self->period; index++) {
    if (options->subject_count > 1)
      snprintf(name, sizeof name, ".%0*d", SUBJECT_DIGITS, rand_r(&seed) % options->subject_count);
    out += sprintf(out, "PUB %s%s %d\r\n", options->subject, name, options->payload_size);
    memset(out, 'x', (size_t)options->payload_size);
    if (frame.tagged) {
      memcpy(out, &self->id, 4);
      memcpy(out + 4, &index, 4);
    }
    out += options->payload_size;
    memcpy(out, "\r\n", 2);
    out += 2;
  }
  if (!options->websocket) return;
  if (options->subject_count > 1) fail("random subjects and --websocket don't go together");
  size_t bytes = self->frame_bytes * self->period;
  self->wrapped = allocate(bytes + FRAME_HEADER_BYTES);
  self->wrapped_bytes = put_frame((unsigned char *)self->wrapped, self->pool, bytes);
}

static void *publish(void *argument) {
  struct publisher *self = argument;
  size_t per_write = WRITE_BYTES / self->frame_bytes;
  if (per_write == 0) per_write = 1;
  pthread_barrier_wait(&start_line);
  double end = now_s() + self->options->seconds;
  for (size_t at = 0; now_s() < end;) {
    size_t frames = self->period - at < per_write ? self->period - at : per_write;
    if (self->wrapped) send_bytes(self->fd, self->wrapped, self->wrapped_bytes);
    else send_all(self->fd, self->pool + at * self->frame_bytes, frames * self->frame_bytes);
    self->sent += (long)frames;
    at = at + frames == self->period ? 0 : at + frames;
  }
  round_trip(self->fd);
  return NULL;
}

static bool check_head(struct subscriber *self, const char *at) {
  if (memcmp(at, frame.prefix, frame.prefix_bytes)) return false;
  if (memcmp(at + frame.header_bytes - frame.suffix_bytes, frame.suffix, frame.suffix_bytes)) return false;
  if (!frame.tagged) return true;
  uint32_t publisher, index;
  memcpy(&publisher, at + frame.header_bytes, 4);
  memcpy(&index, at + frame.header_bytes + 4, 4);
  if (publisher >= frame.publishers || index >= frame.period) {
    damage("damaged payload", at, frame.head_bytes);
  } else if (frame.ordered) {
    if (self->next_index[publisher] != index) damage("message lost, repeated or out of order", at, frame.head_bytes);
    self->next_index[publisher] = index + 1 == frame.period ? 0 : index + 1;
  }
  return true;
}

/* A line that is no message; returns its length, or 0 when its end has not arrived. */
static size_t control_line(struct subscriber *self, const char *at, size_t available) {
  const char *end = memchr(at, '\n', available);
  if (!end) {
    if (available >= HEAD_BYTES - 64 && memcmp(at, "INFO", 4)) fail("unexpected input: %.80s", at);
    return 0;
  }
  size_t length = (size_t)(end - at) + 1;
  if (length >= 4 && !memcmp(at, "PING", 4)) send_all(self->fd, "PONG\r\n", 6);
  else if (length < 3 || (memcmp(at, "INFO", 4) && memcmp(at, "+OK", 3)))
    fail("unexpected input: %.*s", (int)(length < 120 ? length : 120), at);
  return length;
}

/* Counts the messages in `at`; what is incomplete at the end is carried over. */
static void walk(struct subscriber *self, const char *at, const char *end) {
  while (at < end) {
    size_t available = (size_t)(end - at);
    if (self->payload_left) {
      size_t taken = available < self->payload_left ? available : self->payload_left;
      at += taken;
      self->payload_left -= taken;
      if (self->payload_left) continue;
      if (at[-1] != '\n') damage("frame without line end", at - 1, 1);
      self->received++;
    } else if (available >= frame.frame_bytes && check_head(self, at)) {
      if (memcmp(at + frame.frame_bytes - 2, "\r\n", 2)) damage("frame without line end", at, available);
      at += frame.frame_bytes;
      self->received++;
    } else if (available >= frame.head_bytes && check_head(self, at)) {
      at += frame.head_bytes;
      self->payload_left = frame.frame_bytes - frame.head_bytes;
    } else {
      size_t line = *at == 'M' && available < frame.head_bytes ? 0 : control_line(self, at, available);
      if (!line) break;
      at += line;
    }
  }
  self->carried = (size_t)(end - at);
  if (self->carried > HEAD_BYTES) fail("line too long: %.80s", at);
  memcpy(self->carry, at, self->carried);
}

/* One read; true when it brought a message. */
static bool receive(struct subscriber *self, char *scratch) {
  memcpy(scratch, self->carry, self->carried);
  ssize_t got = recv(self->fd, scratch + self->carried, SCRATCH_BYTES, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got < 0) fail_errno("receive");
  if (got == 0) fail("the server closed a subscriber's connection after %ld messages", self->received);
  long before = self->received;
  size_t fresh = unframe(self->fd, scratch + self->carried, (size_t)got);
  walk(self, scratch, scratch + self->carried + fresh);
  return self->received > before || self->payload_left;
}

static bool everything_arrived(const struct receiver *self) {
  long all = atomic_load(&expected);
  if (all < 0) return false;
  if (self->options->queue) return atomic_load(&queue_received) >= all;
  for (int i = 0; i < self->count; i++)
    if (self->subscribers[i].received < all) return false;
  return true;
}

static void *receive_all(void *argument) {
  struct receiver *self = argument;
  struct epoll_event events[64];
  char *scratch = allocate(HEAD_BYTES + SCRATCH_BYTES);
  pthread_barrier_wait(&start_line);
  self->last_arrival_s = now_s();
  while (!everything_arrived(self)) {
    int ready = epoll_wait(self->epoll, events, 64, 10);
    if (ready < 0 && errno != EINTR) fail_errno("epoll_wait");
    bool progress = false;
    for (int i = 0; i < ready; i++) {
      struct subscriber *subscriber = events[i].data.ptr;
      long before = subscriber->received;
      progress |= receive(subscriber, scratch);
      if (self->options->queue) atomic_fetch_add(&queue_received, subscriber->received - before);
    }
    if (progress) self->last_arrival_s = now_s();
    else if (now_s() - self->last_arrival_s > self->options->timeout_s) break;
  }
  free(scratch);
  return NULL;
}

static struct subscriber *open_subscribers(const struct options *options) {
  struct subscriber *all = allocate(sizeof *all * (size_t)(options->subscribers + 1));
  for (int i = 0; i < options->subscribers; i++) {
    all[i].fd = dial(options);
    all[i].next_index = allocate(sizeof(uint32_t) * (size_t)options->publishers);
    subscribe(all[i].fd, options->wildcard ? options->wildcard : options->subject, options->queue, 1);
  }
  return all;
}

static void start_receivers(const struct options *options, struct receiver *all, struct subscriber *subscribers) {
  for (int i = 0, from = 0; i < options->receiver_threads; i++) {
    int until = (int)((long)options->subscribers * (i + 1) / options->receiver_threads);
    all[i] = (struct receiver){.options = options, .subscribers = subscribers + from, .count = until - from};
    all[i].epoll = epoll_create1(EPOLL_CLOEXEC);
    if (all[i].epoll < 0) fail_errno("epoll_create1");
    for (; from < until; from++) {
      struct epoll_event event = {.events = EPOLLIN, .data.ptr = &subscribers[from]};
      if (epoll_ctl(all[i].epoll, EPOLL_CTL_ADD, subscribers[from].fd, &event)) fail_errno("epoll_ctl");
    }
    if (pthread_create(&all[i].thread, NULL, receive_all, &all[i])) fail("cannot start a thread");
  }
}

static void start_publishers(const struct options *options, struct publisher *all) {
  for (int i = 0; i < options->publishers; i++) {
    all[i] = (struct publisher){.options = options, .id = (uint32_t)i, .fd = dial(options)};
    compose_pool(&all[i]);
    if (pthread_create(&all[i].thread, NULL, publish, &all[i])) fail("cannot start a thread");
  }
}

static int report(const struct options *options, long sent, long received, double seconds, double cpu_s) {
  long wanted = options->queue ? (options->subscribers ? sent : 0) : sent * options->subscribers;
  long moved = options->subscribers ? received : sent;
  printf("{\"mode\":\"throughput\",\"sent\":%ld,\"received\":%ld,\"lost\":%ld,\"seconds\":%.6f,"
         "\"published_per_s\":%.1f,\"delivered_per_s\":%.1f,\"server_cpu_ns_per_message\":%.2f}\n",
         sent, received, wanted - received, seconds, (double)sent / seconds, (double)received / seconds,
         moved ? cpu_s * 1e9 / (double)moved : 0);
  if (received != wanted) fprintf(stderr, "natsbench: %ld of %ld messages arrived\n", received, wanted);
  if (atomic_load(&damaged)) fprintf(stderr, "natsbench: %d messages were wrong\n", atomic_load(&damaged));
  return received != wanted || atomic_load(&damaged) ? EXIT_LOST : EXIT_OK;
}

int run_throughput(const struct options *options) {
  describe_frames(options);
  int threads = options->publishers + options->receiver_threads;
  pthread_barrier_init(&start_line, NULL, (unsigned)threads + 1);
  struct subscriber *subscribers = open_subscribers(options);
  struct receiver *receivers = allocate(sizeof *receivers * (size_t)(options->receiver_threads + 1));
  struct publisher *publishers = allocate(sizeof *publishers * (size_t)options->publishers);
  start_receivers(options, receivers, subscribers);
  start_publishers(options, publishers);

  double cpu_before = process_cpu_s(options->server_pid), start = now_s();
  pthread_barrier_wait(&start_line);
  long sent = 0, received = 0;
  for (int i = 0; i < options->publishers; i++) {
    pthread_join(publishers[i].thread, NULL);
    sent += publishers[i].sent;
  }
  double finished = now_s();
  atomic_store(&expected, sent);
  if (options->receiver_threads) finished = 0;
  for (int i = 0; i < options->receiver_threads; i++) {
    pthread_join(receivers[i].thread, NULL);
    if (receivers[i].last_arrival_s > finished) finished = receivers[i].last_arrival_s;
  }
  double cpu_s = process_cpu_s(options->server_pid) - cpu_before;
  for (int i = 0; i < options->subscribers; i++) received += subscribers[i].received;
  return report(options, sent, received, finished - start, cpu_s);
}
