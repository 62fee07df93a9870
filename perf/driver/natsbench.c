/* natsbench: entry and options; natsbench.h has the theory. */
#define _GNU_SOURCE
#include "natsbench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

static const char usage[] =
    "usage: natsbench MODE --port N [options]         prints one line of JSON; status 1: messages lost, 2: failure\n"
    "  throughput  publish for --seconds, count every delivery\n"
    "  latency     one request at a time for --seconds\n"
    "  connect     connect, handshake, close, again, for --seconds\n"
    "  hold        open --connections with one subscription each, keep them until standard input ends\n"
    "  mqtt-throughput, mqtt-hold, mqtt-retained: MQTT 3.1.1, with options of their own\n"
    "  request     --window requests under way on each of --publishers connections, each with a reply that has to come:\n"
    "              publishes to a stream, and its API\n"
    "  consume     create a consumer, take --messages from it, delete it, again, for --seconds\n"
    "  delivery    one publish at a time: until its consumer has it, and until it is acknowledged\n"
    "options (default)\n"
    "  --host ADDRESS (127.0.0.1)   --port N   --user NAME   --password TEXT   --timeout SECONDS (10)\n"
    "  --server-pid PID             report the CPU time of that process per message\n"
    "  --subject NAME (bench.load)  --subjects N (1): NAME.0000000 and up at random   --wildcard PATTERN   --queue GROUP\n"
    "  --publishers N (1)  --subscribers N (0)  --receivers THREADS (half the cores)  --size BYTES (16)  --seconds S (1)\n"
    "  --connections N (1000)  --parallel N (32)\n"
    "  --window N (1)  --messages N  --body TEXT     {N} in a request's subject and body stands for its number modulo N;\n"
    "                                                 the next {N} for what is left after a division by it\n"
    "  --stream NAME  --consumer JSON_MEMBERS  --batch N (0: push)  --acknowledge 0|1  --gapless 0|1\n"
    "  --websocket 1                NATS inside of WebSocket frames (not with latency, --subjects)\n";

enum option_id {
  HOST = 1, PORT, USER, PASSWORD, TIMEOUT, SERVER_PID, SUBJECT, SUBJECTS, WILDCARD, QUEUE,
  PUBLISHERS, SUBSCRIBERS, RECEIVERS, SIZE, SECONDS, CONNECTIONS, PARALLEL,
  WINDOW, MESSAGES, BODY, STREAM, CONSUMER, BATCH, ACKNOWLEDGE, GAPLESS, WEBSOCKET,
};

static const struct option names[] = {
    {"host", 1, NULL, HOST}, {"port", 1, NULL, PORT}, {"user", 1, NULL, USER}, {"password", 1, NULL, PASSWORD},
    {"timeout", 1, NULL, TIMEOUT}, {"server-pid", 1, NULL, SERVER_PID}, {"subject", 1, NULL, SUBJECT},
    {"subjects", 1, NULL, SUBJECTS}, {"wildcard", 1, NULL, WILDCARD}, {"queue", 1, NULL, QUEUE},
    {"publishers", 1, NULL, PUBLISHERS}, {"subscribers", 1, NULL, SUBSCRIBERS}, {"receivers", 1, NULL, RECEIVERS},
    {"size", 1, NULL, SIZE}, {"seconds", 1, NULL, SECONDS}, {"connections", 1, NULL, CONNECTIONS},
    {"parallel", 1, NULL, PARALLEL}, {"window", 1, NULL, WINDOW}, {"messages", 1, NULL, MESSAGES},
    {"body", 1, NULL, BODY}, {"stream", 1, NULL, STREAM}, {"consumer", 1, NULL, CONSUMER}, {"batch", 1, NULL, BATCH},
    {"acknowledge", 1, NULL, ACKNOWLEDGE}, {"gapless", 1, NULL, GAPLESS},
    {"websocket", 1, NULL, WEBSOCKET}, {NULL, 0, NULL, 0},
};

static int whole_number(const char *text, long least, long most) {
  char *end;
  long value = strtol(text, &end, 10);
  if (*end || end == text || value < least || value > most)
    fail("%s is not a whole number from %ld to %ld", text, least, most);
  return (int)value;
}

