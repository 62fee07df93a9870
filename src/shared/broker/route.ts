import type { PermissionSet } from '../auth/permissions.ts';
import { latin1, latin1Bytes } from '../base/latin1.ts';
import {
  ROUTE_CACHE_MAX_ENTRIES,
  ROUTE_CACHE_MAX_PROBES,
  ROUTE_CACHE_MAX_SUBJECT_BYTES,
  WORD_SLACK_BYTES,
} from '../base/limits.ts';
import { asksForLast } from '../mail/direct-answers.ts';
import type { Subscription } from './subscription.ts';

/**
 * Prepared routes: everything a publish on one subject needs, found by the subject's bytes.
 *
 * Problem: matching builds strings and walks a trie; a publisher repeats its subjects. A hit must cost neither.
 * A route is valid while its account's `generation` is the one it was built in and it isn't `stale`: a change of a
 * literal subject marks that one route, a change of a wildcard ends the generation. The publisher's line memo may hold a
 * route longer than the cache does, which is why validity is in the route and not in the table.
 */

/** A queue group among a route's destinations. */
export interface RouteGroup {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly locals: Subscription[];
  /** Threads with members, and how many each has. */
  readonly threads: number[];
  readonly weights: number[];
  /** Members in all. */
  total: number;
  /** Of them, those whose session the MQTT engine keeps. */
  kept: number;
  /** The group without those; null when there are none. */
  ordinary: RouteGroup | null;
}

/**
 * Requests of `$JS.API.`, or of the same in a domain, that are audited; reading messages isn't, and must be fast
 * (jetstream-api §1.1, §9).
 */
const API_REQUEST = /^\$JS\.(?!ACK\.|FC\.|EVENT\.)(?:[^.]+\.)?API\.(?!DIRECT\.|CONSUMER\.MSG\.NEXT\.)/;

const PERMIT_UNKNOWN = 0;
const PERMIT_ALLOWED = 1;
const PERMIT_DENIED = 2;

const NO_BYTES = new Uint8Array(0);
const SCRATCH_HEAD_BYTES = 1024;
const SPACE = 32;
/** `HMSG ` in front of the subject, and the space behind it. */
const SUBJECT_OFFSET = 5;
export const HEAD_EXTRA_BYTES = 6;

/**
 * Heads of one-time routes. Such a route is used up before the next one is made; several take turns all the same, so that
 * a nested look-up (the reply of a request nobody answers) can't disturb the one under way.
 */
const SCRATCH_HEADS = Array.from({ length: 4 }, () => {
  const head = new Uint8Array(SCRATCH_HEAD_BYTES);
  return { head, view: new DataView(head.buffer) };
});
let scratchTurn = 0;

function nextScratchHead(): { head: Uint8Array; view: DataView } {
  scratchTurn = (scratchTurn + 1) & 3;
  return SCRATCH_HEADS[scratchTurn]!;
}

/** `HMSG <subject> ` */
function writeHead(head: Uint8Array, subject: string): void {
  head[0] = 0x48;
  head[1] = 0x4d;
  head[2] = 0x53;
  head[3] = 0x47;
  head[4] = 0x20;
  const length = subject.length;
  for (let i = 0; i < length; i++) head[5 + i] = subject.charCodeAt(i);
  head[5 + length] = 0x20;
}

const MEMBER_HEAD_BYTES = 256;

export class Route {
  /** Null for a member of a family until somebody asks: most are delivered without. */
  #subject: string | null;
  readonly subjectBytes: Uint8Array;
  hash: number;
  readonly generation: number;
  stale = false;
  /** `HMSG <subject> `; MSG begins one byte later. */
  head: Uint8Array;
  headView: DataView;
  headBytes: number;
  readonly plain: Subscription[] = [];
  readonly groups: RouteGroup[] = [];
  /** Threads with plain interest. */
  readonly threads: number[] = [];
  /** Nothing but local plain subscriptions: the common, fast case. */
  onlyPlain = true;
  /** The server keeps this subject for itself: a publish of a client must be looked at. */
  reserved: boolean;
  /** A request to the JetStream API: who publishes it travels along. */
  isApiRequest: boolean;
  /** A request for the last message of a subject, which may have an answer in shared memory. */
  isDirectGet: boolean;
  /** Any thread, through plain or queue interest. */
  hasThreads = false;
  /** Of a family: other subjects with the same prefix lead to the same destinations. */
  isMember = false;
  /** The subject's MQTT topic, once somebody has needed it; of a member until it becomes another. */
  mqttTopic: Uint8Array | null = null;
  #permits: Uint8Array | null = null;

