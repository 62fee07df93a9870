import { hashLatin1, latin1, latin1Bytes } from '../base/latin1.ts';
import type { AccountLimits } from '../base/options.ts';
import type { MappingSet } from '../subject/mapping.ts';
import { hasWildcard } from '../subject/subject.ts';
import { Sublist, type SublistMatch } from '../subject/sublist.ts';
import { Route, RouteCache, type RouteGroup } from './route.ts';
import { type FamilySource, RouteFamilies } from './route-family.ts';
import { type Interest, KEPT_MEMBER, type Subscription, ThreadInterest } from './subscription.ts';

/** Told of each change of this thread's interest, so that the other threads learn of it. */
export interface InterestAnnouncer {
  announceInterest(
    accountIndex: number,
    subject: string,
    queue: string | null,
    weight: number,
    filter: string,
  ): void;
}

/** Traffic of an account on one thread. */
export interface AccountTraffic {
  inMsgs: number;
  inBytes: number;
  outMsgs: number;
  outBytes: number;
  slowConsumers: number;
}

const SEEN_SLOTS = 2048;

/** A space cannot occur in a subject or a queue name, so it separates the two. */
function interestKey(subject: string, queue: string | null, filter: string): string {
  if (queue === null) return subject;
  return filter === '' ? `${subject} ${queue}` : `${subject} ${queue} ${filter}`;
}

/**
 * One account on one thread: its subscriptions, the other threads' interest, and the routes prepared from both. Accounts
 * share nothing, so isolation of tenants is a matter of which object a connection points to.
 */
export class Account implements FamilySource {
  /** The same on all threads, never reused. */
  readonly index: number;
  readonly name: string;
  limits: AccountLimits;
  mappings: MappingSet | null = null;
  readonly sublist = new Sublist<Interest>();
  readonly routes = new RouteCache();
  readonly #families = new RouteFamilies(this);
  /** Routes of earlier generations are invalid. */
  generation = 0;
  /** Grows with every change that may have changed a route. */
  version = 0;
  readonly traffic: AccountTraffic = { inMsgs: 0, inBytes: 0, outMsgs: 0, outBytes: 0, slowConsumers: 0 };
  localSubscriptions = 0;
  /** Hashes of subjects looked up once. */
  #seen: Int32Array | null = null;
  readonly #cacheRoutes: boolean;
  readonly #announcer: InterestAnnouncer | null;
  /** Members of this thread for each interest key; kept only where another thread listens. */
  readonly #weights = new Map<string, number>();
  readonly #threadInterest: (Map<string, ThreadInterest> | undefined)[] = [];

  constructor(
    index: number,
    name: string,
    limits: AccountLimits,
    announcer: InterestAnnouncer | null,
    cacheRoutes: boolean,
  ) {
    this.index = index;
    this.name = name;
    this.limits = limits;
    this.#announcer = announcer;
    this.#cacheRoutes = cacheRoutes;
  }

  /** @returns false when the subject is invalid */
  subscribe(subscription: Subscription): boolean {
    if (!this.sublist.insert(subscription)) return false;
    this.localSubscriptions++;
    this.#subjectChanged(subscription.subject);
    this.#count(subscription.subject, subscription.queue, traitsOf(subscription), 1);
    return true;
  }

  /** @returns false when it isn't (or no longer) there */
  unsubscribe(subscription: Subscription): boolean {
    if (subscription.removed) return false;
    subscription.removed = true;
    if (!this.sublist.remove(subscription)) return false;
    this.localSubscriptions--;
    this.#subjectChanged(subscription.subject);
    this.#count(subscription.subject, subscription.queue, traitsOf(subscription), -1);
    return true;
  }

  /** The subscriber's deny rules changed: members of queue groups are announced anew. */
  refilter(subscription: Subscription): void {
    const filter = subscription.subscriber.deliveryFilter ?? '';
    if (subscription.queue === null || subscription.removed || filter === subscription.filter) return;
    this.#reannounce(subscription, filter, subscription.isKept);
  }

