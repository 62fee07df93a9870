/**
 * Subject patterns as a tree of tokens, matched against bytes: a filter of a thousand patterns costs about as much as one, and
 * no subject becomes a string.
 *
 * A literal token is found by the hash of its bytes, which is computed while they are scanned, and then compared.
 */

const DOT = 46;
const STAR = 42;
const REST = 62;

class TokenNode {
  readonly token: Uint8Array;
  /** Children by the hash of their token; equal hashes are chained. */
  readonly literals = new Map<number, TokenNode>();
  next: TokenNode | null = null;
  star: TokenNode | null = null;
  /** A pattern ends here, and one ends here with `>`. */
  ends = false;
  rest = false;

  constructor(token: Uint8Array) {
    this.token = token;
  }
}

const NO_BYTES = new Uint8Array(0);

export class PatternTrie {
  readonly #root = new TokenNode(NO_BYTES);

  /** @param patterns valid, in wire form */
  constructor(patterns: readonly Uint8Array[]) {
    for (const pattern of patterns) this.#add(pattern);
  }

  #add(pattern: Uint8Array): void {
    let node = this.#root;
    for (let start = 0; start <= pattern.length; ) {
      let end = start;
      while (end < pattern.length && pattern[end] !== DOT) end++;
      const isOne = end - start === 1;
      if (isOne && pattern[start] === REST && end === pattern.length) {
        node.rest = true;
        return;
      }
      if (isOne && pattern[start] === STAR) {
        node.star ??= new TokenNode(NO_BYTES);
        node = node.star;
      } else node = literal(node, pattern, start, end) ?? addLiteral(node, pattern, start, end);
      start = end + 1;
    }
    node.ends = true;
  }

  /** Whether the literal subject `bytes[start, end)` matches a pattern. */
  matches(bytes: Uint8Array, start: number, end: number): boolean {
    return matchesBelow(this.#root, bytes, start, end);
  }
}

function matchesBelow(from: TokenNode, bytes: Uint8Array, start: number, end: number): boolean {
  let node = from;
  for (let at = start; at <= end; ) {
    if (node.rest) return true;
    let hash = 0;
    let stop = at;
    for (; stop < end && bytes[stop] !== DOT; stop++) hash = (Math.imul(hash, 31) + bytes[stop]!) | 0;
    const next = node.literals.size === 0 ? null : named(node, hash, bytes, at, stop);
    const { star } = node;
    if (next !== null && star !== null) {
      if (matchesBelow(star, bytes, stop + 1, end)) return true;
      node = next;
    } else if (next !== null) node = next;
    else if (star !== null) node = star;
    else return false;
    at = stop + 1;
  }
  return node.ends;
}

function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0;
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0;
  return hash;
}

function literal(node: TokenNode, bytes: Uint8Array, start: number, end: number): TokenNode | null {
  return named(node, hashOf(bytes, start, end), bytes, start, end);
}

function named(
  node: TokenNode,
  hash: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): TokenNode | null {
  for (let child = node.literals.get(hash) ?? null; child !== null; child = child.next) {
    const { token } = child;
    if (token.length !== end - start) continue;
    let same = 0;
    while (same < token.length && token[same] === bytes[start + same]) same++;
    if (same === token.length) return child;
  }
  return null;
}

function addLiteral(node: TokenNode, bytes: Uint8Array, start: number, end: number): TokenNode {
  const child = new TokenNode(bytes.slice(start, end));
  const hash = hashOf(bytes, start, end);
  child.next = node.literals.get(hash) ?? null;
  node.literals.set(hash, child);
  return child;
}
