/**
 * The set of subscriptions of one account on one thread, searched by published subject.
 *
 * A trie with one level per token. `*` and `>` are members of their own beside the literal children, so a wildcard in a
 * published subject can only ever be text.
 *
 * ```
 *   root ── foo ──┬── bar          items of `foo.bar`
 *                 ├── (star) ── x  items of `foo.*.x`
 *                 └── (rest)       items of `foo.>`
 * ```
 *
 * Invariants: every node but the root holds items or has a child (empty ones are pruned on removal); a node is at exactly
 * one depth, so a match visits each node at most once however many wildcards there are.
 *
 * Memory: most nodes have one child and most subjects one item, so the first of each is held inline and a Map or Set
 * exists from the second on. A Set (not an array) keeps removal constant with 100,000 items on one subject. Rejected: an
 * index into an array kept on the item (the same item would not fit two sublists), and a radix tree over bytes (wildcards
 * need token borders anyway).
 *
 * There is no cache here: the caller keeps one keyed by the subject's bytes, so `match` runs on its misses only.
 */
import { hasEmptyToken, isValidSubscribeSubject } from './subject.ts';

/** What a sublist holds: anything with a subject and, for queue subscriptions, the name of the group. */
export interface SublistItem {
  readonly subject: string;
  readonly queue: string | null;
}

/** Receives the matching items: `group` is the queue name or null. Returning true ends the search. */
export type SublistVisitor<T> = (item: T, group: string | null) => boolean | undefined;

/** Result of a match; `queues` is null when no queue subscription matches. The caller owns both. */
export interface SublistMatch<T> {
  plain: T[];
  queues: Map<string, T[]> | null;
}

/** Items in order of insertion, the first inline. */
interface Items<T> {
  first: T | null;
  more: Set<T> | null;
}

/** The members of one queue group on one subject. */
class Bucket<T> implements Items<T> {
  readonly name: string;
  first: T | null = null;
  more: Set<T> | null = null;

  constructor(name: string) {
    this.name = name;
  }
}

class Node<T> implements Items<T> {
  readonly token: string;
  /** Literal children: none, one inline, or a Map by token. */
  literals: Node<T> | Map<string, Node<T>> | null = null;
  star: Node<T> | null = null;
  rest: Node<T> | null = null;
  /** Plain subscriptions, the first inline. */
  first: T | null = null;
  more: Set<T> | null = null;
  /** Queue groups: none, one inline, or a Map by name. */
  groups: Bucket<T> | Map<string, Bucket<T>> | null = null;

  constructor(token: string) {
    this.token = token;
  }
}

function addItem<T>(bucket: Items<T>, item: T): void {
  if (bucket.first === item || bucket.more?.has(item) === true) {
    throw new Error('sublist: the item is already in the list');
  }
  if (bucket.more !== null) bucket.more.add(item);
  else if (bucket.first === null) bucket.first = item;
  else bucket.more = new Set([item]);
}

/**
 * The place of a removed first item stays empty while there are more: to find the oldest of a Set whose oldest members
 * were deleted takes V8 a walk over all of those.
 */
function removeItem<T>(bucket: Items<T>, item: T): boolean {
  if (bucket.first === item) {
    bucket.first = null;
    return true;
  }
  const more = bucket.more;
  if (more === null || !more.delete(item)) return false;
  if (more.size === 0) bucket.more = null;
  return true;
}

function findGroup<T>(node: Node<T>, name: string): Bucket<T> | undefined {
  const groups = node.groups;
  if (groups === null) return undefined;
  if (groups instanceof Map) return groups.get(name);
  return groups.name === name ? groups : undefined;
}

function addToGroup<T>(node: Node<T>, name: string, item: T): void {
  let group = findGroup(node, name);
  if (group === undefined) {
    group = new Bucket<T>(name);
    if (node.groups === null) node.groups = group;
    else if (node.groups instanceof Map) node.groups.set(name, group);
    else
      node.groups = new Map([
        [node.groups.name, node.groups],
        [name, group],
      ]);
  }
  addItem(group, item);
}

function removeFromGroup<T>(node: Node<T>, name: string, item: T): boolean {
  const group = findGroup(node, name);
  if (group === undefined || !removeItem(group, item)) return false;
  if (group.first !== null || group.more !== null) return true;
  if (node.groups instanceof Map) {
    node.groups.delete(name);
    if (node.groups.size === 0) node.groups = null;
  } else {
    node.groups = null;
  }
  return true;
}