  /** The MQTT engine keeps the session of a queue group's member from now on, or doesn't any more. */
  setKept(subscription: Subscription, isKept: boolean): void {
    if (subscription.removed || isKept === subscription.isKept) return;
    this.#reannounce(subscription, subscription.filter, isKept);
    this.#subjectChanged(subscription.subject);
  }

  /** The new before the old one goes: at no time there is no member. */
  #reannounce(subscription: Subscription, filter: string, isKept: boolean): void {
    const { subject, queue } = subscription;
    const before = traitsOf(subscription);
    subscription.filter = filter;
    subscription.isKept = isKept;
    this.#count(subject, queue, traitsOf(subscription), 1);
    this.#count(subject, queue, before, -1);
  }

  /** Another thread's interest is now `weight` members; 0 ends it. */
  setThreadInterest(
    thread: number,
    subject: string,
    queue: string | null,
    weight: number,
    filter = '',
  ): void {
    let interests = this.#threadInterest[thread];
    if (interests === undefined) {
      interests = new Map();
      this.#threadInterest[thread] = interests;
    }
    const key = interestKey(subject, queue, filter);
    const known = interests.get(key);
    if (known !== undefined) {
      if (weight > 0) known.weight = weight;
      else {
        interests.delete(key);
        this.sublist.remove(known);
      }
    } else if (weight > 0) {
      const interest = new ThreadInterest(thread, subject, queue, weight, filter);
      if (!this.sublist.insert(interest)) return;
      interests.set(key, interest);
    }
    this.#subjectChanged(subject);
  }

  /** Forgets everything a thread was interested in (it died). */
  dropThread(thread: number): void {
    const interests = this.#threadInterest[thread];
    if (interests === undefined) return;
    for (const interest of interests.values()) this.sublist.remove(interest);
    this.#threadInterest[thread] = undefined;
    this.invalidateRoutes();
  }

  /** Calls `visit` with everything this thread is interested in (for a thread that joins later). */
  forEachLocalInterest(
    visit: (subject: string, queue: string | null, weight: number, filter: string) => void,
  ): void {
    for (const [key, weight] of this.#weights) {
      const space = key.indexOf(' ');
      if (space < 0) {
        visit(key, null, weight, '');
        continue;
      }
      const second = key.indexOf(' ', space + 1);
      const queue = second < 0 ? key.slice(space + 1) : key.slice(space + 1, second);
      visit(key.slice(0, space), queue, weight, second < 0 ? '' : key.slice(second + 1));
    }
  }

  /** Ends the current generation of routes: permissions, mappings or wildcard interest changed. */
  invalidateRoutes(): void {
    this.version++;
    this.generation++;
    this.routes.clear();
  }

  /** The route for the subject `bytes[start, end)`, prepared if need be. */
  route(hash: number, bytes: Uint8Array, start: number, end: number): Route {
    const cached = this.routes.find(hash, bytes, start, end);
    if (cached !== null && !cached.stale) return cached;
    const lasting = cached !== null || this.#seenBefore(hash);
    if (!lasting && this.#cacheRoutes) {
      const member = this.#families.find(hash, bytes, start, end);
      if (member !== null) return member;
    }
    return this.prepareRoute(latin1(bytes, start, end), hash, lasting);
  }

  /** See `FamilySource`. */
  familyModel(prefix: string, tokens: number): Route | null {
    if (this.sublist.variesBelow(prefix, tokens)) return null;
    const subject = prefix + '.x'.repeat(tokens);
    const match = this.sublist.match(subject);
    const pattern = prefix + '.*'.repeat(tokens);
    const denies = (interest: Interest) => deniesSome(interest, pattern);
    if (match.plain.some(denies)) return null;
    for (const members of match.queues?.values() ?? []) if (members.some(denies)) return null;
    return this.#build(new Route(subject, 0, this.generation, false), match);
  }

  /** The route for a subject that exists as text only (mapped, or the server's own). */
  routeOf(subject: string): Route {
    const bytes = latin1Bytes(subject);
    return this.route(hashLatin1(subject), bytes, 0, bytes.length);
  }

  /**
   * Prepares a route for one use, or (`lasting`) for the cache.
   */
  prepareRoute(subject: string, hash: number, lasting: boolean): Route {
    const route = new Route(subject, hash, this.generation, lasting);
    this.#build(route, this.sublist.match(subject));
    if (!lasting || !this.#cacheRoutes) route.stale = true;
    else if (!this.routes.add(route)) {
      this.invalidateRoutes();
      return this.prepareRoute(subject, hash, lasting);
    }
    return route;
  }

  #build(route: Route, match: SublistMatch<Interest>): Route {
    const { subject } = route;
    for (const interest of match.plain) {
      if (interest.thread >= 0) {
        if (!route.threads.includes(interest.thread)) route.threads.push(interest.thread);
      } else {
        const subscription = interest as Subscription;
        if (!subscription.subscriber.deniesDelivery(subject, null)) route.plain.push(subscription);
      }
    }
    if (match.queues !== null) {
      for (const [name, members] of match.queues) addGroup(route, subject, name, members);
    }
    route.hasThreads = route.threads.length > 0 || route.groups.some((group) => group.threads.length > 0);
    route.onlyPlain = route.groups.length === 0 && !route.hasThreads;
    return route;
  }

  /** Whether a subject with this hash was looked up lately: most are used once (inboxes), and caching those is a waste. */
  #seenBefore(hash: number): boolean {
    const slot = hash & (SEEN_SLOTS - 1);
    if (this.#seen === null) this.#seen = new Int32Array(SEEN_SLOTS);
    if (this.#seen[slot] === hash) return true;
    this.#seen[slot] = hash;
    return false;
  }

  #subjectChanged(subject: string): void {
    this.version++;
    if (hasWildcard(subject)) this.invalidateRoutes();
    else {
      this.routes.invalidate(subject, hashLatin1(subject));
      this.#families.drop(latin1Bytes(subject));
    }
  }

  #count(subject: string, queue: string | null, filter: string, change: number): void {
    if (this.#announcer === null) return;
    const key = interestKey(subject, queue, filter);
    const weight = (this.#weights.get(key) ?? 0) + change;
    if (weight > 0) this.#weights.set(key, weight);
    else this.#weights.delete(key);
    // Of a plain subject only the first and the last subscription matter to other threads.
    if (queue !== null || weight === 0 || (weight === 1 && change === 1)) {
      this.#announcer.announceInterest(this.index, subject, queue, weight, filter);
    }
  }
}

