/**
 * Splits what a server sends to a client into protocol frames (spec: client protocol, §1 and §6).
 *
 * Payloads are skipped by their declared size, so text inside a payload never looks like an operation. Bytes that no
 * operation explains become one `RAW` frame: a transcript must show them, not lose them.
 */

export interface Frame {
  /** Upper-case operation: INFO, MSG, HMSG, +OK, -ERR, PING, PONG or RAW. */
  op: string;
  /** The control line without its CRLF, bytes as latin1. */
  line: string;
  /** Header block and body of MSG and HMSG as latin1, else `null`. */
  payload: string | null;
}

const OPERATIONS = new Set(['INFO', 'MSG', 'HMSG', '+OK', '-ERR', 'PING', 'PONG']);

export class FrameReader {
  private pending: Buffer = Buffer.alloc(0);
  /** What came behind, as long as it doesn't complete the message that `pending` begins. */
  private behind: Buffer[] = [];
  /** Bytes that are missing of it. */
  private missing = 0;

  /** Adds received bytes and answers the frames they complete. */
  push(chunk: Buffer): Frame[] {
    this.behind.push(chunk);
    this.missing -= chunk.length;
    // A large message comes in thousands of chunks: they are put together once.
    if (this.missing > 0) return [];
    this.join();
    const frames: Frame[] = [];
    let offset = 0;
    for (;;) {
      const end = this.pending.indexOf('\r\n', offset, 'latin1');
      if (end < 0) break;
      const line = this.pending.toString('latin1', offset, end);
      const op = (/^\S+/.exec(line)?.[0] ?? '').toUpperCase();
      if (op !== 'MSG' && op !== 'HMSG') {
        frames.push({ op: OPERATIONS.has(op) ? op : 'RAW', line, payload: null });
        offset = end + 2;
        continue;
      }
      const size = Number(/\d+$/.exec(line)?.[0] ?? Number.NaN);
      const next = end + 2 + size + 2;
      if (!(next <= this.pending.length)) {
        this.missing = next - this.pending.length;
        break;
      }
      frames.push({ op, line, payload: this.pending.toString('latin1', end + 2, end + 2 + size) });
      offset = next;
    }
    this.pending = this.pending.subarray(offset);
    return frames;
  }

  /** Bytes of an incomplete last frame, as latin1. */
  get rest(): string {
    this.join();
    return this.pending.toString('latin1');
  }

  private join(): void {
    if (this.behind.length > 0) this.pending = Buffer.concat([this.pending, ...this.behind]);
    this.behind = [];
  }
}

/** The frame as one text: the line and, after CRLF, the payload. */
export function frameText(frame: Frame): string {
  return frame.payload === null ? frame.line : `${frame.line}\r\n${frame.payload}`;
}
