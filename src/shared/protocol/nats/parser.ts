import { LINE_MEMO_MAX_BYTES, SCRATCH_KEEP_BYTES, SIZE_MAX_DIGITS } from '../../base/limits.ts';
import { MessageFrame } from '../../base/message-frame.ts';
import { PARSE_BLOCKED, PARSE_CLOSED, PARSE_MORE, PARSE_PAUSED } from '../../base/parse-outcome.ts';
import { LineMemo, lineEquals } from './line-memo.ts';

/**
 * Parser of the client protocol (client-protocol.md §1, §5, §6).
 *
 * Problem: the parser sees every byte of every publisher, so it may neither allocate nor build strings. It works in
 * place on the host's read buffer and reports offsets that are valid only during the call.
 *
 * An operation is taken only when it is complete: the host keeps what is left over (`parse` returns where it begins)
 * and presents it again in front of the next bytes; `neededBytes` tells how long an unfinished message will be, so
 * that the host can read a large one straight into a buffer of its own. That replaces the usual byte-wise state machine:
 * one state, "at the start of an operation", and a bounded amount of re-reading.
 *
 * The fast path recognises a publisher that repeats its control line (same subject, same size: almost all of them): the
 * line is compared word by word with the last one, and a hit needs no parsing, no hashing and no look-up at all.
 * Rejected: caching by subject only (measured slower: the line has to be scanned anyway to find the subject's end).
 *
 * The host guarantees at least 16 readable bytes after `end`, and that it may write there: a sentinel newline ends
 * every scan.
 */

export { PARSE_BLOCKED, PARSE_CLOSED, PARSE_MORE, PARSE_PAUSED };

/** What the parser keeps for a connection. */
export interface ParserClient {
  memo: LineMemo | null;
  /** Hash and size of the last publish: a line is remembered only when it comes twice. */
  lastSubjectHash: number;
  lastPayloadBytes: number;
  /** Effective `max_payload`; -1 is unlimited. */
  maxPayloadBytes: number;
  maxControlLineBytes: number;
  /** Operation whose rest of line is being skipped (PING, PONG, +OK), else 0. */
  skippingOp: number;
  /** Nothing but CONNECT may come first; the sink's `firstByte` decides. */
  gated: boolean;
  closed: boolean;
}

const OP_PING = 1;
const OP_PONG = 2;
const OP_OK = 3;

/** What the parser calls. Offsets are into `parser.frame.bytes`. Each returns what to do next: a PARSE_ value, PARSE_MORE to go on. */
export interface ParserSink<C extends ParserClient> {
  /** A byte that isn't `C` arrived while the connection is gated. PARSE_MORE lets it pass. */
  firstByte(client: C): number;
  /** A complete message; its parts are in `parser.frame`. */
  publish(client: C, parser: ClientParser<C>): number;
  /** SUB: arguments in `argStart`/`argEnd`, `argCount` of them. */
  subscribe(client: C, parser: ClientParser<C>): number;
  unsubscribe(client: C, parser: ClientParser<C>): number;
  connect(client: C, bytes: Uint8Array, start: number, end: number): number;
  info(client: C, bytes: Uint8Array, start: number, end: number): number;
  clientError(client: C, bytes: Uint8Array, start: number, end: number): number;
  ping(client: C): number;
  pong(client: C): number;
  /** A publish whose arguments are wrong: the connection closes silently. */
  badArguments(client: C, reason: string, bytes: Uint8Array, start: number, end: number): number;
  maxPayloadExceeded(client: C, payloadBytes: number): number;
  maxControlLineExceeded(client: C): number;
  /** No operation starts like this. */
  unknownOperation(client: C, bytes: Uint8Array, position: number, end: number): number;
  /** HPUB is allowed on this connection. */
  headersEnabled(client: C): boolean;
}

const SPACE = 32;
const TAB = 9;
const CR = 13;
const LF = 10;
const WORD_PUB = 0x20425550; // "PUB " little endian
const MAX_ARGS = 5;

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}

