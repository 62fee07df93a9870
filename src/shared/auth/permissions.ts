/**
 * What a user may publish and subscribe to (auth-accounts §5), compiled for checking.
 *
 * Two ways of comparing are at work. A publish subject is text, even where it has a token `*`: it is looked up as it
 * would be delivered. A subscription is a set of subjects: an allow entry must cover all of it, while a deny entry
 * that covers it only in part leaves the subscription alone and filters messages as they are delivered.
 *
 * nats-server compares subscriptions as text too, so that there `allow: "foo.*"` lets a client subscribe to `foo.>` and
 * receive more than was allowed. Here an allow entry has to cover; deny entries are compared as text, as there, which is
 * the stricter of the two.
 *
 * Results for publishing are remembered by the routes of an account under `id`; the sets are never changed, a new
 * configuration makes new ones.
 */
import type { Permissions, ResponsePermission } from '../base/options.ts';
import {
  isSubsetMatch,
  isValidSubscribeSubject,
  subjectMatches,
  subjectsCollide,
} from '../subject/subject.ts';
import { Sublist, type SublistItem } from '../subject/sublist.ts';
import { wireText } from '../subject/wire-text.ts';

/** Remembered answers of the delivery filter; subjects beyond it start the memory anew. */
const DELIVERY_MEMORY_MAX_ENTRIES = 256;

/** Subscriptions the server makes for an MQTT session; they are its own business, so allow lists do not apply. */
const MQTT_SESSION_PREFIXES = ['$MQTT.sub.', '$MQTT.deliver.pubrel.'] as const;

/** Who asks: MQTT and server-to-server connections are exempt from allow lists (never deny lists) for `$MQTT.` subjects. */
export type PermissionSubject = 'client' | 'mqtt' | 'peer';

function allowExempt(subject: string, kind: PermissionSubject): boolean {
  if (kind === 'client') return false;
  if (kind === 'peer') return subject.startsWith('$MQTT.');
  return MQTT_SESSION_PREFIXES.some((prefix) => subject.startsWith(prefix));
}

/** An entry `"subject"` or `"subject queue"`, in wire form. */
function parseEntry(entry: string): SublistItem {
  const [subject = '', queue = null, ...more] = wireText(entry)
    .trim()
    .split(/[ \t]+/);
  if (!isValidSubscribeSubject(subject) || more.length > 0) {
    throw new Error(`permissions: ${JSON.stringify(entry)} is not a subject with an optional queue`);
  }
  return { subject, queue };
}

function compileList(entries: readonly string[]): Sublist<SublistItem> {
  const list = new Sublist<SublistItem>();
  for (const entry of entries) list.insert(parseEntry(entry));
  return list;
}

/** Whether a queue name is the one of an entry: the same text, or matched by it as if both were subjects. */
function queueMatches(queue: string, entry: string): boolean {
  if (queue === entry || entry === '>') return true;
  if (!entry.includes('*') && !entry.includes('>')) return false;
  if (isSubsetMatch(queue, entry)) return true;
  // Queue names may have empty tokens, which subjects may not: `a..b` is matched by `a.>`.
  return entry.endsWith('.>') && queue.startsWith(entry.slice(0, -1)) && queue.length > entry.length - 1;
}

/** Subscribe entries, plain ones and those with a queue apart. */
interface SubscribeEntries {
  readonly plain: readonly string[];
  readonly queues: readonly { subject: string; queue: string }[];
}

function compileEntries(entries: readonly string[]): SubscribeEntries {
  const plain: string[] = [];
  const queues: { subject: string; queue: string }[] = [];
  for (const entry of entries) {
    const { subject, queue } = parseEntry(entry);
    if (queue === null) plain.push(subject);
    else queues.push({ subject, queue });
  }
  return { plain, queues };
}

/**
 * Whether an allow list covers a subscription. Entries with a queue speak for queue subscriptions alone, and where one
 * covers the subject they decide without the plain ones.
 */
function isAllowed(list: SubscribeEntries, subject: string, queue: string | null): boolean {
  if (queue !== null) {
    const covering = list.queues.filter((entry) => isSubsetMatch(subject, entry.subject));
    if (covering.length > 0) return covering.some((entry) => queueMatches(queue, entry.queue));
  }
  return list.plain.some((entry) => isSubsetMatch(subject, entry));
}

