/** What an acknowledgement says (jetstream-consumers §8). */
import { decodeJson, fieldReaders, readDuration } from '../../json-fields.ts';
import { durationMs, parseDuration } from '../../time.ts';

export type AckKind = 'ack' | 'nak' | 'progress' | 'next' | 'term' | 'unknown';

const PLUS = 0x2b;
const MINUS = 0x2d;
const BRACE = 0x7b;

function startsWith(bytes: Uint8Array, start: number, end: number, word: string): boolean {
  if (end - start < word.length) return false;
  for (let i = 0; i < word.length; i++) if (bytes[start + i] !== word.charCodeAt(i)) return false;
  return true;
}

function is(bytes: Uint8Array, start: number, end: number, word: string): boolean {
  return end - start === word.length && startsWith(bytes, start, end, word);
}

/** The kind of an acknowledgement whose payload is `bytes[start, end)`. */
export function ackKind(bytes: Uint8Array, start: number, end: number): AckKind {
  if (start === end) return 'ack';
  const first = bytes[start];
  if (first === MINUS) return startsWith(bytes, start, end, '-NAK') ? 'nak' : 'unknown';
  if (first !== PLUS) return 'unknown';
  if (is(bytes, start, end, '+ACK') || is(bytes, start, end, '+OK')) return 'ack';
  if (is(bytes, start, end, '+WPI')) return 'progress';
  if (startsWith(bytes, start, end, '+NXT')) return 'next';
  return startsWith(bytes, start, end, '+TERM') ? 'term' : 'unknown';
}

/** What follows the word, without blanks around it. */
export function ackArgument(payload: Uint8Array, word: '-NAK' | '+NXT' | '+TERM'): string {
  const { buffer, byteOffset, length } = payload;
  return Buffer.from(buffer, byteOffset, length).toString('utf8', word.length).trim();
}

const NAK_READERS = fieldReaders<{ delayNs: bigint }>({
  delay: (options, node, at) => {
    options.delayNs = readDuration(node, at);
  },
});

/** Milliseconds a NAK asks to wait, 0 for none; null when what it says can't be read. */
export function nakDelayMs(argument: string): number | null {
  if (argument === '') return 0;
  if (argument.charCodeAt(0) !== BRACE) {
    const delayNs = parseDuration(argument);
    return delayNs === null ? null : Math.max(0, durationMs(delayNs));
  }
  const target = { delayNs: 0n };
  const body = Buffer.from(argument, 'utf8');
  const error = decodeJson(body, { target, readers: NAK_READERS, type: 'ConsumerNakOptions', strict: false });
  return error === null ? Math.max(0, durationMs(target.delayNs)) : null;
}
