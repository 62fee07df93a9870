/*
 * MQTT 3.1.1 load, in the same manner as natsbench.h describes: every frame of a run has the same length, so a receiver strides
 * over its input; every payload carries publisher and position, so nothing lost, repeated or reordered goes unnoticed.
 *
 *   mqtt-throughput  publish for --seconds, count every delivery; QoS 1 with --window PUBLISHes under way
 *   mqtt-hold        open --connections with one subscription each, keep them until standard input ends
 *   mqtt-retained    store --topics retained messages, then subscribe to all of them, again for --seconds
 *
 * Publishers of QoS 0 never are more than --window messages ahead of the slowest sum of deliveries: a broker may drop
 * messages of QoS 0 that it can't hold, and what it drops is no throughput.
 */
#define _GNU_SOURCE
#include "natsbench.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECT 0x10
#define CONNACK 0x20
#define PUBLISH 0x30
#define PUBACK 0x40
#define SUBSCRIBE 0x82
#define SUBACK 0x90
#define DISCONNECT 0xe0
#define RETAIN 0x01
#define QOS_1 0x02

#define HEAD_MAX 512
#define BATCH_BYTES 65536
#define SCRATCH_BYTES 262144
#define STAMP_BYTES 8
#define OPEN_AT_ONCE 32

struct load {
  struct options base;
  const char *topic;
  int qos;
  int window;
  int topics;
  bool persistent;
};

struct subscriber {
  int fd;
  long received;
  uint32_t *expected; /* next position, by publisher */
  size_t partial;
  char *rest;
  char id[64];
};

struct run {
  const struct load *load;
  char head[HEAD_MAX]; /* of a PUBLISH as subscribers get it */
  size_t head_bytes, frame_bytes;
  atomic_long sent, received;
  atomic_bool over;
  double end_s, last_arrival_s;
  struct subscriber *subscribers;
};

struct publisher {
  struct run *run;
  pthread_t thread;
  uint32_t number;
};

/* Bytes */

static size_t put_length(char *out, size_t value) {
  size_t at = 0;
  do {
    out[at] = (char)(value & 0x7f);
    value >>= 7;
    if (value) out[at] |= (char)0x80;
    at++;
  } while (value);
  return at;
}

static size_t put_u16(char *out, unsigned value) {
  out[0] = (char)(value >> 8);
  out[1] = (char)value;
  return 2;
}

static size_t put_text(char *out, const char *text) {
  size_t length = strlen(text);
  if (length > HEAD_MAX / 2) fail("a name is too long");
  memcpy(out + put_u16(out, (unsigned)length), text, length);
  return length + 2;
}

static size_t connect_packet(const struct options *options, char *out, const char *id, bool clean) {
  char body[HEAD_MAX * 2];
  size_t at = put_text(body, "MQTT");
  body[at++] = 4;
  body[at++] = (char)((clean ? 2 : 0) | (options->user ? 0xc0 : 0));
  at += put_u16(body + at, 0);
  at += put_text(body + at, id);
  if (options->user) {
    at += put_text(body + at, options->user);
    at += put_text(body + at, options->password);
  }
  out[0] = CONNECT;
  size_t start = 1 + put_length(out + 1, at);
  memcpy(out + start, body, at);
  return start + at;
}

static size_t subscribe_packet(char *out, const char *filter, int qos) {
  size_t text = strlen(filter);
  out[0] = (char)SUBSCRIBE;
  size_t at = 1 + put_length(out + 1, text + 5);
  at += put_u16(out + at, 1);
  at += put_text(out + at, filter);
  out[at++] = (char)qos;
  return at;
}

/* Fixed header and topic, and the place of a packet identifier. */
static size_t publish_head(char *out, int flags, const char *topic, size_t payload) {
  bool has_id = (flags & 6) != 0;
  out[0] = (char)(PUBLISH | flags);
  size_t at = 1 + put_length(out + 1, 2 + strlen(topic) + (has_id ? 2 : 0) + payload);
  at += put_text(out + at, topic);
  if (has_id) at += put_u16(out + at, 0);
  return at;
}