function isDenied(list: SubscribeEntries, subject: string, queue: string | null): boolean {
  if (list.plain.some((entry) => subjectMatches(subject, entry))) return true;
  if (queue === null) return false;
  return list.queues.some(
    (entry) => subjectMatches(subject, entry.subject) && queueMatches(queue, entry.queue),
  );
}

/** Compiled permissions of a user. */
export class PermissionSet {
  /** Small and unique in its thread: an index for remembered answers. */
  readonly id: number;
  readonly permissions: Permissions;
  /** `allow_responses`, or null. */
  readonly responses: ResponsePermission | null;
  /** Whether messages may have to be kept from a subscription that was allowed; ask `deniesDelivery` then. */
  readonly hasDeliveryFilter: boolean;
  readonly #publishAllow: Sublist<SublistItem> | null;
  readonly #publishDeny: Sublist<SublistItem> | null;
  readonly #subscribeAllow: SubscribeEntries | null;
  readonly #subscribeDeny: SubscribeEntries | null;
  readonly #deliveries = new Map<string, boolean>();

  /**
   * @param permissions entries are in the form of the configuration (Unicode).
   * @throws when an entry is no valid subject: the configuration checks that.
   */
  constructor(permissions: Permissions, id: number) {
    const { publish, subscribe, responses } = permissions;
    this.id = id;
    this.permissions = permissions;
    this.responses = responses;
    // Responses are an exception from a list; without a list there would be nothing to except them from.
    const publishAllow = publish?.allow ?? (responses === null ? null : []);
    this.#publishAllow = publishAllow === null ? null : compileList(publishAllow);
    this.#publishDeny = publish?.deny?.length ? compileList(publish.deny) : null;
    this.#subscribeAllow = subscribe?.allow ? compileEntries(subscribe.allow) : null;
    this.#subscribeDeny = subscribe?.deny?.length ? compileEntries(subscribe.deny) : null;
    this.hasDeliveryFilter = this.#subscribeDeny !== null;
  }

  /**
   * Whether the lists allow publishing to the subject, wildcard tokens in it being text. A refused subject may still be
   * one that `allow_responses` admits.
   */
  canPublish(subject: string, kind: PermissionSubject = 'client'): boolean {
    if (
      this.#publishAllow !== null &&
      !allowExempt(subject, kind) &&
      !this.#publishAllow.hasInterest(subject)
    ) {
      return false;
    }
    return this.#publishDeny === null || !this.#publishDeny.hasInterest(subject);
  }

  /** Whether the subscription may be made; `queue` is null for a plain one. */
  canSubscribe(subject: string, queue: string | null, kind: PermissionSubject = 'client'): boolean {
    if (
      this.#subscribeAllow !== null &&
      !allowExempt(subject, kind) &&
      !isAllowed(this.#subscribeAllow, subject, queue)
    ) {
      return false;
    }
    return this.#subscribeDeny === null || !isDenied(this.#subscribeDeny, subject, queue);
  }

  /** Whether a message on some subject that `pattern` matches may be kept from a subscription. */
  deniesSome(pattern: string): boolean {
    const deny = this.#subscribeDeny;
    if (deny === null) return false;
    return (
      deny.plain.some((entry) => subjectsCollide(entry, pattern)) ||
      deny.queues.some((entry) => subjectsCollide(entry.subject, pattern))
    );
  }

  /** Whether a message on the subject is kept from a subscription with this queue (null: plain), wildcard or not. */
  deniesDelivery(subject: string, queue: string | null): boolean {
    const deny = this.#subscribeDeny;
    if (deny === null) return false;
    const key = queue === null ? subject : `${subject} ${queue}`;
    const known = this.#deliveries.get(key);
    if (known !== undefined) return known;
    if (this.#deliveries.size >= DELIVERY_MEMORY_MAX_ENTRIES) this.#deliveries.clear();
    const denied = isDenied(deny, subject, queue);
    this.#deliveries.set(key, denied);
    return denied;
  }
}
