import { deflateRaw } from 'node:zlib';
import type { Compressor } from '../../shared/jetstream/store/shared.ts';

/** Compresses on the thread pool of libuv: a deflate of 64 KB takes about a millisecond that publishes need not wait for. */
export const poolCompressor: Compressor = {
  start(bytes) {
    let result: Uint8Array | null = null;
    deflateRaw(bytes, { level: 1 }, (error, packed) => {
      // Without memory for it the bytes are stored as they are.
      result = error === null ? packed : bytes;
    });
    return { poll: () => result };
  },
};