  /**
   * @param lasting false for a route that is used once: its head then stands in shared scratch memory, since allocating
   *   for every one-time subject (inboxes) costs more than matching it
   */
  constructor(subject: string, hash: number, generation: number, lasting = true) {
    this.#subject = subject;
    this.hash = hash;
    this.generation = generation;
    this.headBytes = subject.length + 6;
    if (lasting || this.headBytes > SCRATCH_HEAD_BYTES - WORD_SLACK_BYTES) {
      this.subjectBytes = latin1Bytes(subject);
      this.head = latin1Bytes(`HMSG ${subject} `, WORD_SLACK_BYTES);
      this.headView = new DataView(this.head.buffer);
    } else {
      this.subjectBytes = NO_BYTES;
      this.stale = true;
      const scratch = nextScratchHead();
      this.head = scratch.head;
      this.headView = scratch.view;
      writeHead(scratch.head, subject);
    }
    this.isApiRequest = subject.startsWith('$JS.') && API_REQUEST.test(subject);
    this.isDirectGet = asksForLast(subject);
    this.reserved =
      this.isApiRequest || this.isDirectGet || subject.startsWith('_GR_.') || subject.startsWith('$NRG.');
  }

  /** latin1. */
  get subject(): string {
    this.#subject ??= latin1(this.head, SUBJECT_OFFSET, this.headBytes - 1);
    return this.#subject;
  }

  /** A route with the destinations of `model`, to be given a subject by `become`. */
  static member(model: Route): Route {
    const route = new Route('', 0, model.generation);
    route.isMember = true;
    route.stale = true;
    route.plain.push(...model.plain);
    route.groups.push(...model.groups);
    route.threads.push(...model.threads);
    route.hasThreads = model.hasThreads;
    route.onlyPlain = model.onlyPlain;
    route.reserved = model.reserved;
    route.isApiRequest = model.isApiRequest;
    route.isDirectGet = model.isDirectGet;
    route.#setHead(MEMBER_HEAD_BYTES);
    return route;
  }

  /** Takes the subject `bytes[start, end)`: the route is then that subject's until the next call. */
  become(hash: number, bytes: Uint8Array, start: number, end: number): this {
    const length = end - start;
    if (length + HEAD_EXTRA_BYTES + WORD_SLACK_BYTES > this.head.length)
      this.#setHead(2 * length + MEMBER_HEAD_BYTES);
    const { head } = this;
    for (let i = 0; i < length; i++) head[SUBJECT_OFFSET + i] = bytes[start + i]!;
    head[SUBJECT_OFFSET + length] = SPACE;
    this.headBytes = length + HEAD_EXTRA_BYTES;
    this.hash = hash;
    this.#subject = null;
    this.mqttTopic = null;
    return this;
  }

  #setHead(bytes: number): void {
    this.head = new Uint8Array(bytes);
    this.headView = new DataView(this.head.buffer);
    writeHead(this.head, '');
  }

  /** Whether the permission set allows publishing on this subject; asked once per set. */
  permits(permissions: PermissionSet): boolean {
    if (this.stale) return permissions.canPublish(this.subject);
    const id = permissions.id;
    let permits = this.#permits;
    if (permits === null || permits.length <= id) {
      const grown = new Uint8Array(id + 8);
      if (permits !== null) grown.set(permits);
      permits = grown;
      this.#permits = permits;
    }
    if (permits[id] === PERMIT_UNKNOWN) {
      permits[id] = permissions.canPublish(this.subject) ? PERMIT_ALLOWED : PERMIT_DENIED;
    }
    return permits[id] === PERMIT_ALLOWED;
  }

  /** The only thread that gets its messages; -1 when there are none or several, or queue groups, or listeners here. */
  get onlyThread(): number {
    if (this.threads.length !== 1 || this.plain.length > 0 || this.groups.length > 0) return -1;
    return this.threads[0]!;
  }

  /** Whether `bytes[start, end)` is this route's subject. */
  matches(bytes: Uint8Array, start: number, end: number): boolean {
    const own = this.subjectBytes;
    const length = own.length;
    if (end - start !== length) return false;
    for (let i = 0; i < length; i++) if (own[i] !== bytes[start + i]) return false;
    return true;
  }
}