static void receive_exactly(int fd, unsigned char *out, size_t length) {
  for (size_t at = 0; at < length;) {
    ssize_t got = recv(fd, out + at, length - at, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno("receive");
    if (got == 0) fail("the server closed a connection");
    at += (size_t)got;
  }
}

static void expect(int fd, unsigned char type, size_t length, unsigned char last, const char *what) {
  unsigned char answer[8];
  receive_exactly(fd, answer, length);
  if (answer[0] != type || answer[length - 1] != last)
    fail("%s: the server answered %02x … %02x", what, answer[0], answer[length - 1]);
}

static int mqtt_dial(const struct options *options, const char *id, bool clean) {
  char packet[HEAD_MAX * 2];
  int fd = open_socket(options);
  send_all(fd, packet, connect_packet(options, packet, id, clean));
  expect(fd, CONNACK, 4, 0, "CONNECT");
  return fd;
}

static void mqtt_subscribe(int fd, const char *filter, int qos) {
  char packet[HEAD_MAX];
  send_all(fd, packet, subscribe_packet(packet, filter, qos));
  expect(fd, SUBACK, 5, (unsigned char)qos, "SUBSCRIBE");
}

static void leave(int fd) {
  const char packet[] = {(char)DISCONNECT, 0};
  send_all(fd, packet, 2);
  close(fd);
}

static void pause_briefly(void) { nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL); }

/* Publishers */

static char *pool_of(const struct load *load, uint32_t number, int flags, int count, size_t *frame) {
  char head[HEAD_MAX];
  size_t payload = (size_t)load->base.payload_size, head_bytes = publish_head(head, flags, load->topic, payload);
  *frame = head_bytes + payload;
  char *pool = allocate(*frame * (size_t)count);
  for (int i = 0; i < count; i++) {
    char *at = pool + *frame * (size_t)i;
    memcpy(at, head, head_bytes);
    memset(at + head_bytes, 'x', payload);
    memcpy(at + head_bytes, &number, sizeof number);
  }
  return pool;
}

static void stamp(char *frame, size_t frame_bytes, size_t payload, uint32_t position) {
  memcpy(frame + frame_bytes - payload + sizeof(uint32_t), &position, sizeof position);
}

static void publish_qos0(struct publisher *self, int fd) {
  struct run *run = self->run;
  const struct load *load = run->load;
  size_t frame, payload = (size_t)load->base.payload_size;
  int count = (int)(BATCH_BYTES / (payload + HEAD_MAX / 4)) + 1;
  long subscribers = load->base.subscribers, ahead = load->window * (subscribers ? subscribers : 1);
  char *pool = pool_of(load, self->number, 0, count, &frame);
  for (uint32_t position = 0; now_s() < run->end_s;) {
    while (subscribers && atomic_load(&run->sent) * subscribers - atomic_load(&run->received) > ahead) {
      if (now_s() >= run->end_s) goto out;
      pause_briefly();
    }
    for (int i = 0; i < count; i++) stamp(pool + frame * (size_t)i, frame, payload, position++);
    atomic_fetch_add(&run->sent, count);
    send_all(fd, pool, frame * (size_t)count);
  }
out:
  free(pool);
}

/* Takes PUBACKs that are there; waits for the first. Returns how many. */
static int take_acks(int fd, unsigned char *bytes, size_t *partial) {
  ssize_t got = recv(fd, bytes + *partial, SCRATCH_BYTES - *partial, 0);
  if (got < 0 && errno == EINTR) return 0;
  if (got < 0) fail_errno("PUBACK");
  if (got == 0) fail("the server closed a publisher's connection");
  size_t all = *partial + (size_t)got, at = 0;
  for (; at + 4 <= all; at += 4)
    if (bytes[at] != PUBACK || bytes[at + 1] != 2) fail("a PUBACK was expected, not %02x %02x", bytes[at], bytes[at + 1]);
  *partial = all - at;
  memmove(bytes, bytes + at, *partial);
  return (int)(at / 4);
}

static void publish_qos1(struct publisher *self, int fd) {
  struct run *run = self->run;
  const struct load *load = run->load;
  size_t frame, partial = 0, payload = (size_t)load->base.payload_size;
  char *pool = pool_of(load, self->number, QOS_1, load->window, &frame);
  unsigned char *acks = allocate(SCRATCH_BYTES);
  unsigned packet_id = 0;
  int under_way = 0;
  for (uint32_t position = 0;;) {
    int count = now_s() < run->end_s ? load->window - under_way : 0;
    for (int i = 0; i < count; i++) {
      char *at = pool + frame * (size_t)i;
      packet_id = packet_id == 65535 ? 1 : packet_id + 1;
      put_u16(at + frame - payload - 2, packet_id);
      stamp(at, frame, payload, position++);
    }
    atomic_fetch_add(&run->sent, count);
    if (count) send_all(fd, pool, frame * (size_t)count);
    under_way += count;
    if (under_way == 0) break;
    under_way -= take_acks(fd, acks, &partial);
  }
  free(acks);
  free(pool);
}

