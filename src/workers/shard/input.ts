import { CARRY_MAX_BYTES, READ_REGION_BYTES, WORD_SLACK_BYTES } from '../../shared/base/limits.ts';
import type { MqttParser } from '../../shared/protocol/mqtt/parser.ts';
import {
  type ClientParser,
  PARSE_BLOCKED,
  PARSE_CLOSED,
  PARSE_MORE,
  PARSE_PAUSED,
} from '../../shared/protocol/nats/parser.ts';
import type { ClientConnection, HeldBytes } from './connection.ts';
import { PayloadBufferPool } from './payload-buffers.ts';
import type { Shard } from './shard.ts';

/**
 * From sockets to the parser, with every byte copied as seldom as possible.
 *
 *   ┌── headroom ──────────────┬── read region ─────────────────┬ slack ┐
 *   │        unfinished bytes ▶│◀ what the kernel wrote         │       │      one for the whole shard
 *   └──────────────────────────┴────────────────────────────────┴───────┘
 *
 * All sockets read into one region. What a read leaves unfinished is copied out (a connection may not keep a part of the
 * region) and put right in front of the next read, so the parser always sees one piece. That would be quadratic for large
 * messages; those get a pooled buffer of their own, into which the kernel then reads directly.
 */
const HEADROOM_BYTES = 64 * 1024;
/** How long a producer that is too fast for one of its consumers rests (nats-server: up to 10 ms a read). */
const STALL_MS = 10;

export class Input {
  readonly payloads = new PayloadBufferPool();
  readonly #shard: Shard;
  readonly #parser: ClientParser<ClientConnection>;
  readonly #mqttParser: MqttParser<ClientConnection> | null;
  readonly #bytes = new Uint8Array(HEADROOM_BYTES + READ_REGION_BYTES + WORD_SLACK_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #region = this.#bytes.subarray(HEADROOM_BYTES, HEADROOM_BYTES + READ_REGION_BYTES);
  /** Connections whose parsing waits for room in a ring. */
  readonly #blocked = new Set<ClientConnection>();
  readonly #stalled = new Set<ClientConnection>();
  #stallTimer: NodeJS.Timeout | null = null;

  constructor(
    shard: Shard,
    parser: ClientParser<ClientConnection>,
    mqttParser: MqttParser<ClientConnection> | null,
  ) {
    this.#shard = shard;
    this.#parser = parser;
    this.#mqttParser = mqttParser;
  }

  /** Where a connection without anything unfinished reads to. */
  get region(): Uint8Array {
    return this.#region;
  }