const INITIAL_SLOTS = 64;
/** Spreads hashes: those of numbered subjects differ in their last bits only, and would lie in one heap. */
const SLOT_FACTOR = 0x9e3779b1;

/**
 * Open-addressing table from subject bytes to routes; bounded, and emptied when full. A route that would lie too far from its
 * slot isn't kept, so that a look-up is short even where a publisher chose its subjects for their equal hashes.
 */
export class RouteCache {
  #slots: (Route | null)[] = new Array(INITIAL_SLOTS).fill(null);
  #mask = INITIAL_SLOTS - 1;
  #shift = Math.clz32(INITIAL_SLOTS - 1);
  #count = 0;
  #subjectBytes = 0;
  /** Look-ups answered, those of the publishers' own memos not counted. */
  hits = 0;

  forEach(visit: (route: Route) => void): void {
    for (const route of this.#slots) if (route !== null && !route.stale) visit(route);
  }

  get count(): number {
    return this.#count;
  }

  find(hash: number, bytes: Uint8Array, start: number, end: number): Route | null {
    let slot = Math.imul(hash, SLOT_FACTOR) >>> this.#shift;
    for (;;) {
      const route = this.#slots[slot]!;
      if (route === null) return null;
      if (route.hash === hash && route.matches(bytes, start, end)) {
        this.hits++;
        return route;
      }
      slot = (slot + 1) & this.#mask;
    }
  }

  /**
   * Keeps a route; one that finds no place is marked stale, thus used once.
   * @returns false when the cache is full: the owner starts a new generation and clears it
   */
  add(route: Route): boolean {
    if (this.#count >= ROUTE_CACHE_MAX_ENTRIES || this.#subjectBytes >= ROUTE_CACHE_MAX_SUBJECT_BYTES)
      return false;
    if (this.#count * 2 > this.#mask) this.#grow();
    this.#place(route);
    return true;
  }

  clear(): void {
    if (this.#count === 0) return;
    this.#slots = new Array(INITIAL_SLOTS).fill(null);
    this.#mask = INITIAL_SLOTS - 1;
    this.#shift = Math.clz32(this.#mask);
    this.#count = 0;
    this.#subjectBytes = 0;
  }

  /** Marks the route of a literal subject as stale; the next `add` of that subject replaces it. */
  invalidate(subject: string, hash: number): void {
    let slot = Math.imul(hash, SLOT_FACTOR) >>> this.#shift;
    for (;;) {
      const route = this.#slots[slot]!;
      if (route === null) return;
      if (route.hash === hash && route.subject === subject) {
        route.stale = true;
        return;
      }
      slot = (slot + 1) & this.#mask;
    }
  }

  #place(route: Route): void {
    let slot = Math.imul(route.hash, SLOT_FACTOR) >>> this.#shift;
    for (let probes = 0; probes < ROUTE_CACHE_MAX_PROBES; probes++) {
      const other = this.#slots[slot]!;
      if (other === null) {
        this.#slots[slot] = route;
        this.#count++;
        this.#subjectBytes += route.subjectBytes.length;
        return;
      }
      if (other.hash === route.hash && other.subject === route.subject) {
        this.#slots[slot] = route;
        return;
      }
      slot = (slot + 1) & this.#mask;
    }
    route.stale = true;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Array(old.length * 4).fill(null);
    this.#mask = this.#slots.length - 1;
    this.#shift = Math.clz32(this.#mask);
    this.#count = 0;
    this.#subjectBytes = 0;
    for (const route of old) if (route !== null && !route.stale) this.#place(route);
  }
}
