/* What a client receives: MSG and HMSG with everything they carry, for the modes that look at single messages. */
#define _GNU_SOURCE
#include "natsbench.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FIRST_CAPACITY (256 * 1024)
#define LEAST_FREE (32 * 1024)
#define STATUS_LINE "NATS/1.0 "

struct reader open_reader(int fd) {
  return (struct reader){.fd = fd, .bytes = allocate(FIRST_CAPACITY), .capacity = FIRST_CAPACITY};
}

/* Space for more behind what is unread; a message larger than the buffer makes the buffer grow. */
static void make_room(struct reader *in) {
  if (in->start == in->end) in->start = in->end = 0;
  if (in->capacity - in->end >= LEAST_FREE) return;
  memmove(in->bytes, in->bytes + in->start, in->end - in->start);
  in->end -= in->start;
  in->start = 0;
  if (in->capacity - in->end >= LEAST_FREE) return;
  in->capacity *= 2;
  in->bytes = realloc(in->bytes, in->capacity);
  if (!in->bytes) fail_errno("memory");
}

bool read_some(struct reader *in, int timeout_ms) {
  make_room(in);
  if (timeout_ms > 0) {
    struct pollfd waiting = {.fd = in->fd, .events = POLLIN};
    if (poll(&waiting, 1, timeout_ms) < 0 && errno != EINTR) fail_errno("poll");
  }
  int flags = timeout_ms == WAIT_FOREVER ? 0 : MSG_DONTWAIT;
  for (;;) {
    ssize_t got = recv(in->fd, in->bytes + in->end, in->capacity - in->end, flags);
    if (got > 0) {
      in->end += (size_t)got;
      return true;
    }
    if (got == 0) fail("the server closed the connection");
    if (errno == EINTR) continue;
    if (errno == EAGAIN && timeout_ms != WAIT_FOREVER) return false;
    fail_errno("no message within the timeout");
  }
}

static size_t number(const char *at, const char *end) {
  size_t value = 0;
  if (at == end) fail("malformed message");
  for (; at < end; at++) {
    if (*at < '0' || *at > '9') fail("malformed message");
    value = value * 10 + (size_t)(*at - '0');
  }
  return value;
}

/* `MSG subject sid [reply] size` or `HMSG subject sid [reply] headers size`; returns the bytes behind the line. */
static size_t parse_line(const char *line, const char *end, struct message *out) {
  bool headers = *line == 'H';
  const char *fields[7], *at = line + (headers ? 5 : 4);
  int count = 0;
  fields[count++] = at;
  for (; (at = memchr(at, ' ', (size_t)(end - at))) && count < 6; at++) fields[count++] = at + 1;
  int least = headers ? 4 : 3;
  if (count != least && count != least + 1) fail("malformed message: %.*s", (int)(end - line), line);
  fields[count] = end + 1; /* every field ends one byte before the next one starts */
  *out = (struct message){.subject = fields[0], .subject_bytes = (size_t)(fields[1] - fields[0] - 1)};
  if (count > least) {
    out->reply = fields[2];
    out->reply_bytes = (size_t)(fields[3] - fields[2] - 1);
  }
  size_t all = number(fields[count - 1], end);
  if (headers) out->header_bytes = number(fields[count - 2], fields[count - 1] - 1);
  if (out->header_bytes > all) fail("malformed message: %.*s", (int)(end - line), line);
  out->headers = end + 2;
  out->payload = out->headers + out->header_bytes;
  out->payload_bytes = all - out->header_bytes;
  return all;
}

bool take_message(struct reader *in, struct message *out) {
  while (in->start < in->end) {
    const char *line = in->bytes + in->start, *end = memchr(line, '\n', in->end - in->start);
    if (!end) return false;
    size_t line_bytes = (size_t)(end - line) + 1;
    if (line_bytes > 6 && (!memcmp(line, "MSG ", 4) || !memcmp(line, "HMSG ", 5))) {
      size_t behind = parse_line(line, end - 1, out);
      if (in->end - in->start < line_bytes + behind + 2) return false;
      if (memcmp(line + line_bytes + behind, "\r\n", 2)) fail("frame without line end");
      in->start += line_bytes + behind + 2;
      return true;
    }
    if (!memcmp(line, "PING", 4)) send_all(in->fd, "PONG\r\n", 6);
    else if (!memcmp(line, "PONG", 4)) in->pongs++;
    else if (memcmp(line, "INFO", 4) && memcmp(line, "+OK", 3))
      fail("unexpected input: %.*s", (int)(line_bytes < 200 ? line_bytes : 200), line);
    in->start += line_bytes;
  }
  return false;
}

int status_of(const struct message *message) {
  size_t prefix = strlen(STATUS_LINE);
  if (message->payload_bytes || message->header_bytes < prefix + 3) return 0;
  return memcmp(message->headers, STATUS_LINE, prefix) ? 0 : atoi(message->headers + prefix);
}

char *ask(const struct options *options, const char *subject, const char *body) {
  static struct reader in;
  static long asked;
  char inbox[64];
  if (!in.bytes) {
    in = open_reader(dial(options));
    subscribe(in.fd, "_INBOX.natsbench.ask.*", NULL, 1);
  }
  snprintf(inbox, sizeof inbox, "_INBOX.natsbench.ask.%ld", ++asked);
  size_t body_bytes = strlen(body);
  char *out = allocate(strlen(subject) + sizeof inbox + body_bytes + 64);
  int length = sprintf(out, "PUB %s %s %zu\r\n%s\r\n", subject, inbox, body_bytes, body);
  send_all(in.fd, out, (size_t)length);
  free(out);
  struct message answer;
  while (!take_message(&in, &answer)) read_some(&in, WAIT_FOREVER);
  if (status_of(&answer)) fail("%s: status %d", subject, status_of(&answer));
  if (memmem(answer.payload, answer.payload_bytes, "\"error\":", 8))
    fail("%s: %.*s", subject, (int)(answer.payload_bytes < 400 ? answer.payload_bytes : 400), answer.payload);
  char *text = allocate(answer.payload_bytes + 1);
  memcpy(text, answer.payload, answer.payload_bytes);
  return text;
}
