import { latin1, latin1Bytes } from '../../../../../src/shared/base/latin1.ts';
import { WORD_SLACK_BYTES } from '../../../../../src/shared/base/limits.ts';
import type { LineMemo } from '../../../../../src/shared/protocol/nats/line-memo.ts';
import {
  ClientParser,
  hashBytes,
  PARSE_BLOCKED,
  PARSE_CLOSED,
  PARSE_MORE,
  PARSE_PAUSED,
  type ParserClient,
  type ParserSink,
} from '../../../../../src/shared/protocol/nats/parser.ts';

/** What a connection is to the parser. */
class TestClient implements ParserClient {
  memo: LineMemo | null = null;
  lastSubjectHash = 0;
  lastPayloadBytes = 0;
  maxPayloadBytes = 1024 * 1024;
  maxControlLineBytes = 4096;
  skippingOp = 0;
  gated = false;
  closed = false;
  headers = true;
}

/** Writes every call down as text. `decide` may answer with another outcome than the usual one. */
export class RecordingSink implements ParserSink<TestClient> {
  events: string[] = [];
  /** Publishes that came with a memo: recognised lines and those just remembered. */
  remembered = 0;
  decide: (event: string, usual: number) => number = (_event, usual) => usual;

  #report(event: string, usual: number): number {
    const outcome = this.decide(event, usual);
    // What was put off comes again.
    if (outcome !== PARSE_BLOCKED) this.events.push(event);
    return outcome;
  }

  firstByte(): number {
    return this.#report('first byte', PARSE_CLOSED);
  }

  publish(_client: TestClient, parser: ClientParser<TestClient>): number {
    const { frame, memo } = parser;
    const { bytes, subjectStart, subjectEnd, tailStart, tailEnd, payloadStart } = frame;
    if (memo !== null) this.remembered++;
    if (frame.subjectHash !== hashBytes(bytes, subjectStart, subjectEnd)) throw new Error('wrong hash');
    if (frame.view.buffer !== bytes.buffer || frame.view.byteOffset !== bytes.byteOffset)
      throw new Error('view and bytes are not the same memory');
    if (tailEnd + WORD_SLACK_BYTES > bytes.length) throw new Error('no slack behind the tail');
    if (payloadStart + frame.payloadBytes + 2 !== tailEnd)
      throw new Error('the tail does not end the payload');
    return this.#report(
      publishEvent(
        latin1(bytes, subjectStart, subjectEnd),
        latin1(bytes, tailStart, tailStart + frame.replyBytes),
        frame.headerBytes,
        latin1(bytes, payloadStart, payloadStart + frame.payloadBytes),
        latin1(bytes, tailStart, tailEnd),
      ),
      PARSE_MORE,
    );
  }

  subscribe(_client: TestClient, parser: ClientParser<TestClient>): number {
    return this.#report(`SUB ${this.#arguments(parser)}`, PARSE_MORE);
  }

  unsubscribe(_client: TestClient, parser: ClientParser<TestClient>): number {
    return this.#report(`UNSUB ${this.#arguments(parser)}`, PARSE_MORE);
  }

  connect(client: TestClient, bytes: Uint8Array, start: number, end: number): number {
    const outcome = this.#report(`CONNECT ${latin1(bytes, start, end)}`, PARSE_MORE);
    if (outcome !== PARSE_BLOCKED) client.gated = false;
    return outcome;
  }

  info(_client: TestClient, bytes: Uint8Array, start: number, end: number): number {
    return this.#report(`INFO ${latin1(bytes, start, end)}`, PARSE_MORE);
  }

  clientError(_client: TestClient, bytes: Uint8Array, start: number, end: number): number {
    return this.#report(`-ERR ${latin1(bytes, start, end)}`, PARSE_CLOSED);
  }

  ping(): number {
    return this.#report('PING', PARSE_MORE);
  }

  pong(): number {
    return this.#report('PONG', PARSE_MORE);
  }

  badArguments(_client: TestClient, reason: string, bytes: Uint8Array, start: number, end: number): number {
    return this.#report(`bad: ${reason}: ${latin1(bytes, start, end)}`, PARSE_CLOSED);
  }

  maxPayloadExceeded(_client: TestClient, payloadBytes: number): number {
    return this.#report(`max payload: ${payloadBytes}`, PARSE_CLOSED);
  }

  maxControlLineExceeded(): number {
    return this.#report('max control line', PARSE_CLOSED);
  }

  unknownOperation(): number {
    return this.#report('unknown', PARSE_CLOSED);
  }

  headersEnabled(client: TestClient): boolean {
    return client.headers;
  }

  #arguments(parser: ClientParser<TestClient>): string {
    const { argCount, argStart, argEnd, frame } = parser;
    const list: string[] = [];
    for (let i = 0; i < argCount; i++) list.push(latin1(frame.bytes, argStart[i]!, argEnd[i]!));
    return JSON.stringify(list);
  }
}