/** The literal child for the token in `subject[start, end)`; builds a string only when there are several children. */
function findLiteral<T>(node: Node<T>, subject: string, start: number, end: number): Node<T> | undefined {
  const literals = node.literals;
  if (literals === null) return undefined;
  if (literals instanceof Map) return literals.get(subject.slice(start, end));
  const token = literals.token;
  return token.length === end - start && subject.startsWith(token, start) ? literals : undefined;
}

function findChild<T>(node: Node<T>, subject: string, start: number, end: number): Node<T> | undefined {
  if (end - start === 1) {
    const character = subject[start];
    if (character === '*') return node.star ?? undefined;
    if (character === '>') return node.rest ?? undefined;
  }
  return findLiteral(node, subject, start, end);
}

function addChild<T>(node: Node<T>, token: string): Node<T> {
  const child = new Node<T>(token);
  if (token === '*') node.star = child;
  else if (token === '>') node.rest = child;
  else if (node.literals === null) node.literals = child;
  else if (node.literals instanceof Map) node.literals.set(token, child);
  else
    node.literals = new Map([
      [node.literals.token, node.literals],
      [token, child],
    ]);
  return child;
}

function removeChild<T>(node: Node<T>, child: Node<T>): void {
  if (node.star === child) node.star = null;
  else if (node.rest === child) node.rest = null;
  else if (node.literals instanceof Map) {
    node.literals.delete(child.token);
    if (node.literals.size === 0) node.literals = null;
  } else node.literals = null;
}

function isEmpty<T>(node: Node<T>): boolean {
  return (
    node.first === null &&
    node.more === null &&
    node.groups === null &&
    node.literals === null &&
    node.star === null &&
    node.rest === null
  );
}

function visitBucket<T>(bucket: Items<T>, group: string | null, visit: SublistVisitor<T>): boolean {
  if (bucket.first !== null && visit(bucket.first, group) === true) return true;
  if (bucket.more === null) return false;
  for (const item of bucket.more) if (visit(item, group) === true) return true;
  return false;
}

/** Visits the items at one node; true when the visitor ended the search. */
function visitNode<T>(node: Node<T>, visit: SublistVisitor<T>): boolean {
  if (visitBucket(node, null, visit)) return true;
  const groups = node.groups;
  if (groups === null) return false;
  if (groups instanceof Map) {
    for (const group of groups.values()) if (visitBucket(group, group.name, visit)) return true;
    return false;
  }
  return visitBucket(groups, groups.name, visit);
}

/** Visits every item that the subject, known to have no empty token, is delivered to; true when the visitor ended it. */
function visitMatches<T>(root: Node<T>, subject: string, visit: SublistVisitor<T>): boolean {
  const length = subject.length;
  // Branches still to be taken: a node and the offset of the first token below it. A stack of its own, because a
  // subject may be thousands of tokens deep.
  const nodes: Node<T>[] = [root];
  const offsets: number[] = [0];
  while (nodes.length > 0) {
    let node = nodes.pop() as Node<T>;
    let start = offsets.pop() as number;
    for (;;) {
      if (start > length) {
        if (visitNode(node, visit)) return true;
        break;
      }
      if (node.rest !== null && visitNode(node.rest, visit)) return true;
      const dot = subject.indexOf('.', start);
      const end = dot === -1 ? length : dot;
      const literal = findLiteral(node, subject, start, end);
      const star = node.star;
      start = end + 1;
      if (literal !== undefined) {
        if (star !== null) {
          nodes.push(star);
          offsets.push(start);
        }
        node = literal;
      } else if (star !== null) {
        node = star;
      } else {
        break;
      }
    }
  }
  return false;
}

/** Whether there is a literal among the next `tokens` tokens. */
function namesToken<T>(node: Node<T>, tokens: number): boolean {
  let at: Node<T> | null = node;
  for (let left = tokens; at !== null && left > 0; left--) {
    if (at.literals !== null) return true;
    at = at.star;
  }
  return false;
}

/** A set of subscriptions searched by published subject; see the head of the file. */
export class Sublist<T extends SublistItem> {
  #root = new Node<T>('');
  #count = 0;
  #inserts = 0;
  #removes = 0;
  #matches = 0;

  /** Items in the list now. */
  get count(): number {
    return this.#count;
  }

  /** Successful insertions so far. */
  get inserts(): number {
    return this.#inserts;
  }

  /** Successful removals so far. */
  get removes(): number {
    return this.#removes;
  }