export class ClientParser<C extends ParserClient> {
  /** The message being reported; offsets of arguments are into its `bytes` too. */
  readonly frame = new MessageFrame();
  /** The memo of this line, when it was recognised or remembered. */
  memo: LineMemo | null = null;
  argCount = 0;
  readonly argStart = new Int32Array(MAX_ARGS);
  readonly argEnd = new Int32Array(MAX_ARGS);
  /** Total bytes of the unfinished message at the returned position; 0 when unknown. */
  neededBytes = 0;
  /** One of the PARSE_ values. */
  outcome = PARSE_MORE;

  #next = 0;
  readonly #scratch = new Uint8Array(SCRATCH_KEEP_BYTES);
  readonly #scratchView = new DataView(this.#scratch.buffer);

  readonly #sink: ParserSink<C>;

  constructor(sink: ParserSink<C>) {
    this.#sink = sink;
  }

  /**
   * Parses `bytes[start, end)` and reports every complete operation.
   * @returns the offset of the first byte not consumed; `outcome` and `neededBytes` tell why it stopped
   */
  parse(client: C, bytes: Uint8Array, view: DataView, start: number, end: number): number {
    const { frame } = this;
    let position = start;
    this.outcome = PARSE_MORE;
    this.neededBytes = 0;
    bytes[end] = LF;
    while (position < end) {
      if (client.gated || client.skippingOp !== 0) {
        position = this.#beforeOperation(client, bytes, position, end);
        if (this.outcome !== PARSE_MORE || position >= end) return position;
      }
      const memo = client.memo;
      if (memo !== null && memo.messageBytes <= end - position && lineEquals(view, position, memo)) {
        const messageEnd = position + memo.messageBytes;
        if (memo.payloadBytes <= client.maxPayloadBytes || client.maxPayloadBytes < 0) {
          if (bytes[messageEnd - 1] !== LF || bytes[messageEnd - 2] !== CR) {
            this.outcome = this.#sink.unknownOperation(client, bytes, messageEnd - 2, end);
            return messageEnd;
          }
          frame.bytes = bytes;
          frame.view = view;
          frame.subjectStart = position + 4;
          frame.subjectEnd = position + memo.tailOffset - 1;
          frame.subjectHash = memo.subjectHash;
          frame.tailStart = position + memo.tailOffset;
          frame.tailEnd = messageEnd;
          frame.replyBytes = 0;
          frame.headerBytes = -1;
          frame.payloadStart = position + memo.lineBytes;
          frame.payloadBytes = memo.payloadBytes;
          this.memo = memo;
          const outcome = this.#sink.publish(client, this);
          if (outcome === PARSE_MORE) {
            position = messageEnd;
            continue;
          }
          this.outcome = outcome;
          return outcome === PARSE_BLOCKED ? position : messageEnd;
        }
      }
      if (view.getInt32(position, true) === WORD_PUB && end - position > 4) {
        if (this.#fastPublish(client, bytes, view, position, end)) {
          if (this.outcome !== PARSE_MORE) return this.outcome === PARSE_BLOCKED ? position : this.#next;
          if (this.neededBytes !== 0) return position;
          position = this.#next;
          continue;
        }
      }
      const next = this.#operation(client, bytes, view, position, end);
      if (this.outcome !== PARSE_MORE) return this.outcome === PARSE_BLOCKED ? position : next;
      if (next < 0) return ~next;
      position = next;
    }
    return position;
  }

