/*
 * WebSocket: the upgrade, masked frames out, frames in.
 *
 * The rest of the program goes on speaking NATS: `send_all` wraps what it sends, and received bytes lose their frame
 * headers in place, right behind `recv`. Publishers' pools are framed and masked once, like a client that batches.
 */
#define _GNU_SOURCE
#include "natsbench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_DESCRIPTORS (1 << 20)
#define HEADER_BYTES 14
#define LINE_BYTES 4096

/* How far the server's frames have come on a descriptor. */
struct incoming {
  uint64_t left;
  unsigned char header[10];
  uint8_t header_bytes;
  bool framed;
};

static struct incoming incoming[MAX_DESCRIPTORS];
static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};

bool is_websocket(int fd) { return incoming[fd].framed; }

/* Asks for the upgrade and reads the response's head. */
void upgrade(int fd, const struct options *options) {
  char request[512], head[LINE_BYTES];
  size_t length = 0;
  if (fd >= MAX_DESCRIPTORS) fail("too many connections");
  int size = snprintf(request, sizeof request,
                      "GET / HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                      options->host, options->port);
  incoming[fd] = (struct incoming){0};
  send_all(fd, request, (size_t)size);
  while (length < 4 || memcmp(head + length - 4, "\r\n\r\n", 4)) {
    ssize_t got = recv(fd, head + length, 1, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || ++length == sizeof head) fail("no answer to the upgrade");
  }
  if (memcmp(head, "HTTP/1.1 101", 12)) fail("the upgrade was refused: %.40s", head);
  incoming[fd].framed = true;
}

/* Writes a masked binary frame to `out`, which has room for HEADER_BYTES more than the payload; returns its length. */
size_t put_frame(unsigned char *out, const char *payload, size_t length) {
  size_t at = 0;
  out[at++] = 0x82;
  if (length < 126) out[at++] = (unsigned char)(0x80 | length);
  else {
    int width = length < 65536 ? 2 : 8;
    out[at++] = 0x80 | (width == 2 ? 126 : 127);
    for (int shift = (width - 1) * 8; shift >= 0; shift -= 8) out[at++] = (unsigned char)((uint64_t)length >> shift);
  }
  memcpy(out + at, mask, 4);
  at += 4;
  for (size_t i = 0; i < length; i++) out[at + i] = (unsigned char)payload[i] ^ mask[i & 3];
  return at + length;
}

/* Removes frame headers from what was received; returns how many bytes of the stream are left at `bytes`. */
size_t unframe(int fd, char *bytes, size_t length) {
  struct incoming *self = &incoming[fd];
  if (!self->framed) return length;
  size_t from = 0, to = 0;
  while (from < length) {
    if (self->left) {
      size_t count = length - from < self->left ? length - from : (size_t)self->left;
      memmove(bytes + to, bytes + from, count);
      from += count;
      to += count;
      self->left -= count;
      continue;
    }
    self->header[self->header_bytes++] = (unsigned char)bytes[from++];
    if (self->header_bytes < 2) continue;
    unsigned char kind = self->header[0], size = self->header[1];
    int width = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (kind != 0x82) fail("unexpected frame %02x", kind);
    if (self->header_bytes < 2 + width) continue;
    self->left = width ? 0 : size;
    for (int i = 0; i < width; i++) self->left = self->left << 8 | self->header[2 + i];
    self->header_bytes = 0;
  }
  return to;
}
