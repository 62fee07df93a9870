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
size_t connect_line(const struct options *options, char *out, size_t capacity);
int open_socket(const struct options *options);
int dial(const struct options *options);
void round_trip(int fd);
void subscribe(int fd, const char *subject, const char *queue, int sid);
int digits(long value);
void *allocate(size_t bytes);

/* One mode each; they print one line of JSON and return an exit status. */
int run_throughput(const struct options *options);
int run_latency(const struct options *options);
int run_connect_rate(const struct options *options);
int run_hold(const struct options *options);

/* Modes of MQTT, with options of their own. */
int run_mqtt(int argc, char **argv);

#endif
