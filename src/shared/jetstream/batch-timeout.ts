import type { Stream } from './stream.ts';
import { durationMs } from './time.ts';

/** Open batches end when nothing comes for `limits.batch.timeout` (jetstream-streams §5). */

interface OpenBatch {
  /** Since when nothing came. Unix milliseconds. */
  readonly idleSinceMs: number;
}

function timeoutMs(stream: Stream): number {
  return durationMs(stream.engine.options.batch.timeoutNs);
}

/** When the first of the batches will have waited too long; `Infinity` without one. */
export function firstTimeoutMs(stream: Stream, batches: Iterable<OpenBatch>): number {
  let least = Infinity;
  for (const { idleSinceMs } of batches) least = Math.min(least, idleSinceMs);
  return least + timeoutMs(stream);
}

/** The batches that have waited too long. */
export function timedOut<B extends OpenBatch>(stream: Stream, batches: Iterable<B>, nowMs: number): B[] {
  const before = nowMs - timeoutMs(stream);
  return [...batches].filter(({ idleSinceMs }) => idleSinceMs <= before);
}
