/** Topic filters: where wildcards may stand, shared subscriptions, and what a filter leaves out (clauses 4.7 and 4.8). */
import { subjectOfTopic } from './topic-mapping.ts';

const SHARE_PREFIX = Buffer.from('$share/');
const SLASH = 0x2f;
const PLUS = 0x2b;
const HASH = 0x23;

/** Whether `+` and `#` stand where they may. [MQTT-4.7.1-1] and [MQTT-4.7.1-2] (3.1.1: 4.7.1-2, 4.7.1-3) */
function hasValidWildcards(filter: Uint8Array): boolean {
  for (let at = 0; at < filter.length; at++) {
    const byte = filter[at]!;
    if (byte !== PLUS && byte !== HASH) continue;
    if (at > 0 && filter[at - 1] !== SLASH) return false;
    if (byte === HASH ? at + 1 !== filter.length : at + 1 < filter.length && filter[at + 1] !== SLASH)
      return false;
  }
  return true;
}

/** A filter as the broker needs it. */
export interface ParsedFilter {
  /** Text of the wire. */
  readonly subject: string;
  /** `a` for `a/#`, which matches its parent too; else null. [MQTT-4.7.1] */
  readonly parentSubject: string | null;
  /** Name of the shared subscription as text of the wire, or null. */
  readonly share: string | null;
  /** Topics that begin with `$` are left out. [MQTT-4.7.2-1] */
  readonly skipsDollar: boolean;
}

/** Subjects that no MQTT client may subscribe to. mqtt.md §5.3 */
const INTERNAL_PREFIX = '$MQTT.';

/**
 * Parses a topic filter.
 *
 * @param withShares `$share/name/filter` is a shared subscription (5.0); in 3.1.1 it is a filter like any other
 * @returns null for a filter that is not valid, or that no subject can stand for
 */
export function parseFilter(filter: Uint8Array, withShares: boolean): ParsedFilter | null {
  let rest = filter;
  let share: string | null = null;
  if (withShares && startsWith(filter, SHARE_PREFIX)) {
    const nameEnd = filter.indexOf(SLASH, SHARE_PREFIX.length);
    const name = filter.subarray(SHARE_PREFIX.length, nameEnd < 0 ? filter.length : nameEnd);
    // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    if (name.length === 0 || name.includes(PLUS) || name.includes(HASH)) return null;
    rest = nameEnd < 0 ? new Uint8Array(0) : filter.subarray(nameEnd + 1);
    if (rest.length === 0) return null;
    share = subjectOfTopic(name, false);
    if (share === null) return null;
  }
  if (!hasValidWildcards(rest)) return null;
  const subject = subjectOfTopic(rest, true);
  if (subject === null || subject.startsWith(INTERNAL_PREFIX)) return null;
  const parent = subject.endsWith('.>') && subject.length >= 3 ? subject.slice(0, -2) : null;
  return {
    subject,
    parentSubject: parent,
    share,
    skipsDollar: subject === '>' || subject === '*' || subject.startsWith('*.'),
  };
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  for (let i = 0; i < prefix.length; i++) if (bytes[i] !== prefix[i]) return false;
  return true;
}