static double positive(const char *text) {
  char *end;
  double value = strtod(text, &end);
  if (*end || end == text || !(value > 0)) fail("%s is not a positive number", text);
  return value;
}

static bool set_option(struct options *options, int id, const char *text) {
  switch (id) {
    case HOST: options->host = text; return true;
    case PORT: options->port = whole_number(text, 1, 65535); return true;
    case USER: options->user = text; return true;
    case PASSWORD: options->password = text; return true;
    case TIMEOUT: options->timeout_s = positive(text); return true;
    case SERVER_PID: options->server_pid = whole_number(text, 1, 1 << 30); return true;
    case SUBJECT: options->subject = text; return true;
    case SUBJECTS: options->subject_count = whole_number(text, 1, 9999999); return true;
    case WILDCARD: options->wildcard = text; return true;
    case QUEUE: options->queue = text; return true;
    case PUBLISHERS: options->publishers = whole_number(text, 1, 1024); return true;
    case SUBSCRIBERS: options->subscribers = whole_number(text, 0, 1024); return true;
    case RECEIVERS: options->receiver_threads = whole_number(text, 1, 1024); return true;
    case SIZE: options->payload_size = whole_number(text, 0, 64 << 20); return true;
    case SECONDS: options->seconds = positive(text); return true;
    case CONNECTIONS: options->connections = whole_number(text, 1, 1 << 20); return true;
    case PARALLEL: options->parallel = whole_number(text, 1, 4096); return true;
    case WINDOW: options->window = whole_number(text, 1, 1 << 16); return true;
    case MESSAGES: options->messages = whole_number(text, 0, 1 << 30); return true;
    case BODY: options->body = text; return true;
    case STREAM: options->stream = text; return true;
    case CONSUMER: options->consumer = text; return true;
    case BATCH: options->batch = whole_number(text, 0, 1 << 20); return true;
    case ACKNOWLEDGE: options->acknowledge = whole_number(text, 0, 1); return true;
    case GAPLESS: options->gapless = whole_number(text, 0, 1); return true;
    case WEBSOCKET: options->websocket = whole_number(text, 0, 1); return true;
    default: return false;
  }
}

/* Threads that receive; in a run of requests they send as well. */
static int default_receivers(const struct options *options) {
  int threads = options->receiver_threads ? options->receiver_threads : get_nprocs() / 2;
  int most = strcmp(options->mode, "request") ? options->subscribers : options->publishers;
  if (threads < 1) threads = 1;
  return threads < most ? threads : most;
}

int main(int argc, char **argv) {
  if (argc > 1 && !strncmp(argv[1], "mqtt-", 5)) return run_mqtt(argc, argv);
  struct options options = {
      .host = "127.0.0.1", .password = "", .subject = "bench.load", .publishers = 1, .payload_size = 16,
      .subject_count = 1, .seconds = 1, .connections = 1000, .parallel = 32, .timeout_s = 10,
      .window = 1, .stream = "BENCH", .consumer = "",
  };
  for (int id; (id = getopt_long(argc, argv, "", names, NULL)) != -1;) {
    if (set_option(&options, id, optarg)) continue;
    fputs(usage, stderr);
    return EXIT_FAILED;
  }
  if (optind != argc - 1 || options.port == 0) {
    fputs(usage, stderr);
    return EXIT_FAILED;
  }
  options.mode = argv[optind];
  options.receiver_threads = default_receivers(&options);
  if (!strcmp(options.mode, "throughput")) return run_throughput(&options);
  if (!strcmp(options.mode, "latency")) return run_latency(&options);
  if (!strcmp(options.mode, "connect")) return run_connect_rate(&options);
  if (!strcmp(options.mode, "hold")) return run_hold(&options);
  if (!strcmp(options.mode, "request")) return run_request(&options);
  if (!strcmp(options.mode, "consume")) return run_consume(&options);
  if (!strcmp(options.mode, "delivery")) return run_delivery(&options);
  fprintf(stderr, "natsbench: unknown mode %s\n%s", options.mode, usage);
  return EXIT_FAILED;
}
