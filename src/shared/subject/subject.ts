/**
 * Rules of NATS subjects.
 *
 * A subject is a string of tokens separated by `.`. From the wire it is a latin1 string (one character is one byte), so
 * everything but space, tab, CR and LF can occur in it, NUL and bytes above 0x7f included. A token that is exactly `*`
 * stands for one token, a last token that is exactly `>` for one or more; the same characters inside a longer token mean
 * nothing.
 *
 * The functions walk the characters with offsets instead of splitting: they run for every subscription, permission check
 * and cache miss, and a subject may have thousands of tokens.
 */

const DOT = 0x2e;
const STAR = 0x2a;
const GREATER = 0x3e;

/** Offset of the dot that ends the token starting at `start`, or the length of the subject. */
function tokenEnd(subject: string, start: number): number {
  const dot = subject.indexOf('.', start);
  return dot === -1 ? subject.length : dot;
}

/** Whether the token in `subject[start, end)` is the single character `code`. */
function tokenIs(subject: string, start: number, end: number, code: number): boolean {
  return end - start === 1 && subject.charCodeAt(start) === code;
}

/** Whether any token of the subject is empty; the empty subject is one empty token. */
export function hasEmptyToken(subject: string): boolean {
  const length = subject.length;
  if (length === 0) return true;
  if (subject.charCodeAt(0) === DOT || subject.charCodeAt(length - 1) === DOT) return true;
  return subject.includes('..');
}

/**
 * Whether a client may subscribe to the subject: no empty token, and `>` only as the last token. Nothing else is
 * looked at: control characters are fine. client-protocol §7.2.
 */
export function isValidSubscribeSubject(subject: string): boolean {
  if (hasEmptyToken(subject)) return false;
  let at = subject.indexOf('>');
  while (at !== -1 && at < subject.length - 1) {
    const startsToken = at === 0 || subject.charCodeAt(at - 1) === DOT;
    if (startsToken && subject.charCodeAt(at + 1) === DOT) return false;
    at = subject.indexOf('>', at + 1);
  }
  return true;
}

/**
 * Whether the subject has no empty token and no token that is exactly `*` or `>`. Whitespace is not looked at.
 * client-protocol §7.4, "valid literal subject".
 */
export function isValidLiteralSubject(subject: string): boolean {
  return !hasEmptyToken(subject) && !hasWildcard(subject);
}

/** The check of a publish subject that a pedantic connection asks for. client-protocol §7.3. */
export function isValidPublishSubject(subject: string): boolean {
  return isValidLiteralSubject(subject);
}

/**
 * Whether the subject may stand in a configuration, a permission, a mapping or a stream: not empty, no empty token, `>`
 * only last, no space, tab, CR, LF or FF. client-protocol §7.4, "valid subject".
 */
export function isValidSubject(subject: string): boolean {
  for (let i = 0; i < subject.length; i++) {
    const code = subject.charCodeAt(i);
    if (code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0c || code === 0x0d) return false;
  }
  return isValidSubscribeSubject(subject);
}

/** Whether some token is exactly `*`, or the last token is exactly `>`. */
export function hasWildcard(subject: string): boolean {
  const length = subject.length;
  for (let i = 0; i < length; i++) {
    const code = subject.charCodeAt(i);
    if (code !== STAR && code !== GREATER) continue;
    if (i > 0 && subject.charCodeAt(i - 1) !== DOT) continue;
    if (i === length - 1 || subject.charCodeAt(i + 1) === DOT) return true;
  }
  return false;
}

/** Number of tokens; 0 for the empty subject. */
export function tokenCount(subject: string): number {
  if (subject.length === 0) return 0;
  let count = 1;
  for (let at = subject.indexOf('.'); at !== -1; at = subject.indexOf('.', at + 1)) count++;
  return count;
}

/** Whether the tokens of two subjects between the given offsets are the same text. */
function sameToken(
  a: string,
  aStart: number,
  aEnd: number,
  b: string,
  bStart: number,
  bEnd: number,
): boolean {
  if (aEnd - aStart !== bEnd - bStart) return false;
  for (let i = aStart, j = bStart; i < aEnd; i++, j++) {
    if (a.charCodeAt(i) !== b.charCodeAt(j)) return false;
  }
  return true;
}

/**
 * Whether every subject that `subject` stands for is matched by `pattern`. `subject` may have wildcards: they are
 * covered by equal or wider wildcards only. Subjects with an empty token are covered by nothing.
 */
export function isSubsetMatch(subject: string, pattern: string): boolean {
  return walkMatch(subject, pattern, false);
}

/**
 * Whether a published subject matches a subscription pattern. Wildcard tokens in `literal` are plain text: `foo.*`
 * matches the patterns `foo.*`, `foo.>` and `>`. A subject with an empty token matches nothing. client-protocol §7.3.
 */
export function subjectMatches(literal: string, pattern: string): boolean {
  return walkMatch(literal, pattern, true);
}

function walkMatch(subject: string, pattern: string, literal: boolean): boolean {
  if (hasEmptyToken(subject) || hasEmptyToken(pattern)) return false;
  let s = 0;
  let p = 0;
  while (s <= subject.length && p <= pattern.length) {
    const sEnd = tokenEnd(subject, s);
    const pEnd = tokenEnd(pattern, p);
    if (pEnd === pattern.length && tokenIs(pattern, p, pEnd, GREATER)) return true;
    const covered = tokenIs(pattern, p, pEnd, STAR)
      ? literal || !tokenIs(subject, s, sEnd, GREATER)
      : sameToken(subject, s, sEnd, pattern, p, pEnd);
    if (!covered) return false;
    s = sEnd + 1;
    p = pEnd + 1;
  }
  return s > subject.length && p > pattern.length;
}

/** Whether some literal subject is matched by both patterns. Patterns with an empty token collide with nothing. */
export function subjectsCollide(a: string, b: string): boolean {
  if (hasEmptyToken(a) || hasEmptyToken(b)) return false;
  let i = 0;
  let j = 0;
  while (i <= a.length && j <= b.length) {
    const aEnd = tokenEnd(a, i);
    const bEnd = tokenEnd(b, j);
    if (aEnd === a.length && tokenIs(a, i, aEnd, GREATER)) return true;
    if (bEnd === b.length && tokenIs(b, j, bEnd, GREATER)) return true;
    const wild = tokenIs(a, i, aEnd, STAR) || tokenIs(b, j, bEnd, STAR);
    if (!wild && !sameToken(a, i, aEnd, b, j, bEnd)) return false;
    i = aEnd + 1;
    j = bEnd + 1;
  }
  return i > a.length && j > b.length;
}