  /** Searches so far. */
  get matches(): number {
    return this.#matches;
  }

  /**
   * Adds an item under its subject and queue, which must not change while it is in the list.
   *
   * @returns false, and nothing is added, when the subject is not valid for subscribing (client-protocol §7.2).
   * @throws when the very same item is in the list already: a programmer error.
   */
  insert(item: T): boolean {
    const subject = item.subject;
    if (!isValidSubscribeSubject(subject)) return false;
    let node = this.#root;
    for (let start = 0; start <= subject.length; ) {
      const dot = subject.indexOf('.', start);
      const end = dot === -1 ? subject.length : dot;
      node = findChild(node, subject, start, end) ?? addChild(node, subject.slice(start, end));
      start = end + 1;
    }
    if (item.queue === null) addItem(node, item);
    else addToGroup(node, item.queue, item);
    this.#count++;
    this.#inserts++;
    return true;
  }

  /** Removes an item; false when it is not in the list. */
  remove(item: T): boolean {
    const subject = item.subject;
    const path: Node<T>[] = [this.#root];
    let node = this.#root;
    for (let start = 0; start <= subject.length; ) {
      const dot = subject.indexOf('.', start);
      const end = dot === -1 ? subject.length : dot;
      const child = findChild(node, subject, start, end);
      if (child === undefined) return false;
      path.push(child);
      node = child;
      start = end + 1;
    }
    const removed = item.queue === null ? removeItem(node, item) : removeFromGroup(node, item.queue, item);
    if (!removed) return false;
    for (let depth = path.length - 1; depth > 0 && isEmpty(path[depth]!); depth--) {
      removeChild(path[depth - 1]!, path[depth]!);
    }
    this.#count--;
    this.#removes++;
    return true;
  }

  /**
   * Every item the published subject is delivered to: plain ones, and queue items by name of their group, a group being
   * one list across all the patterns that match. Wildcard tokens of the subject are text, and a subject with an empty
   * token matches nothing. client-protocol §6 "Queue groups", §7.3.
   */
  match(subject: string): SublistMatch<T> {
    this.#matches++;
    const result: SublistMatch<T> = { plain: [], queues: null };
    if (hasEmptyToken(subject)) return result;
    visitMatches(this.#root, subject, (item, group) => {
      if (group === null) {
        result.plain.push(item);
        return undefined;
      }
      result.queues ??= new Map();
      const members = result.queues.get(group);
      if (members === undefined) result.queues.set(group, [item]);
      else members.push(item);
      return undefined;
    });
    return result;
  }

  /** Calls `visit` for every matching item until it returns true; no result is built. */
  visit(subject: string, visit: SublistVisitor<T>): void {
    this.#matches++;
    if (!hasEmptyToken(subject)) visitMatches(this.#root, subject, visit);
  }

  /** Whether anything matches the published subject. */
  hasInterest(subject: string): boolean {
    this.#matches++;
    return !hasEmptyToken(subject) && visitMatches(this.#root, subject, () => true);
  }

  /**
   * Whether some item is about a particular token among the `tokens` behind `prefix`: if not, all subjects of so many tokens more
   * than the prefix match the same items.
   */
  variesBelow(prefix: string, tokens: number): boolean {
    const nodes: Node<T>[] = [this.#root];
    const offsets: number[] = [0];
    while (nodes.length > 0) {
      const node = nodes.pop() as Node<T>;
      const start = offsets.pop() as number;
      if (start > prefix.length) {
        if (namesToken(node, tokens)) return true;
        continue;
      }
      const dot = prefix.indexOf('.', start);
      const end = dot === -1 ? prefix.length : dot;
      for (const next of [findLiteral(node, prefix, start, end), node.star]) {
        if (next == null) continue;
        nodes.push(next);
        offsets.push(end + 1);
      }
    }
    return false;
  }

  /** Calls `visit` for every item, in no particular order. The list must not be changed meanwhile. */
  forEach(visit: (item: T) => void): void {
    const visitor: SublistVisitor<T> = (item) => {
      visit(item);
      return undefined;
    };
    const nodes: Node<T>[] = [this.#root];
    for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
      visitNode(node, visitor);
      if (node.star !== null) nodes.push(node.star);
      if (node.rest !== null) nodes.push(node.rest);
      if (node.literals instanceof Map) for (const child of node.literals.values()) nodes.push(child);
      else if (node.literals !== null) nodes.push(node.literals);
    }
  }
}