static void *run_publisher(void *argument) {
  struct publisher *self = argument;
  char id[64];
  snprintf(id, sizeof id, "publisher-%d-%u", (int)getpid(), self->number);
  int fd = mqtt_dial(&self->run->load->base, id, true);
  if (self->run->load->qos) publish_qos1(self, fd);
  else publish_qos0(self, fd);
  leave(fd);
  return NULL;
}

/* Subscribers */

static void examine(struct run *run, struct subscriber *self, const char *frame) {
  uint32_t number, position;
  size_t compared = run->head_bytes - (run->load->qos ? 2 : 0);
  if (memcmp(frame, run->head, compared)) {
    fprintf(stderr, "natsbench: a delivery begins with %02x %02x\n", (unsigned char)frame[0], (unsigned char)frame[1]);
    _exit(EXIT_LOST);
  }
  memcpy(&number, frame + run->head_bytes, sizeof number);
  memcpy(&position, frame + run->head_bytes + sizeof number, sizeof position);
  if (number >= (uint32_t)run->load->base.publishers || position != self->expected[number]) {
    fprintf(stderr, "natsbench: message %u of publisher %u came instead of %u\n", position, number,
            number < (uint32_t)run->load->base.publishers ? self->expected[number] : 0);
    _exit(EXIT_LOST);
  }
  self->expected[number]++;
}

static void take_deliveries(struct run *run, struct subscriber *self, char *scratch, char *acks) {
  memcpy(scratch, self->rest, self->partial);
  ssize_t got = recv(self->fd, scratch + self->partial, SCRATCH_BYTES - self->partial, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) fail_errno("receive");
  if (got == 0) fail("the server closed a subscriber's connection");
  size_t all = self->partial + (size_t)got, at = 0, ack_bytes = 0;
  long count = 0;
  for (; at + run->frame_bytes <= all; at += run->frame_bytes, count++) {
    examine(run, self, scratch + at);
    if (!run->load->qos) continue;
    acks[ack_bytes++] = PUBACK;
    acks[ack_bytes++] = 2;
    acks[ack_bytes++] = scratch[at + run->head_bytes - 2];
    acks[ack_bytes++] = scratch[at + run->head_bytes - 1];
  }
  self->partial = all - at;
  memcpy(self->rest, scratch + at, self->partial);
  self->received += count;
  atomic_fetch_add(&run->received, count);
  if (ack_bytes) send_all(self->fd, acks, ack_bytes);
}

static void *run_receiver(void *argument) {
  struct run *run = argument;
  char *scratch = allocate(SCRATCH_BYTES), *acks = allocate(SCRATCH_BYTES);
  int epoll = epoll_create1(EPOLL_CLOEXEC), subscribers = run->load->base.subscribers;
  for (int i = 0; i < subscribers; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &run->subscribers[i]};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, run->subscribers[i].fd, &event)) fail_errno("epoll_ctl");
  }
  double last_s = now_s();
  for (;;) {
    struct epoll_event events[256];
    int ready = epoll_wait(epoll, events, 256, 100);
    for (int i = 0; i < ready; i++) take_deliveries(run, events[i].data.ptr, scratch, acks);
    double now = now_s();
    if (ready > 0) run->last_arrival_s = last_s = now;
    bool complete = atomic_load(&run->over) && atomic_load(&run->received) == atomic_load(&run->sent) * subscribers;
    if (complete) break;
    if (now - last_s > run->load->base.timeout_s) {
      fprintf(stderr, "natsbench: %ld of %ld messages arrived\n", atomic_load(&run->received),
              atomic_load(&run->sent) * subscribers);
      _exit(EXIT_LOST);
    }
  }
  close(epoll);
  free(scratch);
  free(acks);
  return NULL;
}

