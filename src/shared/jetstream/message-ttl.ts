/** Lifetime of one message, header `Nats-TTL` (jetstream-streams §4.5). */
import { TTL_NEVER } from './store/contract.ts';
import { NANOS_PER_SECOND, parseDuration } from './time.ts';

const MAX_TTL_SECONDS = TTL_NEVER - 1;

/**
 * Seconds of a TTL: `never`, a whole number of seconds above 0, or a duration of a second at least, cut to seconds.
 *
 * @returns `TTL_NEVER` for never, 0 when the text is no TTL
 */
export function parseTtl(text: string): number {
  if (text.toLowerCase() === 'never') return TTL_NEVER;
  if (/^\+?\d+$/.test(text)) return Math.min(Number(text), MAX_TTL_SECONDS);
  const duration = parseDuration(text);
  if (duration === null || duration < NANOS_PER_SECOND) return 0;
  return Math.min(Number(duration / NANOS_PER_SECOND), MAX_TTL_SECONDS);
}