  /** Finishes a skipped line, and lets only CONNECT through a gate. @returns where the next operation starts */
  #beforeOperation(client: C, bytes: Uint8Array, start: number, end: number): number {
    let position = start;
    if (client.skippingOp !== 0) {
      while (bytes[position] !== LF) position++;
      if (position >= end) return end;
      position++;
      const op = client.skippingOp;
      client.skippingOp = 0;
      this.outcome = this.#skipped(client, op);
      if (this.outcome !== PARSE_MORE || position >= end) return position;
    }
    if (client.gated && (bytes[position]! | 0x20) !== 0x63) this.outcome = this.#sink.firstByte(client);
    return position;
  }

  #skipped(client: C, op: number): number {
    if (op === OP_PING) return this.#sink.ping(client);
    if (op === OP_PONG) return this.#sink.pong(client);
    return PARSE_MORE;
  }

  /**
   * `PUB subject [reply] size\r\n` written as every client writes it. Anything unusual is left to the general path.
   * @returns false when it isn't such a line; else `#next`, `neededBytes` and `outcome` are set
   */
  #fastPublish(client: C, bytes: Uint8Array, view: DataView, position: number, end: number): boolean {
    let at = position + 4;
    let hash = 0;
    let byte = bytes[at]!;
    const subjectStart = at;
    while (byte > SPACE) {
      hash = (Math.imul(hash, 31) + byte) | 0;
      byte = bytes[++at]!;
    }
    if (byte !== SPACE || at === subjectStart) return false;
    const subjectEnd = at;
    const tailStart = at + 1;
    let tokenStart = tailStart;
    let size = 0;
    let replyBytes = 0;
    let numeric = true;
    byte = bytes[++at]!;
    while (byte > SPACE) {
      const digit = byte - 48;
      numeric = numeric && digit >= 0 && digit <= 9;
      size = size * 10 + digit;
      byte = bytes[++at]!;
    }
    if (byte === SPACE) {
      replyBytes = at - tokenStart;
      if (replyBytes === 0) return false;
      tokenStart = at + 1;
      size = 0;
      numeric = true;
      byte = bytes[++at]!;
      while (byte > SPACE) {
        const digit = byte - 48;
        numeric = numeric && digit >= 0 && digit <= 9;
        size = size * 10 + digit;
        byte = bytes[++at]!;
      }
    }
    const digits = at - tokenStart;
    if (byte !== CR || bytes[at + 1] !== LF || at + 1 >= end) return false;
    if (!numeric || digits === 0 || digits > SIZE_MAX_DIGITS) return false;
    if (at - position - 4 > client.maxControlLineBytes) return false;
    if (size > client.maxPayloadBytes && client.maxPayloadBytes >= 0) return false;
    const { frame } = this;
    frame.bytes = bytes;
    frame.view = view;
    frame.subjectStart = subjectStart;
    frame.subjectEnd = subjectEnd;
    frame.subjectHash = hash;
    frame.tailStart = tailStart;
    frame.replyBytes = replyBytes;
    frame.headerBytes = -1;
    frame.payloadStart = at + 2;
    frame.payloadBytes = size;
    return this.#publishFrame(client, position, end);
  }

  /** Checks the end of the payload that the frame describes, and passes the message on. Always true. */
  #publishFrame(client: C, position: number, end: number): boolean {
    const { frame } = this;
    const { bytes, payloadStart, payloadBytes, subjectHash } = frame;
    const messageEnd = payloadStart + payloadBytes + 2;
    this.#next = messageEnd;
    if (messageEnd > end) {
      // Of the terminator what is there is checked at once: nothing else may stand in its place.
      if (messageEnd - 1 === end && bytes[end - 1] !== CR) {
        this.outcome = this.#sink.unknownOperation(client, bytes, end - 1, end);
      } else {
        this.neededBytes = messageEnd - position;
      }
      return true;
    }
    if (bytes[messageEnd - 1] !== LF || bytes[messageEnd - 2] !== CR) {
      this.outcome = this.#sink.unknownOperation(client, bytes, messageEnd - 2, end);
      return true;
    }
    frame.tailEnd = messageEnd;
    this.memo = null;
    if (
      client.lastSubjectHash === subjectHash &&
      client.lastPayloadBytes === payloadBytes &&
      frame.replyBytes === 0
    ) {
      this.#remember(client, bytes, position, payloadStart - position, messageEnd - position);
    }
    client.lastSubjectHash = subjectHash;
    client.lastPayloadBytes = payloadBytes;
    this.outcome = this.#sink.publish(client, this);
    return true;
  }

  #remember(client: C, bytes: Uint8Array, position: number, lineBytes: number, messageBytes: number): void {
    if (lineBytes > LINE_MEMO_MAX_BYTES) return;
    let memo = client.memo;
    if (memo === null) {
      memo = new LineMemo();
      client.memo = memo;
    }
    for (let i = 0; i < lineBytes; i++) memo.bytes[i] = bytes[position + i]!;
    memo.lineBytes = lineBytes;
    memo.messageBytes = messageBytes;
    memo.payloadBytes = this.frame.payloadBytes;
    memo.tailOffset = this.frame.tailStart - position;
    memo.subjectHash = this.frame.subjectHash;
    memo.route = null;
    this.memo = memo;
  }

  /**
   * Any operation, in any spelling that the protocol allows.
   * @returns the offset behind it; when it is incomplete, the complement (`~`) of the offset to go on from next time
   */
  #operation(client: C, bytes: Uint8Array, view: DataView, position: number, end: number): number {
    const first = bytes[position]! | 0x20;
    switch (first) {
      case 0x70: // p
        return this.#operationP(client, bytes, view, position, end);
      case 0x68: // h
        return this.#withArguments(client, bytes, view, position, end, 'hpub', true);
      case 0x73: // s
        return this.#withArguments(client, bytes, view, position, end, 'sub', true);
      case 0x75: // u
        return this.#withArguments(client, bytes, view, position, end, 'unsub', true);
      case 0x63: // c
        return this.#withArguments(client, bytes, view, position, end, 'connect', false);
      case 0x69: // i
        return this.#withArguments(client, bytes, view, position, end, 'info', false);
      default:
        if (bytes[position] === 0x2b) return this.#skipLine(client, bytes, position, end, '+ok', OP_OK);
        if (bytes[position] === 0x2d)
          return this.#withArguments(client, bytes, view, position, end, '-err', true);
        return this.#unknown(client, bytes, position, end);
    }
  }

  #operationP(client: C, bytes: Uint8Array, view: DataView, position: number, end: number): number {
    if (position + 1 >= end) return ~position;
    const second = bytes[position + 1]! | 0x20;
    if (second === 0x75) return this.#withArguments(client, bytes, view, position, end, 'pub', true);
    if (second === 0x69) return this.#skipLine(client, bytes, position, end, 'ping', OP_PING);
    if (second === 0x6f) return this.#skipLine(client, bytes, position, end, 'pong', OP_PONG);
    return this.#unknown(client, bytes, position, end);
  }

  #unknown(client: C, bytes: Uint8Array, position: number, end: number): number {
    this.outcome = this.#sink.unknownOperation(client, bytes, position, end);
    return end;
  }

  /** Compares the operation's letters. @returns offset behind them, -1 when incomplete, -2 when they differ */
  #matchName(bytes: Uint8Array, position: number, end: number, name: string): number {
    for (let i = 0; i < name.length; i++) {
      if (position + i >= end) return -1;
      const wanted = name.charCodeAt(i);
      const byte = bytes[position + i]!;
      // Letters match in either case; '+' and '-' have none.
      if ((wanted >= 0x61 ? byte | 0x20 : byte) !== wanted) return -2;
    }
    return position + name.length;
  }

  /** PING, PONG, +OK: whatever follows the letters is ignored up to the newline, however long. */
  #skipLine(client: C, bytes: Uint8Array, position: number, end: number, name: string, op: number): number {
    const behind = this.#matchName(bytes, position, end, name);
    if (behind === -1) return ~position;
    if (behind === -2) return this.#unknown(client, bytes, position, end);
    let at = behind;
    while (bytes[at] !== LF) at++;
    if (at >= end) {
      client.skippingOp = op;
      return end;
    }
    this.outcome = this.#skipped(client, op);
    return at + 1;
  }

  #withArguments(
    client: C,
    bytes: Uint8Array,
    view: DataView,
    position: number,
    end: number,
    name: string,
    blankRequired: boolean,
  ): number {
    let at = this.#matchName(bytes, position, end, name);
    if (at === -2) return this.#unknown(client, bytes, position, end);
    if (at === -1 || at >= end) return ~position;
    if (blankRequired && !isBlank(bytes[at]!)) return this.#unknown(client, bytes, position, end);
    while (isBlank(bytes[at]!)) at++;
    if (at >= end) return ~this.#shortenBlanks(bytes, position, end, name.length);
    const argsStart = at;
    const scanEnd = Math.min(end, argsStart + client.maxControlLineBytes + 2);
    while (at < scanEnd && bytes[at] !== LF) at++;
    if (at >= end) {
      // One byte more may be the CR of a line that is just long enough.
      const bytesSoFar = bytes[end - 1] === CR ? end - argsStart - 1 : end - argsStart;
      return bytesSoFar > client.maxControlLineBytes ? this.#lineTooLong(client, end) : ~position;
    }
    if (bytes[at] !== LF) return this.#lineTooLong(client, end);
    const argsEnd = at > argsStart && bytes[at - 1] === CR ? at - 1 : at;
    if (argsEnd - argsStart > client.maxControlLineBytes) return this.#lineTooLong(client, end);
    return this.#dispatch(client, bytes, view, position, end, name, argsStart, argsEnd, at + 1);
  }

  /**
   * Blanks in front of the arguments don't count as part of the line, so there may be any number of them. Of a run that
   * has no end yet one is enough: the operation's letters move up to the last. @returns where they are now
   */
  #shortenBlanks(bytes: Uint8Array, position: number, end: number, nameBytes: number): number {
    const moved = end - 1 - nameBytes;
    bytes.copyWithin(moved, position, position + nameBytes);
    return moved;
  }

  #lineTooLong(client: C, end: number): number {
    this.outcome = this.#sink.maxControlLineExceeded(client);
    return end;
  }

  #dispatch(
    client: C,
    bytes: Uint8Array,
    view: DataView,
    position: number,
    end: number,
    name: string,
    argsStart: number,
    argsEnd: number,
    next: number,
  ): number {
    this.frame.bytes = bytes;
    this.frame.view = view;
    switch (name) {
      case 'pub':
      case 'hpub':
        return this.#generalPublish(client, position, end, name === 'hpub', argsStart, argsEnd, next);
      case 'connect':
        this.outcome = this.#sink.connect(client, bytes, argsStart, argsEnd);
        return next;
      case 'info':
        this.outcome = this.#sink.info(client, bytes, argsStart, argsEnd);
        return next;
      case '-err':
        this.outcome = this.#sink.clientError(client, bytes, argsStart, argsEnd);
        return next;
      default:
        this.#splitArguments(argsStart, argsEnd);
        this.outcome =
          name === 'sub' ? this.#sink.subscribe(client, this) : this.#sink.unsubscribe(client, this);
        return next;
    }
  }

  /** Splits at runs of blanks; counts beyond MAX_ARGS are reported as MAX_ARGS. */
  #splitArguments(start: number, end: number): void {
    let count = 0;
    let at = start;
    while (at < end && count < MAX_ARGS) {
      while (at < end && isBlank(this.frame.bytes[at]!)) at++;
      if (at >= end) break;
      this.argStart[count] = at;
      while (at < end && !isBlank(this.frame.bytes[at]!)) at++;
      this.argEnd[count] = at;
      count++;
    }
    this.argCount = count;
  }

  /** A size as the protocol has it: 1 to 9 digits. @returns -1 when it isn't one */
  #size(argument: number): number {
    const start = this.argStart[argument]!;
    const end = this.argEnd[argument]!;
    if (end - start > SIZE_MAX_DIGITS) return -1;
    let size = 0;
    for (let at = start; at < end; at++) {
      const digit = this.frame.bytes[at]! - 48;
      if (digit < 0 || digit > 9) return -1;
      size = size * 10 + digit;
    }
    return size;
  }

  /** Checks the sizes of PUB and HPUB. @returns the reason why they are wrong, or '' */
  #checkPublish(client: C, withHeaders: boolean): string {
    const count = this.argCount;
    if (withHeaders) {
      if (!this.#sink.headersEnabled(client)) return 'message headers not supported';
      if (count < 3 || count > 4) return 'processHeaderPub Parse Error';
      this.frame.headerBytes = this.#size(count - 2);
      if (this.frame.headerBytes < 0) return 'processHeaderPub Bad or Missing Header Size';
      this.frame.payloadBytes = this.#size(count - 1);
      if (this.frame.payloadBytes < 0) return 'processHeaderPub Bad or Missing Total Size';
      return this.frame.headerBytes > this.frame.payloadBytes
        ? 'processHeaderPub Header Size larger then TotalSize'
        : '';
    }
    if (count < 2 || count > 3) return 'processPub Parse Error';
    this.frame.headerBytes = -1;
    this.frame.payloadBytes = this.#size(count - 1);
    return this.frame.payloadBytes < 0 ? 'processPub Bad or Missing Size' : '';
  }

  #generalPublish(
    client: C,
    position: number,
    end: number,
    withHeaders: boolean,
    argsStart: number,
    argsEnd: number,
    payloadStart: number,
  ): number {
    const bytes = this.frame.bytes;
    this.#splitArguments(argsStart, argsEnd);
    const reason = this.#checkPublish(client, withHeaders);
    if (reason !== '') {
      this.outcome = this.#sink.badArguments(client, reason, bytes, argsStart, argsEnd);
      return end;
    }
    const size = this.frame.payloadBytes;
    if (client.maxPayloadBytes >= 0 && size > client.maxPayloadBytes) {
      this.outcome = this.#sink.maxPayloadExceeded(client, size);
      return end;
    }
    const messageEnd = payloadStart + size + 2;
    if (messageEnd > end) {
      // What is there of the terminator is checked at once: nothing else may stand in its place.
      if (payloadStart + size < end && bytes[payloadStart + size] !== CR)
        return this.#unknown(client, bytes, end, end);
      this.neededBytes = messageEnd - position;
      return ~position;
    }
    if (bytes[messageEnd - 1] !== LF || bytes[messageEnd - 2] !== CR) {
      return this.#unknown(client, bytes, messageEnd - 2, end);
    }
    this.memo = null;
    this.frame.payloadStart = payloadStart;
    this.frame.subjectStart = this.argStart[0]!;
    this.frame.subjectEnd = this.argEnd[0]!;
    this.frame.subjectHash = hashBytes(bytes, this.frame.subjectStart, this.frame.subjectEnd);
    const sizeArgs = withHeaders ? 2 : 1;
    this.frame.replyBytes = this.argCount > sizeArgs + 1 ? this.argEnd[1]! - this.argStart[1]! : 0;
    this.frame.tailStart = this.argStart[1]!;
    this.frame.tailEnd = messageEnd;
    if (!this.#isCanonical(argsEnd, payloadStart)) this.#canonicalise();
    this.outcome = this.#sink.publish(client, this);
    return messageEnd;
  }

  /** One space between arguments, CRLF right behind the last: then the line's end can be delivered as it is. */
  #isCanonical(argsEnd: number, payloadStart: number): boolean {
    const last = this.argCount - 1;
    if (this.argEnd[last] !== argsEnd || payloadStart - argsEnd !== 2) return false;
    for (let i = 1; i <= last; i++) {
      const gap = this.argEnd[i - 1]!;
      if (this.argStart[i]! - gap !== 1 || this.frame.bytes[gap] !== SPACE) return false;
    }
    return true;
  }

  /** Rewrites the message into the scratch buffer with canonical separators; the frame then points there. */
  #canonicalise(): void {
    const source = this.frame.bytes;
    const needed =
      this.frame.subjectEnd - this.frame.subjectStart + (this.frame.tailEnd - this.frame.tailStart) + 32;
    const kept = needed <= SCRATCH_KEEP_BYTES;
    const target = kept ? this.#scratch : new Uint8Array(needed);
    let at = 0;
    for (let i = 0; i < this.argCount; i++) {
      if (i > 0) target[at++] = SPACE;
      const start = at;
      for (let from = this.argStart[i]!; from < this.argEnd[i]!; from++) target[at++] = source[from]!;
      if (i === 0) {
        this.frame.subjectStart = start;
        this.frame.subjectEnd = at;
      } else if (i === 1) {
        this.frame.tailStart = start;
      }
    }
    target[at++] = CR;
    target[at++] = LF;
    target.set(
      source.subarray(this.frame.payloadStart, this.frame.payloadStart + this.frame.payloadBytes + 2),
      at,
    );
    this.frame.payloadStart = at;
    this.frame.tailEnd = at + this.frame.payloadBytes + 2;
    this.frame.bytes = target;
    this.frame.view = kept ? this.#scratchView : new DataView(target.buffer);
    // The owner is that of the bytes the message came in: nobody may keep the scratch buffer in its name.
    this.frame.payloadOwner = null;
  }
}

/** The hash that the fast path computes while it scans; everything that looks up subjects by bytes uses the same. */
export function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0;
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + bytes[at]!) | 0;
  return hash;
}