static void open_subscribers(struct run *run) {
  const struct load *load = run->load;
  run->subscribers = allocate(sizeof *run->subscribers * (size_t)(load->base.subscribers + 1));
  for (int i = 0; i < load->base.subscribers; i++) {
    struct subscriber *self = &run->subscribers[i];
    snprintf(self->id, sizeof self->id, "subscriber-%d-%d", (int)getpid(), i);
    self->expected = allocate(sizeof *self->expected * (size_t)load->base.publishers);
    self->rest = allocate(run->frame_bytes);
    self->fd = mqtt_dial(&load->base, self->id, !load->persistent);
    mqtt_subscribe(self->fd, load->topic, load->qos);
  }
}

/* A session that is kept would go on to collect what the next run publishes. */
static void end_sessions(struct run *run) {
  for (int i = 0; i < run->load->base.subscribers; i++) {
    leave(run->subscribers[i].fd);
    if (run->load->persistent) leave(mqtt_dial(&run->load->base, run->subscribers[i].id, true));
  }
}

static int run_mqtt_throughput(const struct load *load) {
  struct run run = {.load = load};
  int publishers = load->base.publishers, subscribers = load->base.subscribers;
  if (load->base.payload_size < STAMP_BYTES) fail("--size wants at least %d here", STAMP_BYTES);
  run.head_bytes = publish_head(run.head, load->qos ? QOS_1 : 0, load->topic, (size_t)load->base.payload_size);
  run.frame_bytes = run.head_bytes + (size_t)load->base.payload_size;
  open_subscribers(&run);
  struct publisher *self = allocate(sizeof *self * (size_t)publishers);
  pthread_t receiver;
  double cpu_before = process_cpu_s(load->base.server_pid), start = now_s();
  run.end_s = start + load->base.seconds;
  run.last_arrival_s = start;
  for (int i = 0; i < publishers; i++) {
    self[i] = (struct publisher){.run = &run, .number = (uint32_t)i};
    if (pthread_create(&self[i].thread, NULL, run_publisher, &self[i])) fail("no thread");
  }
  if (subscribers && pthread_create(&receiver, NULL, run_receiver, &run)) fail("no thread");
  for (int i = 0; i < publishers; i++) pthread_join(self[i].thread, NULL);
  double published_s = now_s() - start;
  atomic_store(&run.over, true);
  if (subscribers) pthread_join(receiver, NULL);
  double finished_s = subscribers && run.last_arrival_s - start > published_s ? run.last_arrival_s - start : published_s;
  double cpu_s = process_cpu_s(load->base.server_pid) - cpu_before;
  long sent = atomic_load(&run.sent), received = atomic_load(&run.received), handled = received ? received : sent;
  end_sessions(&run);
  printf("{\"mode\":\"mqtt-throughput\",\"sent\":%ld,\"received\":%ld,\"seconds\":%.6f,\"published_per_s\":%.1f,"
         "\"delivered_per_s\":%.1f,\"server_cpu_ns_per_message\":%.1f}\n",
         sent, received, finished_s, (double)sent / published_s, (double)received / finished_s,
         cpu_s * 1e9 / (double)(handled ? handled : 1));
  return EXIT_OK;
}

/* Idle clients */

static void open_idle(const struct load *load, int from, int to, int *fds) {
  char bytes[HEAD_MAX * 4], name[128];
  for (int i = from; i < to; i++) {
    fds[i] = open_socket(&load->base);
    snprintf(name, sizeof name, "idle-%d-%d", (int)getpid(), i);
    size_t length = connect_packet(&load->base, bytes, name, !load->persistent);
    snprintf(name, sizeof name, "%s/%d", load->topic, i);
    send_all(fds[i], bytes, length + subscribe_packet(bytes + length, name, load->qos));
  }
  for (int i = from; i < to; i++) {
    expect(fds[i], CONNACK, 4, 0, "CONNECT");
    expect(fds[i], SUBACK, 5, (unsigned char)load->qos, "SUBSCRIBE");
  }
}

static int run_mqtt_hold(const struct load *load) {
  int count = load->base.connections, *fds = allocate(sizeof *fds * (size_t)count);
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) fail_errno("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit)) fail_errno("setrlimit");
  double start = now_s();
  for (int i = 0; i < count; i += OPEN_AT_ONCE)
    open_idle(load, i, i + OPEN_AT_ONCE < count ? i + OPEN_AT_ONCE : count, fds);
  printf("{\"mode\":\"mqtt-hold\",\"connections\":%d,\"seconds\":%.6f}\n", count, now_s() - start);
  fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) continue;
  for (int i = 0; i < count; i++) leave(fds[i]);
  return EXIT_OK;
}