/** The text that stands for a publish. */
export function publishEvent(
  subject: string,
  reply: string,
  headerBytes: number,
  payload: string,
  tail: string,
): string {
  return `publish ${JSON.stringify({ subject, reply, headerBytes, payload, tail })}`;
}

const GUARD = 0xa5;
const GUARD_BYTES = 32;

/**
 * The host's part: keeps what the parser leaves over and presents it again in front of the next bytes. Each piece is parsed
 * in memory of its own, so that nothing can depend on bytes outside of what was presented.
 */
export class ParserHost {
  readonly sink = new RecordingSink();
  readonly client = new TestClient();
  readonly parser = new ClientParser(this.sink);
  rest: Uint8Array = new Uint8Array(0);
  outcome = PARSE_MORE;
  /** Largest number of bytes that was to be kept, and for how long a message. */
  mostKept = 0;

  get events(): string[] {
    return this.sink.events;
  }

  /** Presents what was kept and `text` behind it; blocked and paused operations go on from here. */
  feed(text: string | Uint8Array, before = 3): void {
    if (this.outcome === PARSE_CLOSED) return;
    const added = typeof text === 'string' ? latin1Bytes(text) : text;
    const end = before + this.rest.length + added.length;
    const bytes = new Uint8Array(end + WORD_SLACK_BYTES + GUARD_BYTES).fill(GUARD);
    bytes.set(this.rest, before);
    bytes.set(added, before + this.rest.length);
    const window = bytes.subarray(0, end + WORD_SLACK_BYTES);
    const view = new DataView(bytes.buffer, 0, window.length);
    const rest = this.parser.parse(this.client, window, view, before, end);
    this.#check(bytes, before, rest, end);
    this.outcome = this.parser.outcome;
    this.rest = this.outcome === PARSE_CLOSED ? new Uint8Array(0) : bytes.slice(rest, end);
  }

  /** Goes on after PARSE_BLOCKED or PARSE_PAUSED. */
  resume(): void {
    this.feed('');
  }

  #check(bytes: Uint8Array, before: number, rest: number, end: number): void {
    for (let i = 0; i < before; i++) if (bytes[i] !== GUARD) throw new Error('wrote in front of the bytes');
    for (let i = end + WORD_SLACK_BYTES; i < bytes.length; i++)
      if (bytes[i] !== GUARD) throw new Error('wrote behind the slack');
    const { outcome, neededBytes } = this.parser;
    if (outcome === PARSE_CLOSED) return;
    if (rest < before || rest > end) throw new Error(`went on at ${rest} of [${before}, ${end}]`);
    if (outcome !== PARSE_MORE && outcome !== PARSE_BLOCKED && outcome !== PARSE_PAUSED)
      throw new Error(`outcome ${outcome}`);
    if (outcome !== PARSE_MORE) return;
    const kept = end - rest;
    this.mostKept = Math.max(this.mostKept, kept);
    if (neededBytes === 0) {
      const bound = this.client.maxControlLineBytes + 'CONNECT '.length + 1;
      if (kept > bound) throw new Error(`keeps ${kept} bytes of an unfinished line`);
    } else if (kept >= neededBytes) {
      throw new Error('wants more of a message that is complete');
    }
  }
}
