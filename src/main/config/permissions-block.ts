import type { Permissions, ResponsePermission, SubjectPermission } from '../../shared/base/options.ts';
import { isValidSubject } from '../../shared/subject/subject.ts';
import { type ConfEntry, type ConfValue, goTypeName, goValueText } from './conf-value.ts';
import { nanosecondsToMs, parseDuration } from './duration.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { row } from './row.ts';
import { integer, isText, map, text } from './value.ts';

/** `permissions` of users and their defaults. Facts: auth and accounts reference §5. */

const RESPONSES_DEFAULT_MAX = 1;
const RESPONSES_DEFAULT_EXPIRES_MS = 120_000;

const RESPONSE_ROWS: OptionRow<ResponsePermission>[] = [
  row({
    name: 'max',
    aliases: ['max_msgs', 'max_messages', 'max_responses'],
    type: 'integer',
    default: '1',
    reload: 'yes',
    doc: 'Replies to one request; negative is unlimited.',
    read: (_reader, entry, draft) => {
      draft.maxMsgs = integer(entry.value) || RESPONSES_DEFAULT_MAX;
    },
  }),
  row({
    name: 'expires',
    aliases: ['expiration', 'ttl'],
    type: 'duration',
    default: '2m',
    reload: 'yes',
    doc: 'How long replies may be sent; negative is unlimited.',
    read: (_reader, entry, draft) => {
      if (!isText(entry.value)) throw new OptionError('error parsing expires, not a duration string');
      const result = parseDuration(text(entry.value));
      if ('error' in result) throw new OptionError(`error parsing expires: ${result.error}`);
      draft.expiresMs = nanosecondsToMs(result.nanoseconds) || RESPONSES_DEFAULT_EXPIRES_MS;
    },
  }),
];

/** Rows of a `permissions` block. */
export const PERMISSION_ROWS: OptionRow<Permissions>[] = [
  row({
    name: 'publish',
    aliases: ['pub', 'import'],
    type: 'subject, array or `{allow, deny}`',
    reload: 'yes',
    doc: 'Subjects that may be published on.',
    read: (reader, entry, draft) => {
      draft.publish = subjectPermission(reader, entry, false);
    },
  }),
  row({
    name: 'subscribe',
    aliases: ['sub', 'export'],
    type: 'subject, array or `{allow, deny}`',
    reload: 'yes',
    doc: 'Subjects that may be subscribed to; an entry may be `"subject queue"`.',
    read: (reader, entry, draft) => {
      draft.subscribe = subjectPermission(reader, entry, true);
    },
  }),
  row({
    name: 'allow_responses',
    aliases: ['publish_allow_responses'],
    type: 'boolean or map',
    default: 'false',
    reload: 'yes',
    doc: 'Publishing on the reply subjects of received messages.',
    children: RESPONSE_ROWS,
    read: (reader, entry, draft) => {
      draft.responses = responses(reader, entry);
    },
  }),
];

/**
 * Reads a `permissions` block. With `allow_responses` and no list of allowed publish subjects, nothing but replies may
 * be published.
 */
export function readPermissions(reader: Reader, entry: ConfEntry): Permissions {
  const block = map(entry.value, `Expected permissions to be a map/struct, got ${goValueText(entry.value)}`);
  const permissions: Permissions = { publish: null, subscribe: null, responses: null };
  reader.readBlock(block, PERMISSION_ROWS, permissions, {
    path: 'permissions',
    unknown: (name) => `Unknown field ${name} parsing permissions`,
  });
  dropEmptyAllow(permissions.publish);
  dropEmptyAllow(permissions.subscribe);
  if (permissions.responses !== null) {
    permissions.publish = {
      allow: permissions.publish?.allow ?? [],
      deny: permissions.publish?.deny ?? null,
    };
  }
  return permissions;
}

/** An empty list of allowed subjects restricts nothing, as in nats-server. */
function dropEmptyAllow(permission: SubjectPermission | null): void {
  if (permission?.allow?.length === 0) permission.allow = null;
}

function subjectPermission(reader: Reader, entry: ConfEntry, allowQueues: boolean): SubjectPermission {
  const { value } = entry;
  if (value.kind !== 'map') return { allow: subjects(value, allowQueues), deny: null };
  const permission: SubjectPermission = { allow: null, deny: null };
  for (const side of value.entries.values()) {
    reader.attempt(side, () => {
      const name = side.key.toLowerCase();
      if (name === 'allow') permission.allow = subjects(side.value, allowQueues);
      else if (name === 'deny') permission.deny = subjects(side.value, allowQueues);
      else if (!side.usedAsVariable) {
        throw new OptionError(
          `Unknown field name ${quote(side.key)} parsing subject permissions, only 'allow' or 'deny' are permitted`,
        );
      }
    });
  }
  return permission;
}

function subjects(value: ConfValue, allowQueues: boolean): string[] {
  const elements = value.kind === 'array' ? value.values : [value];
  return elements.map((element) => {
    if (!isText(element)) {
      const what =
        value.kind === 'array'
          ? 'Subject in permissions array cannot be cast to string'
          : `Expected subject permissions to be a subject, or array of subjects, got ${goTypeName(value)}`;
      throw new OptionError(what);
    }
    const subject = text(element);
    if (!isPermissionSubject(subject, allowQueues)) {
      throw new OptionError(`subject ${quote(subject)} is not a valid subject`);
    }
    return allowQueues ? subject.trim().split(/\s+/).join(' ') : subject;
  });
}

function isPermissionSubject(subject: string, allowQueues: boolean): boolean {
  if (!allowQueues) return isValidSubject(subject);
  const words = subject.trim().split(/\s+/);
  return words.length <= 2 && isValidSubject(words[0]!);
}

function responses(reader: Reader, entry: ConfEntry): ResponsePermission | null {
  const { value } = entry;
  const permission = { maxMsgs: RESPONSES_DEFAULT_MAX, expiresMs: RESPONSES_DEFAULT_EXPIRES_MS };
  if (value.kind === 'boolean') return value.value ? permission : null;
  const block = map(value, 'error parsing response permissions, expected a boolean or a map');
  reader.readBlock(block, RESPONSE_ROWS, permission, {
    path: 'permissions.allow_responses',
    unknown: (name) => `Unknown field ${name} parsing permissions`,
  });
  return permission;
}