/* Retained messages */

static size_t retained_frame(const struct load *load, char *out, int index, int flags, size_t *head) {
  char topic[128];
  snprintf(topic, sizeof topic, "%s/%07d", load->topic, index);
  *head = publish_head(out, flags, topic, (size_t)load->base.payload_size);
  memset(out + *head, 'x', (size_t)load->base.payload_size);
  return *head + (size_t)load->base.payload_size;
}

static double store_retained(const struct load *load) {
  char *frame = allocate(HEAD_MAX + (size_t)load->base.payload_size);
  unsigned char *acks = allocate(SCRATCH_BYTES);
  size_t head, partial = 0;
  int fd = mqtt_dial(&load->base, "retainer", true), under_way = 0;
  double start = now_s();
  for (int i = 0; i < load->topics || under_way; ) {
    for (; i < load->topics && under_way < load->window; i++, under_way++) {
      size_t length = retained_frame(load, frame, i, QOS_1 | RETAIN, &head);
      put_u16(frame + head - 2, (unsigned)(i % 65535) + 1);
      send_all(fd, frame, length);
    }
    under_way -= take_acks(fd, acks, &partial);
  }
  double seconds = now_s() - start;
  leave(fd);
  free(acks);
  free(frame);
  return seconds;
}

/* Reads one retained message of each topic, in whatever order they come. */
static void count_retained(const struct load *load, int fd, size_t frame_bytes, const char *head, size_t digits_at) {
  unsigned char *seen = allocate((size_t)load->topics);
  char *scratch = allocate(SCRATCH_BYTES);
  size_t partial = 0;
  for (int count = 0; count < load->topics;) {
    ssize_t got = recv(fd, scratch + partial, SCRATCH_BYTES - partial, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      fprintf(stderr, "natsbench: %d of %d retained messages arrived\n", count, load->topics);
      _exit(EXIT_LOST);
    }
    size_t all = partial + (size_t)got, at = 0;
    for (; at + frame_bytes <= all; at += frame_bytes, count++) {
      int topic = 0;
      for (int i = 0; i < 7; i++) topic = topic * 10 + (scratch[at + digits_at + (size_t)i] - '0');
      if (memcmp(scratch + at, head, digits_at) || topic < 0 || topic >= load->topics || seen[topic]++) {
        fprintf(stderr, "natsbench: a wrong or repeated retained message, %02x\n", (unsigned char)scratch[at]);
        _exit(EXIT_LOST);
      }
    }
    partial = all - at;
    memmove(scratch, scratch + at, partial);
  }
  free(scratch);
  free(seen);
}

static int run_mqtt_retained(const struct load *load) {
  char *head = allocate(HEAD_MAX + (size_t)load->base.payload_size), packet[HEAD_MAX], filter[128];
  size_t head_bytes, frame_bytes = retained_frame(load, head, 0, RETAIN, &head_bytes);
  double stored_s = store_retained(load);
  snprintf(filter, sizeof filter, "%s/+", load->topic);
  size_t length = subscribe_packet(packet, filter, 0);
  double cpu_before = process_cpu_s(load->base.server_pid), begin = now_s(), seconds = 0;
  long received = 0;
  /* Once at least: some servers take many seconds for it. */
  do {
    int fd = mqtt_dial(&load->base, "collector", true);
    double start = now_s();
    send_all(fd, packet, length);
    expect(fd, SUBACK, 5, 0, "SUBSCRIBE");
    count_retained(load, fd, frame_bytes, head, head_bytes - 7);
    seconds += now_s() - start;
    received += load->topics;
    leave(fd);
  } while (now_s() - begin < load->base.seconds);
  double cpu_s = process_cpu_s(load->base.server_pid) - cpu_before;
  printf("{\"mode\":\"mqtt-retained\",\"topics\":%d,\"stored_per_s\":%.1f,\"seconds\":%.6f,\"retained_per_s\":%.1f,"
         "\"server_cpu_ns_per_message\":%.1f}\n",
         load->topics, load->topics / stored_s, seconds, (double)received / seconds, cpu_s * 1e9 / (double)received);
  return EXIT_OK;
}

