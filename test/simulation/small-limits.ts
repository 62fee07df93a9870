/**
 * Bounds of the store for half of the simulations, so small that a few dozen messages reach them: buffers are full, given back and
 * used again, blocks are closed, and files of several extents are written behind and synced beside the checkpoints.
 */

export const FRAME_BYTES = 8 * 1024;
export const TAIL_BYTES = 8 * 1024;
export const TAIL_START_BYTES = 1024;
export const READ_WINDOW_BYTES = 4 * 1024;
export const SPARE_BUFFERS_BYTES = 64 * 1024;
export const SPARE_BUFFER_MIN_BYTES = 1024;
export const BLOCK_SPARE_SPAN = 64;
export const EXTENT_BYTES = 4 * 1024;
export const TRICKLE_BYTES = 16 * 1024;

export function blockSize(storage: 'file' | 'memory', wantedBytes: number): number {
  if (storage === 'memory') return 8 * 1024;
  return wantedBytes === 0 ? 16 * 1024 : wantedBytes;
}
