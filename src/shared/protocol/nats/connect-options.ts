/**
 * Decoding of the JSON of a CONNECT line (client-protocol §3).
 *
 * Clients rely on the leniency of the decoder nats-server uses: names match whatever their case, unknown names are
 * skipped, `null` keeps the value, a repeated name counts again, and bytes that are not UTF-8 become U+FFFD. They meet
 * its strictness too: `1.0` is not an integer. `JSON.parse` alone cannot tell `1.0` from `1` and forgets the order of
 * repeated names, so it only checks the text and decodes single values, and a scanner over the then valid text finds
 * the members. Members are assigned to known fields, never to an object by a name that came from the wire.
 */
import type { SubjectPermission } from '../../base/options.ts';
import { CLOSE_REASON, type CloseReason, ERR } from './errors.ts';

/** What a client says about itself. Every member has a value: the default, or what an earlier CONNECT said. */
export interface ConnectOptions {
  verbose: boolean;
  pedantic: boolean;
  tlsRequired: boolean;
  authToken: string;
  user: string;
  pass: string;
  jwt: string;
  nkey: string;
  sig: string;
  name: string;
  lang: string;
  version: string;
  protocol: number;
  echo: boolean;
  headers: boolean;
  noResponders: boolean;
  account: string;
  newAccount: boolean;
  import: SubjectPermission | null;
  export: SubjectPermission | null;
  remoteAccount: string;
  proxySig: string;
}

/** Options of a connection that has sent no CONNECT yet. */
export const DEFAULT_CONNECT_OPTIONS: Readonly<ConnectOptions> = Object.freeze({
  verbose: true,
  pedantic: true,
  tlsRequired: false,
  authToken: '',
  user: '',
  pass: '',
  jwt: '',
  nkey: '',
  sig: '',
  name: '',
  lang: '',
  version: '',
  protocol: 0,
  echo: true,
  headers: false,
  noResponders: false,
  account: '',
  newAccount: false,
  import: null,
  export: null,
  remoteAccount: '',
  proxySig: '',
});

/** A decoded CONNECT, or why it is not one: a text for the log, for the client is told nothing. */
export type ConnectDecodeResult = { options: ConnectOptions; error: null } | { options: null; error: string };

/** Sets one field from the source text of a JSON value; false when the value is of another type. */
type Assign = (options: ConnectOptions, source: string) => boolean;

type FieldOf<V> = {
  [K in keyof ConnectOptions]: ConnectOptions[K] extends V ? K : never;
}[keyof ConnectOptions];

function booleanField(field: FieldOf<boolean>): Assign {
  return (options, source) => {
    if (source !== 'true' && source !== 'false') return false;
    options[field] = source === 'true';
    return true;
  };
}

function stringField(field: FieldOf<string>): Assign {
  return (options, source) => {
    if (source[0] !== '"') return false;
    options[field] = parseString(source);
    return true;
  };
}

function integerField(field: FieldOf<number>): Assign {
  return (options, source) => {
    if (!/^-?\d{1,19}$/.test(source)) return false;
    const value = BigInt(source);
    if (BigInt.asIntN(64, value) !== value) return false;
    options[field] = Number(value);
    return true;
  };
}

function permissionField(field: 'import' | 'export'): Assign {
  return (options, source) => {
    const permission: SubjectPermission = { allow: null, deny: null };
    const valid = forEachMember(source, (name, value) => {
      if ((name !== 'allow' && name !== 'deny') || value === 'null') return true;
      permission[name] = parseStrings(value);
      return permission[name] !== null;
    });
    if (valid) options[field] = permission;
    return valid;
  };
}

const FIELDS: ReadonlyMap<string, Assign> = new Map<string, Assign>([
  ['verbose', booleanField('verbose')],
  ['pedantic', booleanField('pedantic')],
  ['tls_required', booleanField('tlsRequired')],
  ['auth_token', stringField('authToken')],
  ['user', stringField('user')],
  ['pass', stringField('pass')],
  ['jwt', stringField('jwt')],
  ['nkey', stringField('nkey')],
  ['sig', stringField('sig')],
  ['name', stringField('name')],
  ['lang', stringField('lang')],
  ['version', stringField('version')],
  ['protocol', integerField('protocol')],
  ['echo', booleanField('echo')],
  ['headers', booleanField('headers')],
  ['no_responders', booleanField('noResponders')],
  ['account', stringField('account')],
  ['new_account', booleanField('newAccount')],
  ['import', permissionField('import')],
  ['export', permissionField('export')],
  ['remote_account', stringField('remoteAccount')],
  ['proxy_sig', stringField('proxySig')],
]);

