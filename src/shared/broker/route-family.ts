import { latin1 } from '../base/latin1.ts';
import { Route } from './route.ts';

/**
 * Routes of subjects that differ in their last token alone.
 *
 * Problem. The reply subject of a request is used once, so no cache of whole subjects helps it, and matching it costs more
 * than delivering the reply. But clients listen on `_INBOX.<id>.*`: where no subscription names a last token, all subjects
 * with the same prefix have the same destinations. Such a prefix is a family: its destinations are found once, and a route for
 * one of its members is the head with another last token.
 *
 * Acknowledgements to JetStream are another kind: all subjects below `$JS.ACK.<stream>` go to the stream, unless somebody
 * listens to some of them only.
 *
 * A family is valid for one generation of its account, and until a literal subject right below its prefix changes. Deny
 * rules of subscribers are about whole subjects: where one has any, there is no family.
 *
 * The routes of a family are used once, like all that aren't kept. Two take turns, so that a look-up within the delivery of
 * another member (the reply of a request nobody answers) leaves that one alone.
 */

const DOT = 46;
const SLOTS = 256;
const SLOT_SHIFT = 24;
const SLOT_FACTOR = 0x9e3779b1;

/** `$JS.ACK.` */
const ACK_START = [0x24, 0x4a, 0x53, 0x2e, 0x41, 0x43, 0x4b, 0x2e];

/**
 * Where the stream's name ends in the subject of an acknowledgement; -1 for any other subject. Nearly all tokens behind it differ
 * from one acknowledgement to the next, and the stream listens to all of them.
 */
export function ackPrefixEnd(bytes: Uint8Array, start: number, end: number): number {
  if (end - start <= ACK_START.length || bytes[end - 1] === DOT) return -1;
  for (let i = 0; i < ACK_START.length; i++) if (bytes[start + i] !== ACK_START[i]) return -1;
  for (let at = start + ACK_START.length; at < end; at++) if (bytes[at] === DOT) return at;
  return -1;
}

/** Where the prefix of a subject ends: its last dot; -1 when it has one token, or an empty last one. */
export function prefixEnd(bytes: Uint8Array, start: number, end: number): number {
  if (end <= start || bytes[end - 1] === DOT) return -1;
  for (let at = end - 1; at > start; at--) if (bytes[at] === DOT) return at;
  return -1;
}

function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0;
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0;
  return hash;
}

class RouteFamily {
  readonly hash: number;
  readonly prefix: Uint8Array;
  readonly generation: number;
  /** Null: seen, and not all members have the same destinations. */
  readonly #routes: [Route, Route] | null;
  #turn = 0;

  constructor(hash: number, prefix: Uint8Array, generation: number, model: Route | null) {
    this.hash = hash;
    this.prefix = prefix;
    this.generation = generation;
    this.#routes = model === null ? null : [Route.member(model), Route.member(model)];
  }

  isOf(bytes: Uint8Array, start: number, end: number): boolean {
    const own = this.prefix;
    if (own.length !== end - start) return false;
    for (let i = 0; i < own.length; i++) if (own[i] !== bytes[start + i]) return false;
    return true;
  }

  member(hash: number, bytes: Uint8Array, start: number, end: number): Route | null {
    if (this.#routes === null) return null;
    this.#turn ^= 1;
    return this.#routes[this.#turn]!.become(hash, bytes, start, end);
  }
}

/** What finds out about a prefix that comes again. */
export interface FamilySource {
  readonly generation: number;
  /**
   * A route with the destinations of every `<prefix>.<token>`, or (`deep`) of every subject below the prefix; null when they
   * aren't all the same.
   */
  familyModel(prefix: string, deep: boolean): Route | null;
}

/** The families of one account on one thread: a small table in which the later one takes a place. */
export class RouteFamilies {
  readonly #source: FamilySource;
  #slots: (RouteFamily | null)[] | null = null;
  /** Hash of the prefix that missed last in each slot: a family is made when it misses again. */
  #missed: Int32Array | null = null;

  constructor(source: FamilySource) {
    this.#source = source;
  }

  /** The route of a member, to be used once; null when the subject belongs to no family. */
  find(hash: number, bytes: Uint8Array, start: number, end: number): Route | null {
    const ackDot = ackPrefixEnd(bytes, start, end);
    const isDeep = ackDot >= 0;
    const dot = isDeep ? ackDot : prefixEnd(bytes, start, end);
    if (dot < 0) return null;
    this.#slots ??= new Array(SLOTS).fill(null);
    const prefixHash = hashOf(bytes, start, dot);
    const slot = Math.imul(prefixHash, SLOT_FACTOR) >>> SLOT_SHIFT;
    const known = this.#slots[slot] ?? null;
    const { generation } = this.#source;
    const isCurrent = known !== null && known.hash === prefixHash && known.generation === generation;
    const family =
      isCurrent && known.isOf(bytes, start, dot)
        ? known
        : this.#learn(slot, prefixHash, bytes, start, dot, isDeep);
    return family === null ? null : family.member(hash, bytes, start, end);
  }

  /** A literal subject gained or lost a subscription. */
  drop(subject: Uint8Array): void {
    if (this.#slots === null) return;
    this.#forget(subject, prefixEnd(subject, 0, subject.length));
    this.#forget(subject, ackPrefixEnd(subject, 0, subject.length));
  }

  #forget(subject: Uint8Array, dot: number): void {
    if (dot < 0) return;
    const slot = Math.imul(hashOf(subject, 0, dot), SLOT_FACTOR) >>> SLOT_SHIFT;
    this.#slots![slot] = null;
  }

  #learn(
    slot: number,
    prefixHash: number,
    bytes: Uint8Array,
    start: number,
    dot: number,
    deep: boolean,
  ): RouteFamily | null {
    this.#missed ??= new Int32Array(SLOTS);
    if (this.#missed[slot] !== prefixHash) {
      this.#missed[slot] = prefixHash;
      return null;
    }
    const model = this.#source.familyModel(latin1(bytes, start, dot), deep);
    const family = new RouteFamily(prefixHash, bytes.slice(start, dot), this.#source.generation, model);
    this.#slots![slot] = family;
    return family;
  }
}