/* Options */

static const char usage[] =
    "usage: natsbench mqtt-throughput|mqtt-hold|mqtt-retained --port N [options]\n"
    "  --host --port --user --password --timeout --server-pid --publishers --subscribers --size --seconds --connections as elsewhere\n"
    "  --topic NAME (bench/load)  --qos 0|1 (0)  --window N (8192 for QoS 0, 512 for QoS 1)  --topics N (1000)  --persistent 0|1 (0)\n";

enum option_id {
  HOST = 1, PORT, USER, PASSWORD, TIMEOUT, SERVER_PID, PUBLISHERS, SUBSCRIBERS, SIZE, SECONDS, CONNECTIONS, TOPIC, QOS,
  WINDOW, TOPICS, PERSISTENT,
};

static const struct option names[] = {
    {"host", 1, NULL, HOST}, {"port", 1, NULL, PORT}, {"user", 1, NULL, USER}, {"password", 1, NULL, PASSWORD},
    {"timeout", 1, NULL, TIMEOUT}, {"server-pid", 1, NULL, SERVER_PID}, {"publishers", 1, NULL, PUBLISHERS},
    {"subscribers", 1, NULL, SUBSCRIBERS}, {"size", 1, NULL, SIZE}, {"seconds", 1, NULL, SECONDS},
    {"connections", 1, NULL, CONNECTIONS}, {"topic", 1, NULL, TOPIC}, {"qos", 1, NULL, QOS},
    {"window", 1, NULL, WINDOW}, {"topics", 1, NULL, TOPICS}, {"persistent", 1, NULL, PERSISTENT}, {NULL, 0, NULL, 0},
};

static int number(const char *text, long least, long most) {
  char *end;
  long value = strtol(text, &end, 10);
  if (*end || end == text || value < least || value > most)
    fail("%s is not a whole number from %ld to %ld", text, least, most);
  return (int)value;
}

static bool set_option(struct load *load, int id, const char *text) {
  switch (id) {
    case HOST: load->base.host = text; return true;
    case PORT: load->base.port = number(text, 1, 65535); return true;
    case USER: load->base.user = text; return true;
    case PASSWORD: load->base.password = text; return true;
    case TIMEOUT: load->base.timeout_s = number(text, 1, 3600); return true;
    case SERVER_PID: load->base.server_pid = number(text, 1, 1 << 30); return true;
    case PUBLISHERS: load->base.publishers = number(text, 1, 1024); return true;
    case SUBSCRIBERS: load->base.subscribers = number(text, 0, 1024); return true;
    case SIZE: load->base.payload_size = number(text, 1, 65536); return true;
    case SECONDS: load->base.seconds = strtod(text, NULL); return load->base.seconds > 0;
    case CONNECTIONS: load->base.connections = number(text, 1, 1 << 20); return true;
    case TOPIC: load->topic = text; return true;
    case QOS: load->qos = number(text, 0, 1); return true;
    case WINDOW: load->window = number(text, 1, 65534); return true;
    case TOPICS: load->topics = number(text, 1, 9999999); return true;
    case PERSISTENT: load->persistent = number(text, 0, 1) == 1; return true;
    default: return false;
  }
}

int run_mqtt(int argc, char **argv) {
  struct load load = {
      .base = {.host = "127.0.0.1", .password = "", .publishers = 1, .payload_size = 16, .seconds = 1, .connections = 1000,
               .timeout_s = 10},
      .topic = "bench/load", .topics = 1000,
  };
  for (int id; (id = getopt_long(argc, argv, "", names, NULL)) != -1;) {
    if (set_option(&load, id, optarg)) continue;
    fputs(usage, stderr);
    return EXIT_FAILED;
  }
  if (optind != argc - 1 || load.base.port == 0 || strlen(load.topic) > 100) {
    fputs(usage, stderr);
    return EXIT_FAILED;
  }
  if (load.window == 0) load.window = load.qos ? 512 : 8192;
  const char *mode = argv[optind];
  if (!strcmp(mode, "mqtt-throughput")) return run_mqtt_throughput(&load);
  if (!strcmp(mode, "mqtt-hold")) return run_mqtt_hold(&load);
  if (!strcmp(mode, "mqtt-retained")) return run_mqtt_retained(&load);
  fputs(usage, stderr);
  return EXIT_FAILED;
}