/** Decodes a JSON string literal; an escaped half of a surrogate pair becomes U+FFFD. */
function parseString(source: string): string {
  return (JSON.parse(source) as string).toWellFormed();
}

/** Decodes a JSON array of strings, a `null` in it being the empty string; null when it is anything else. */
function parseStrings(source: string): string[] | null {
  const value: unknown = JSON.parse(source);
  if (!Array.isArray(value)) return null;
  const strings: string[] = [];
  for (const element of value as unknown[]) {
    if (element === null) strings.push('');
    else if (typeof element === 'string') strings.push(element.toWellFormed());
    else return null;
  }
  return strings;
}

/** Lower case by simple folding, in which the long s is an `s` too (and the Kelvin sign a `k`, as in toLowerCase). */
function foldName(name: string): string {
  return name.replaceAll('\u017f', 's').toLowerCase();
}

function skipSpace(json: string, at: number): number {
  let end = at;
  while (end < json.length && json.charCodeAt(end) <= 0x20) end++;
  return end;
}

/** Offset behind the string literal that starts at `at`, in valid JSON. */
function skipString(json: string, at: number): number {
  let end = at + 1;
  for (; json[end] !== '"'; end++) if (json[end] === '\\') end++;
  return end + 1;
}

/** Offset behind the value that starts at `start`, in valid JSON. */
function skipValue(json: string, start: number): number {
  let depth = 0;
  let at = start;
  while (at < json.length) {
    const character = json[at];
    if (character === '"') {
      at = skipString(json, at);
      if (depth === 0) return at;
      continue;
    }
    if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') {
      if (depth === 0) return at;
      depth--;
      if (depth === 0) return at + 1;
    } else if (depth === 0 && (character === ',' || json.charCodeAt(at) <= 0x20)) return at;
    at++;
  }
  return at;
}

/**
 * Calls `visit` with the folded name and the source text of each member of an object, in order; the text is valid JSON.
 *
 * @returns false when the value is no object or `visit` returned false.
 */
function forEachMember(json: string, visit: (name: string, source: string) => boolean): boolean {
  let at = skipSpace(json, 0);
  if (json[at] !== '{') return false;
  at = skipSpace(json, at + 1);
  while (json[at] === '"') {
    const nameEnd = skipString(json, at);
    const name = foldName(parseString(json.slice(at, nameEnd)));
    const colon = skipSpace(json, nameEnd);
    const start = skipSpace(json, colon + 1);
    const end = skipValue(json, start);
    if (!visit(name, json.slice(start, end))) return false;
    at = skipSpace(json, end);
    if (json[at] === ',') at = skipSpace(json, at + 1);
  }
  return true;
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Decodes the argument of a CONNECT line.
 *
 * @param json the bytes between `CONNECT` and the end of the line.
 * @param previous what fields that are absent or `null` keep: the defaults, or the result of the connection's last
 *   CONNECT. It is not changed.
 */
export function decodeConnect(json: Uint8Array, previous: Readonly<ConnectOptions>): ConnectDecodeResult {
  const text = utf8.decode(json);
  try {
    if (JSON.parse(text) === null) return { options: { ...previous }, error: null };
  } catch (error) {
    return { options: null, error: `invalid CONNECT JSON: ${(error as SyntaxError).message}` };
  }
  const options: ConnectOptions = { ...previous };
  let error = 'CONNECT JSON is not an object';
  const valid = forEachMember(text, (name, source) => {
    const assign = FIELDS.get(name);
    if (assign === undefined || source === 'null' || assign(options, source)) return true;
    error = `invalid value for CONNECT field "${name}"`;
    return false;
  });
  return valid ? { options, error: null } : { options: null, error };
}

/** What a well-formed CONNECT is refused for: the `-ERR` text and why the connection closes. */
export interface ConnectViolation {
  error: string;
  reason: CloseReason;
}

/**
 * The rules an authenticated CONNECT must keep, in nats-server's order; null when it keeps them.
 *
 * @param headersSupported false with `no_header_support`.
 */
export function connectViolation(
  options: Readonly<ConnectOptions>,
  headersSupported: boolean,
): ConnectViolation | null {
  if (options.account !== '' || options.newAccount) {
    return { error: ERR.authorizationViolation, reason: CLOSE_REASON.authenticationFailure };
  }
  if (options.protocol !== 0 && options.protocol !== 1) {
    return { error: ERR.invalidClientProtocol, reason: CLOSE_REASON.badClientProtocolVersion };
  }
  if (options.noResponders && !(options.headers && headersSupported)) {
    return { error: ERR.noRespondersRequiresHeaders, reason: CLOSE_REASON.noRespondersRequiresHeaders };
  }
  return null;
}
