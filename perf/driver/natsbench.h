/*
 * natsbench: a load generator for servers that speak the NATS client protocol.
 *
 * The problem: generator and server share one machine, often of two cores. A generator that spends as much CPU
 * per message as the server does measures itself. So:
 *
 *   - publishers send a pool of messages composed once, in large writes;
 *   - every frame of one run has the same length (subjects of fixed width, one payload size), so a receiver strides
 *     over its input: two short compares per message, no number parsed, no byte searched for;
 *   - the receivers of one run share few threads and one scratch buffer each, which stays in cache.
 *
 * Cheap is not blind: every header is compared in full (random subjects: all but the random digits), every payload
 * of 8 bytes or more carries publisher and position, checked for order and completeness. A lost, repeated,
 * reordered or damaged message ends the run with status 1.
 *
 * Server CPU time is read from the CPU clock of the server process: nanoseconds, user and system, all threads,
 * those that have ended included. /proc/PID/stat knows it to 10 ms only, and schedstat is often compiled out.
 *
 * Rejected: one thread per subscriber (with ten of them on two cores the scheduler is what gets measured), and
 * discarding input in the kernel with MSG_TRUNC (cheaper still, but then nobody would notice wrong bytes).
 */
#ifndef NATSBENCH_H
#define NATSBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum exit_status { EXIT_OK = 0, EXIT_LOST = 1, EXIT_FAILED = 2 };

struct options {
  const char *mode;
  const char *host;
  int port;
  const char *user; /* NULL: no credentials */
  const char *password;
  const char *subject;
  const char *wildcard; /* what subscribers subscribe to; NULL: the subject */
  const char *queue;    /* NULL: no queue group */
  int publishers;
  int subscribers;
  int receiver_threads;
  int payload_size;
  int subject_count; /* above 1: publishes go to SUBJECT.0000000 and up, picked at random */
  double seconds;    /* how long to publish, or to request */
  int connections;
  int parallel; /* handshakes under way at a time */
  int window;   /* requests under way at a time, for each publisher */
  long messages; /* requests to make, or messages to consume in a round; 0: as many as the time allows */
  const char *body;     /* of a request; NULL: payload_size bytes, the first eight its number */
  const char *stream;   /* to consume from */
  const char *consumer; /* the consumer's configuration: members of a JSON object, without braces */
  int batch;            /* messages asked for at a time; 0: the consumer pushes */
  bool acknowledge;     /* every message, explicitly */
  bool gapless;         /* stream sequences have to follow one another */
  bool websocket; /* NATS inside of WebSocket frames */
  pid_t server_pid; /* 0: no CPU figure */
  double timeout_s;
};

/* wire.c */
double now_s(void);
uint64_t now_ns(void);
double process_cpu_s(pid_t pid);
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail_errno(const char *what);
void send_all(int fd, const char *bytes, size_t length);
void send_bytes(int fd, const char *bytes, size_t length);
size_t connect_line(const struct options *options, char *out, size_t capacity);
int open_socket(const struct options *options);
int dial(const struct options *options);
void round_trip(int fd);
void subscribe(int fd, const char *subject, const char *queue, int sid);
int digits(long value);
void *allocate(size_t bytes);

/* messages.c: what a client receives, parsed. */
struct reader {
  int fd;
  char *bytes;
  size_t start, end, capacity;
  long pongs; /* seen so far */
};

/* A MSG or HMSG; everything points into the reader's buffer and is valid until the next read. */
struct message {
  const char *subject, *reply, *headers, *payload;
  size_t subject_bytes, reply_bytes, header_bytes, payload_bytes; /* 0: absent */
};

struct reader open_reader(int fd);
enum { WAIT_FOREVER = -1 /* that is, until the run's timeout, which ends it */ };
/* Reads what is there, waiting at most `timeout_ms` for it; false: nothing came. */
bool read_some(struct reader *in, int timeout_ms);
/* Takes the next complete message off the buffer; PINGs are answered on the way, and -ERR ends the run. */
bool take_message(struct reader *in, struct message *out);
/* The status code of a message with headers and no payload, as `100` or `404`; 0 for an ordinary one. */
int status_of(const struct message *message);
/* One request on a connection kept for that; an error ends the run. The answer, ended with 0, is the caller's to free. */
char *ask(const struct options *options, const char *subject, const char *body);

/* consumer.c: one connection that receives a consumer's messages. */
struct consumer {
  const struct options *options;
  struct reader in;
  int round;
  char name[32], inbox[64];
  char pull[512]; /* the request for a batch, whole */
  size_t pull_bytes;
  char ack_prefix[256]; /* of the reply subjects, up to the numbers; learnt from the first message */
  size_t ack_prefix_bytes;
  long received, requested;
  uint64_t stream_seq; /* of the last message */
};

void open_consumer(struct consumer *self, const struct options *options);
/* Creates the consumer of the next round, with --consumer; one without --batch pushes from now on. */
void create_consumer(struct consumer *self);
void delete_consumer(struct consumer *self);
/* Asks for a batch when less than half of one is still to come. */
void request_batch(struct consumer *self);
/* Counts a message and checks its sequences; false: a status, which has been dealt with, or of an earlier round. */
bool consume_message(struct consumer *self, const struct message *message);
/* websocket.c */
#define FRAME_HEADER_BYTES 14
bool is_websocket(int fd);
void upgrade(int fd, const struct options *options);
size_t put_frame(unsigned char *out, const char *payload, size_t length);
size_t unframe(int fd, char *bytes, size_t length);

/* One mode each; they print one line of JSON and return an exit status. */
int run_throughput(const struct options *options);
int run_latency(const struct options *options);
int run_connect_rate(const struct options *options);
int run_hold(const struct options *options);
int run_request(const struct options *options);
int run_consume(const struct options *options);
int run_delivery(const struct options *options);

/* Modes of MQTT, with options of their own. */
int run_mqtt(int argc, char **argv);

#endif