/** Whether there are subjects among those of a pattern that this interest must not be given. */
function deniesSome(interest: Interest, pattern: string): boolean {
  if (interest.thread >= 0) return (interest as ThreadInterest).deniesSome(pattern);
  return (interest as Subscription).subscriber.deniesSome?.(pattern) === true;
}

/** What others have to know of a member to pick it. */
function traitsOf({ isKept, filter }: Subscription): string {
  return isKept ? `${KEPT_MEMBER}${filter}` : filter;
}

function addGroup(route: Route, subject: string, name: string, members: Interest[]): void {
  const group = groupOf(subject, name, members);
  if (group.total === 0) return;
  route.groups.push(group);
  const ordinary = members.filter(({ isKept }) => !isKept);
  if (ordinary.length === members.length) return;
  group.ordinary = groupOf(subject, name, ordinary);
  group.kept = group.total - group.ordinary.total;
}

function groupOf(subject: string, name: string, members: readonly Interest[]): RouteGroup {
  const group: RouteGroup = {
    name,
    nameBytes: latin1Bytes(name),
    locals: [],
    threads: [],
    weights: [],
    total: 0,
    kept: 0,
    ordinary: null,
  };
  for (const member of members) {
    if (member.thread < 0) {
      const subscription = member as Subscription;
      if (subscription.subscriber.deniesDelivery(subject, name)) continue;
      group.locals.push(subscription);
      group.total++;
      continue;
    }
    const interest = member as ThreadInterest;
    if (interest.denies(subject)) continue;
    const { thread, weight } = interest;
    const known = group.threads.indexOf(thread);
    if (known >= 0) group.weights[known]! += weight;
    else {
      group.threads.push(thread);
      group.weights.push(weight);
    }
    group.total += weight;
  }
  return group;
}