  /** The region with its headroom, where the region begins, and all of it as a view. */
  get area(): { bytes: Uint8Array; view: DataView; regionStart: number } {
    return { bytes: this.#bytes, view: this.#view, regionStart: HEADROOM_BYTES };
  }

  /** Where the next bytes of this connection are to be read. */
  target(connection: ClientConnection): Uint8Array {
    const { filling } = connection;
    connection.readTarget = filling;
    return filling === null
      ? this.#region
      : filling.bytes.subarray(connection.filledBytes, connection.fillTargetBytes);
  }

  /** The kernel wrote `count` bytes into `target(connection)`. @returns false when reading must stop */
  received(connection: ClientConnection, count: number): boolean {
    if (connection.closed) return true;
    this.#shard.beginTurn();
    if (connection.filling !== connection.readTarget) {
      this.#receivedInRegion(connection, count);
    } else if (connection.filling !== null) {
      connection.filledBytes += count;
      if (connection.filledBytes === connection.fillTargetBytes) this.#parseFilled(connection);
    } else {
      const { held } = connection;
      const heldBytes = held === null ? 0 : held.end - held.start;
      connection.held = null;
      if (heldBytes > HEADROOM_BYTES) this.#parseJoined(connection, held!, this.#region.subarray(0, count));
      else {
        const start = HEADROOM_BYTES - heldBytes;
        if (held !== null) this.#bytes.set(held.bytes.subarray(held.start, held.end), start);
        this.#parse(connection, this.#bytes, this.#view, start, HEADROOM_BYTES + count);
      }
    }
    this.#shard.afterRead();
    return !connection.paused;
  }

  /** Bytes that came some other way (TLS, replayed bytes): they are copied into the place where a read would put them. */
  receivedCopy(connection: ClientConnection, chunk: Uint8Array): void {
    for (let done = 0; done < chunk.length && !connection.closed; ) {
      if (connection.paused) {
        this.#hold(connection, chunk, done);
        return;
      }
      const target = this.target(connection);
      const count = Math.min(target.length, chunk.length - done);
      target.set(chunk.subarray(done, done + count));
      done += count;
      this.received(connection, count);
    }
  }

  /**
   * Bytes of the stream that lie inside of others, as the payload of a frame does. What is in front of them may be
   * overwritten, and WORD_SLACK_BYTES behind them must be readable. @returns false when reading must stop
   */
  receivedInside(
    connection: ClientConnection,
    bytes: Uint8Array,
    view: DataView,
    start: number,
    end: number,
  ): boolean {
    let at = start;
    const { filling } = connection;
    if (filling !== null) {
      const count = Math.min(end - at, connection.fillTargetBytes - connection.filledBytes);
      filling.bytes.set(bytes.subarray(at, at + count), connection.filledBytes);
      connection.filledBytes += count;
      at += count;
      if (connection.filledBytes === connection.fillTargetBytes) this.#parseFilled(connection);
    }
    if (connection.closed) return false;
    if (at === end) return !connection.paused;
    if (connection.paused) {
      this.#hold(connection, bytes.subarray(0, end), at);
      return false;
    }
    const { held } = connection;
    connection.held = null;
    const heldBytes = held === null ? 0 : held.end - held.start;
    if (heldBytes > at) this.#parseJoined(connection, held!, bytes.subarray(at, end));
    else {
      if (held !== null) bytes.set(held.bytes.subarray(held.start, held.end), at - heldBytes);
      // The parser puts a mark there, where the next frame begins.
      const behind = bytes[end]!;
      this.#parse(connection, bytes, view, at - heldBytes, end);
      bytes[end] = behind;
    }
    return !connection.closed && !connection.paused;
  }

  /** Parses what was held back; the reason for holding it is gone. */
  resume(connection: ClientConnection): void {
    connection.blocked = false;
    this.#blocked.delete(connection);
    const { held } = connection;
    connection.held = null;
    if (held !== null && !connection.closed) {
      this.#shard.beginTurn();
      this.#parser.frame.payloadOwner = held.payload;
      this.#parse(connection, held.bytes, held.view, held.start, held.end);
      this.#parser.frame.payloadOwner = null;
      if (held.payload !== null && --held.payload.references === 0) held.payload.release();
    }
    this.#continueReading(connection);
  }

  /** Room was freed in some ring, or a backlog was written. */
  resumeBlocked(): void {
    if (this.#blocked.size === 0) return;
    for (const connection of [...this.#blocked]) this.resume(connection);
  }

  get hasBlocked(): boolean {
    return this.#blocked.size > 0;
  }

  /** A consumer caught up: the producers that rest for it may go on before their time. */
  releaseStalled(): void {
    if (this.#stalled.size === 0) return;
    if (this.#stallTimer !== null) clearTimeout(this.#stallTimer);
    this.#stallOver();
  }

  /** Forgets a closed connection. */
  forget(connection: ClientConnection): void {
    this.#blocked.delete(connection);
    this.#stalled.delete(connection);
    const { held } = connection;
    if (held?.payload != null && --held.payload.references === 0) held.payload.release();
    connection.held = null;
    // A buffer being filled isn't given back: the socket may still be reading into it.
    connection.filling = null;
  }

  #parse(connection: ClientConnection, bytes: Uint8Array, view: DataView, start: number, end: number): void {
    const parser = this.#parser;
    const shard = this.#shard;
    const { inMsgs, inBytes } = connection;
    shard.parsingConnection = connection;
    let rest: number;
    let outcome: number;
    let neededBytes: number;
    if (connection.mqtt === null) {
      rest = parser.parse(connection, bytes, view, start, end);
      ({ outcome, neededBytes } = parser);
    } else {
      const mqttParser = this.#mqttParser!;
      rest = mqttParser.parse(connection, bytes, start, end);
      ({ outcome, neededBytes } = mqttParser);
    }
    shard.parsingConnection = null;
    if (connection.mqtt !== null) connection.mqtt.lastInputMs = shard.nowMs;
    if (connection.inMsgs !== inMsgs) {
      connection.noteInput(shard.nowMs);
      shard.countInput(connection, connection.inMsgs - inMsgs, connection.inBytes - inBytes);
    }
    if (outcome === PARSE_CLOSED || connection.closed) return;
    if (outcome === PARSE_MORE) {
      if (rest < end) this.#keepUnfinished(connection, bytes, rest, end, neededBytes);
      if (connection.stallRequested) this.#stall(connection);
      return;
    }
    if (rest < end) this.#holdRest(connection, bytes, view, rest, end);
    connection.blocked = true;
    connection.paused = true;
    if (outcome === PARSE_BLOCKED || (outcome === PARSE_PAUSED && shard.waitsForRings))
      this.#blocked.add(connection);
  }

  /** What is unfinished is longer than the room in front of the new bytes. */
  #parseJoined(connection: ClientConnection, held: HeldBytes, fresh: Uint8Array): void {
    const heldBytes = held.end - held.start;
    const joined = new Uint8Array(heldBytes + fresh.length + WORD_SLACK_BYTES);
    joined.set(held.bytes.subarray(held.start, held.end));
    joined.set(fresh, heldBytes);
    this.#parse(connection, joined, new DataView(joined.buffer), 0, heldBytes + fresh.length);
  }

  /**
   * A read was prepared for the region, and only then a buffer was begun (parsing resumed in between): its bytes are moved
   * there, and what is more than it needs is parsed where it lies.
   */
  #receivedInRegion(connection: ClientConnection, count: number): void {
    const filling = connection.filling!;
    const moved = Math.min(count, connection.fillTargetBytes - connection.filledBytes);
    filling.bytes.set(this.#region.subarray(0, moved), connection.filledBytes);
    connection.filledBytes += moved;
    if (connection.filledBytes < connection.fillTargetBytes) return;
    this.#parseFilled(connection);
    if (connection.closed || moved === count) return;
    if (connection.blocked) this.#hold(connection, this.#region.subarray(0, count), moved);
    else this.#parse(connection, this.#bytes, this.#view, HEADROOM_BYTES + moved, HEADROOM_BYTES + count);
  }

  #keepUnfinished(
    connection: ClientConnection,
    bytes: Uint8Array,
    rest: number,
    end: number,
    neededBytes: number,
  ): void {
    const have = end - rest;
    if (neededBytes > CARRY_MAX_BYTES) {
      const filling = this.payloads.take(neededBytes);
      filling.references++;
      filling.bytes.set(bytes.subarray(rest, end));
      connection.filling = filling;
      connection.filledBytes = have;
      connection.fillTargetBytes = neededBytes;
      return;
    }
    connection.held = ownBytes(bytes.slice(rest, end), 0, have);
  }

  #parseFilled(connection: ClientConnection): void {
    const filling = connection.filling!;
    connection.filling = null;
    this.#parser.frame.payloadOwner = filling;
    this.#parse(connection, filling.bytes, filling.view, 0, connection.fillTargetBytes);
    this.#parser.frame.payloadOwner = null;
    if (--filling.references === 0) filling.release();
  }

  /** Keeps `bytes[rest, end)` until `resume`: by reference where they are already the connection's own. */
  #holdRest(
    connection: ClientConnection,
    bytes: Uint8Array,
    view: DataView,
    rest: number,
    end: number,
  ): void {
    const owner = this.#parser.frame.payloadOwner as typeof connection.filling;
    if (owner !== null) {
      owner.references++;
      connection.held = { bytes, view, start: rest, end, payload: owner };
      return;
    }
    const copy = new Uint8Array(end - rest + WORD_SLACK_BYTES);
    copy.set(bytes.subarray(rest, end));
    connection.held = ownBytes(copy, 0, end - rest);
  }

  /** Adds bytes that arrived although reading was to stop (TLS records already decrypted). */
  #hold(connection: ClientConnection, chunk: Uint8Array, start: number): void {
    const before = connection.held;
    const beforeBytes = before === null ? 0 : before.end - before.start;
    const copy = new Uint8Array(beforeBytes + chunk.length - start + WORD_SLACK_BYTES);
    if (before !== null) copy.set(before.bytes.subarray(before.start, before.end));
    copy.set(chunk.subarray(start), beforeBytes);
    if (before?.payload != null && --before.payload.references === 0) before.payload.release();
    connection.held = ownBytes(copy, 0, copy.length - WORD_SLACK_BYTES);
  }

