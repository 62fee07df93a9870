import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';

/**
 * Compression of messages (RFC 7692), without context takeover either way: a message needs nothing but itself, and an idle
 * connection holds no window.
 *
 * Done in place rather than in a pool: a message is at most `max_payload` or one write long, and bytes behind it would
 * have to wait for it anyway.
 */

/** What a sync flush ends with; it isn't sent. */
const TAIL = Uint8Array.of(0x00, 0x00, 0xff, 0xff);
const INFLATE_CHUNK_BYTES = 16 * 1024;

/** @returns the compressed message, in memory of its own */
export function deflateMessage(payload: Uint8Array): Uint8Array {
  const compressed = deflateRawSync(payload, {
    level: constants.Z_BEST_SPEED,
    finishFlush: constants.Z_SYNC_FLUSH,
  });
  return compressed.subarray(0, compressed.length - TAIL.length);
}

export type Inflated = { bytes: Uint8Array } | { problem: 'too large' | 'corrupt' };

/** Decompresses a message; output stops growing as soon as it exceeds `maxBytes`. */
export function inflateMessage(compressed: Uint8Array, maxBytes: number): Inflated {
  try {
    const bytes = inflateRawSync(Buffer.concat([compressed, TAIL]), {
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength: Math.max(maxBytes, 1),
      chunkSize: INFLATE_CHUNK_BYTES,
    });
    return { bytes };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { problem: code === 'ERR_BUFFER_TOO_LARGE' ? 'too large' : 'corrupt' };
  }
}
