/**
 * MQTT topics and NATS subjects (mqtt.md §5).
 *
 * Levels become tokens. What a subject can't hold is written with `/`, which is free once it separates no levels: an empty
 * level is the token `/`, a dot is `//`. So the mapping can be undone for every subject that it made.
 *
 * `*` and `>` mean something in a subject and nothing in a topic. nats-server lets them through; here a level that
 * is nothing but one of them is refused, because a publisher could otherwise only be heard by those who don't filter.
 */

const SLASH = 0x2f;
const DOT = 0x2e;
const PLUS = 0x2b;
const HASH = 0x23;
const STAR = 0x2a;
const GREATER = 0x3e;
const SPACE = 0x20;
const TAB = 0x09;
const LF = 0x0a;
const FF = 0x0c;
const CR = 0x0d;
const DEL = 0x7f;

/** Longest subject a topic of 65,535 bytes can become: each byte two, and a closing `/`. */
export const SUBJECT_MAX_BYTES = 2 * 65_535 + 1;

function isUnsupported(byte: number): boolean {
  return byte === SPACE || byte === TAB || byte === LF || byte === CR || byte === FF || byte === DEL;
}

/** Whether a level of the topic is nothing but `*` or `>`. */
function hasSubjectWildcard(topic: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = topic[at]!;
    if (byte !== STAR && byte !== GREATER) continue;
    const opens = at === start || topic[at - 1] === SLASH;
    if (opens && (at + 1 === end || topic[at + 1] === SLASH)) return true;
  }
  return false;
}

/**
 * Writes the subject of a topic name or, where `isFilter`, of a topic filter.
 *
 * @param target has room for twice the topic's bytes and one
 * @returns offset behind the subject, or -1 when the topic has a character or level that no subject can stand for
 */
export function writeSubject(
  topic: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetStart: number,
  isFilter: boolean,
): number {
  if (hasSubjectWildcard(topic, start, end)) return -1;
  let to = targetStart;
  for (let at = start; at < end; at++) {
    const byte = topic[at]!;
    if (byte === SLASH) {
      if (to === targetStart || target[to - 1] === DOT) {
        target[to++] = SLASH;
        target[to++] = DOT;
      } else if (at + 1 === end || topic[at + 1] === SLASH) {
        target[to++] = DOT;
        target[to++] = SLASH;
      } else target[to++] = DOT;
    } else if (byte === DOT) {
      target[to++] = SLASH;
      target[to++] = SLASH;
    } else if (isUnsupported(byte)) return -1;
    else if (byte === PLUS || byte === HASH) {
      if (!isFilter) return -1;
      target[to++] = byte === PLUS ? STAR : GREATER;
    } else target[to++] = byte;
  }
  if (to > targetStart && target[to - 1] === DOT) target[to++] = SLASH;
  return to;
}

/**
 * Writes the topic of a subject; never longer than the subject.
 *
 * @returns offset behind the topic
 */
function writeTopic(
  subject: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetStart: number,
): number {
  let to = targetStart;
  for (let at = start; at < end; at++) {
    const byte = subject[at]!;
    if (byte === DOT) target[to++] = SLASH;
    else if (byte !== SLASH) target[to++] = byte;
    else if (at + 1 < end && subject[at + 1] === DOT) {
      target[to++] = SLASH;
      at++;
    } else if (at + 1 < end && subject[at + 1] === SLASH) {
      target[to++] = DOT;
      at++;
    }
  }
  return to;
}

/** Subject of a topic name or filter as text of the wire (latin1), null as `writeSubject` says. */
export function subjectOfTopic(topic: Uint8Array, isFilter: boolean): string | null {
  const target = new Uint8Array(topic.length * 2 + 1);
  const end = writeSubject(topic, 0, topic.length, target, 0, isFilter);
  return end < 0 ? null : Buffer.from(target.buffer, 0, end).toString('latin1');
}

/** Bytes of the topic of a subject given as text of the wire. */
export function topicOfSubject(subject: string): Uint8Array {
  const target = new Uint8Array(subject.length);
  return target.subarray(0, writeTopicOf(subject, target));
}

/**
 * The same, into memory that is there.
 *
 * @param target with as many bytes as the subject has
 * @returns where the topic ends
 */
export function writeTopicOf(subject: string, target: Uint8Array): number {
  const count = subject.length;
  for (let i = 0; i < count; i++) target[i] = subject.charCodeAt(i);
  // A topic is never longer than its subject: what is written stays behind what is read.
  return writeTopic(target, 0, count, target, 0);
}