  #stall(connection: ClientConnection): void {
    connection.stallRequested = false;
    connection.stalls++;
    this.#shard.countStall();
    connection.paused = true;
    this.#stalled.add(connection);
    this.#stallTimer ??= setTimeout(this.#stallOver, STALL_MS);
  }

  readonly #stallOver = (): void => {
    this.#stallTimer = null;
    const stalled = [...this.#stalled];
    this.#stalled.clear();
    for (const connection of stalled) this.#continueReading(connection);
  };

  #continueReading(connection: ClientConnection): void {
    if (connection.closed || connection.blocked || this.#stalled.has(connection) || !connection.paused)
      return;
    connection.paused = false;
    if (connection.websocket !== null && !this.#shard.websocket.resume(connection)) return;
    // Bytes may have been added while it was paused; a socket that reads into the region never has any.
    const { held: waiting } = connection;
    if (waiting !== null && waiting.payload === null && connection.copies) {
      connection.held = null;
      this.receivedCopy(connection, waiting.bytes.subarray(waiting.start, waiting.end));
      if (connection.paused) return;
    }
    connection.stream.resume();
  }
}

function ownBytes(bytes: Uint8Array, start: number, end: number): HeldBytes {
  return { bytes, view: new DataView(bytes.buffer), start, end, payload: null };
}
