import { hashBytes, latin1 } from '../base/latin1.ts';
import { Route } from './route.ts';

/**
 * Routes of subjects that differ in their last token alone.
 *
 * Problem. The reply subject of a request is used once, so no cache of whole subjects helps it, and matching it costs more
 * than delivering the reply. But clients listen on `_INBOX.<id>.*`: where no subscription names a last token, all subjects
 * with the same prefix have the same destinations. Such a prefix is a family: its destinations are found once, and a route for
 * one of its members is the head with another last token.
 *
 * Acknowledgements to JetStream are another kind: of a consumer's all numbers differ, and nobody listens to particular ones.
 *
 * A family is valid for one generation of its account, and until a literal subject right below its prefix changes. Deny
 * rules of subscribers are about whole subjects: where one may apply to a member, there is no family.
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

/** Tokens in front of the dot behind the consumer's name. */
const ACK_PREFIX_DOTS = 4;

/**
 * Where the consumer's name ends in the subject of an acknowledgement; -1 for any other subject. The numbers behind it differ
 * from one acknowledgement to the next, and nobody listens to particular ones.
 */
function ackPrefixEnd(bytes: Uint8Array, start: number, end: number): number {
  if (end - start <= ACK_START.length || bytes[end - 1] === DOT) return -1;
  for (let i = 0; i < ACK_START.length; i++) if (bytes[start + i] !== ACK_START[i]) return -1;
  let dots = 2;
  for (let at = start + ACK_START.length; at < end; at++) {
    if (bytes[at] === DOT && ++dots === ACK_PREFIX_DOTS) return at;
  }
  return -1;
}

/** Tokens behind the dot at `dot`; 0 when one of them is empty. */
function tokensBehind(bytes: Uint8Array, dot: number, end: number): number {
  let tokens = 1;
  for (let at = dot + 1; at < end; at++) {
    if (bytes[at] !== DOT) continue;
    if (bytes[at - 1] === DOT) return 0;
    tokens++;
  }
  return tokens;
}

/** Where the prefix of a subject ends: its last dot; -1 when it has one token, or an empty last one. */
export function prefixEnd(bytes: Uint8Array, start: number, end: number): number {
  if (end <= start || bytes[end - 1] === DOT) return -1;
  for (let at = end - 1; at > start; at--) if (bytes[at] === DOT) return at;
  return -1;
}

class RouteFamily {
  readonly hash: number;
  readonly prefix: Uint8Array;
  /** Tokens that a member has more than the prefix. */
  readonly tokens: number;
  readonly generation: number;
  /** Null: seen, and not all members have the same destinations. */
  readonly #routes: [Route, Route] | null;
  #turn = 0;

  constructor(hash: number, prefix: Uint8Array, tokens: number, generation: number, model: Route | null) {
    this.hash = hash;
    this.prefix = prefix;
    this.tokens = tokens;
    this.generation = generation;
    this.#routes = model === null ? null : [Route.member(model), Route.member(model)];
  }

  isOf(bytes: Uint8Array, start: number, end: number, tokens: number): boolean {
    const own = this.prefix;
    if (own.length !== end - start || tokens !== this.tokens) return false;
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
   * A route with the destinations of every subject of `tokens` tokens more than the prefix; null when they aren't all the same.
   */
  familyModel(prefix: string, tokens: number): Route | null;
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
    const dot = ackDot >= 0 ? ackDot : prefixEnd(bytes, start, end);
    const tokens = ackDot >= 0 ? tokensBehind(bytes, ackDot, end) : 1;
    if (dot < 0 || tokens === 0) return null;
    this.#slots ??= new Array(SLOTS).fill(null);
    const prefixHash = hashBytes(bytes, start, dot);
    const slot = Math.imul(prefixHash, SLOT_FACTOR) >>> SLOT_SHIFT;
    const known = this.#slots[slot] ?? null;
    const { generation } = this.#source;
    const isCurrent = known !== null && known.hash === prefixHash && known.generation === generation;
    const family =
      isCurrent && known.isOf(bytes, start, dot, tokens)
        ? known
        : this.#learn(slot, prefixHash, bytes, start, dot, tokens);
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
    const slot = Math.imul(hashBytes(subject, 0, dot), SLOT_FACTOR) >>> SLOT_SHIFT;
    this.#slots![slot] = null;
  }

  #learn(
    slot: number,
    prefixHash: number,
    bytes: Uint8Array,
    start: number,
    dot: number,
    tokens: number,
  ): RouteFamily | null {
    this.#missed ??= new Int32Array(SLOTS);
    if (this.#missed[slot] !== prefixHash) {
      this.#missed[slot] = prefixHash;
      return null;
    }
    const model = this.#source.familyModel(latin1(bytes, start, dot), tokens);
    const family = new RouteFamily(
      prefixHash,
      bytes.slice(start, dot),
      tokens,
      this.#source.generation,
      model,
    );
    this.#slots![slot] = family;
    return family;
  }
}
