import type { TlsOptions } from '../../shared/base/options.ts';
import {
  type ConfEntry,
  type ConfMap,
  type ConfValue,
  goTypeName,
  goValueText,
  type Position,
} from './conf-value.ts';
import { nanosecondsToMs, parseDuration } from './duration.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { booleanRow, checkedBy, row } from './row.ts';
import { cipherList, readAuthorities, readPair, supportsCipher, supportsGroup } from './tls-material.ts';
import { CURVE_GROUPS, INSECURE_SUITES, SECURE_SUITES, TLS13_SUITES } from './tls-names.ts';
import { array, boolean, integer, isText, map, secondsOrDuration, text } from './value.ts';

/** The `tls` block, the same for every listener and remote. Facts: configuration reference §3.2. */

const TLS_DEFAULT_TIMEOUT_MS = 2000;
/** `handshake_first: auto`: how long a client may take to begin a handshake before INFO is sent. */
const HANDSHAKE_FIRST_AUTO_MS = 50;
const PINNED_CERT = /^[0-9a-f]{64}$/i;

export interface TlsDraft {
  certFile: string;
  keyFile: string;
  caFile: string;
  certs: { certFile: string; keyFile: string }[];
  verify: boolean;
  timeoutMs: number;
  connectionRateLimit: number;
  ciphers: string[];
  insecureCiphers: string[];
  allowInsecureCiphers: boolean;
  curves: string[];
  pinnedCerts: string[];
  minVersion: 'TLSv1.2' | 'TLSv1.3';
  handshakeFirstMs: number | null;
  checksKnownUrls: boolean;
}

function wrongFilename(name: string): string {
  return `error parsing tls config, expected '${name}' to be filename`;
}

const CERTIFICATE_ROWS: OptionRow<{ certFile: string; keyFile: string }>[] = [
  row({
    name: 'cert_file',
    type: 'path',
    doc: 'PEM file of one certificate chain.',
    read: (_reader, entry, draft) => {
      draft.certFile = certificatePath(entry.value);
    },
  }),
  row({
    name: 'key_file',
    type: 'path',
    doc: 'PEM file of its private key.',
    read: (_reader, entry, draft) => {
      draft.keyFile = certificatePath(entry.value);
    },
  }),
];

function certificatePath(value: ConfValue): string {
  if (isText(value)) return text(value);
  throw new OptionError(`error parsing certificates config: unsupported type ${goTypeName(value)}`);
}

const OCSP_PEER_ROWS: OptionRow<unknown>[] = [
  checkedBy(
    'verify',
    'boolean',
    'Check the revocation state of peer certificates.',
    (_r, e) => void boolean(e.value),
  ),
  checkedBy('ca_timeout', 'number or duration', 'Wait for the responder.', checkSeconds, { default: '2' }),
  checkedBy('allowed_clockskew', 'number or duration', 'Tolerated clock difference.', checkSeconds, {
    default: '30',
  }),
  checkedBy('warn_only', 'boolean', 'Let revoked peers in with a warning.', (_r, e) => void boolean(e.value)),
  checkedBy('unknown_is_good', 'boolean', 'Unknown state passes.', (_r, e) => void boolean(e.value)),
  checkedBy(
    'allow_when_ca_unreachable',
    'boolean',
    'Pass when no responder answers.',
    (_r, e) => void boolean(e.value),
  ),
  checkedBy('cache_ttl_when_next_update_unset', 'number or duration', 'Cache life.', checkSeconds, {
    default: '3600',
  }),
];

function checkSeconds(_reader: Reader, entry: ConfEntry): void {
  secondsOrDuration(
    entry.value,
    `error parsing tls peer config, unexpected type for ${quote(entry.key)}`,
    (reason) => `error parsing tls peer config, ${quote(entry.key)}: ${reason}`,
  );
}

function fileRow(
  field: 'certFile' | 'keyFile' | 'caFile',
  name: string,
  doc: string,
  defaultText = '',
): OptionRow<TlsDraft> {
  return row({
    name,
    type: 'path',
    default: defaultText,
    reload: 'yes',
    doc,
    read: (_reader, entry, draft) => {
      if (!isText(entry.value)) throw new OptionError(wrongFilename(name));
      draft[field] = text(entry.value);
    },
  });
}

/** Rows of a `tls` block. */
export const TLS_ROWS: OptionRow<TlsDraft>[] = [
  fileRow('certFile', 'cert_file', 'PEM file of the certificate chain.'),
  fileRow('keyFile', 'key_file', 'PEM file of the private key.'),
  fileRow(
    'caFile',
    'ca_file',
    'PEM file of the authorities that client certificates are verified against.',
    'system roots',
  ),
  row({
    name: 'certs',
    aliases: ['certificates'],
    type: 'array of maps',
    reload: 'yes',
    doc: 'Several certificate pairs; exclusive with `cert_file`.',
    children: CERTIFICATE_ROWS,
    read: readCertificates,
  }),
  booleanRow('verify', {
    name: 'verify',
    reload: 'yes',
    doc: 'Require and verify a client certificate.',
  }),
  row({
    name: 'verify_and_map',
    type: 'boolean',
    default: 'false',
    reload: 'yes',
    doc: 'Verify, and take the user from the certificate.',
    read: (_reader, entry, draft) => {
      if (boolean(entry.value)) draft.verify = true;
    },
  }),
  row({
    name: 'verify_cert_and_check_known_urls',
    type: 'boolean',
    default: 'false',
    reload: 'yes',
    doc: 'Cluster and gateway only: the certificate must fit a known URL.',
    read: (_reader, entry, draft) => {
      draft.verify = boolean(entry.value) || draft.verify;
      draft.checksKnownUrls = boolean(entry.value);
    },
  }),
  checkedBy(
    'insecure',
    'boolean',
    'As a client: do not verify the server.',
    (_reader, entry) => void boolean(entry.value),
    { default: 'false', reload: 'yes' },
  ) as OptionRow<TlsDraft>,
  row({
    name: 'timeout',
    type: 'number or duration',
    default: '2',
    reload: 'yes',
    doc: 'Seconds a handshake may take.',
    read: (_reader, entry, draft) => {
      draft.timeoutMs = secondsOrDuration(
        entry.value,
        "error parsing tls config, 'timeout' wrong type",
        (reason) => `error parsing tls config, 'timeout' ${reason}`,
      );
    },
  }),
  row({
    name: 'connection_rate_limit',
    type: 'integer',
    default: '0',
    doc: 'New handshakes per second on the client listener; 0 is off.',
    read: (_reader, entry, draft) => {
      if (entry.value.kind !== 'integer') {
        throw new OptionError("error parsing tls config, 'connection_rate_limit' wrong type");
      }
      draft.connectionRateLimit = Math.max(0, integer(entry.value));
    },
  }),
  row({
    name: 'cipher_suites',
    type: 'array of strings',
    default: "OpenSSL's default",
    reload: 'yes',
    doc: 'IANA names of TLS 1.2 suites; those of TLS 1.3 are always on.',
    read: readCipherSuites,
  }),
  booleanRow('allowInsecureCiphers', {
    name: 'allow_insecure_cipher_suites',
    reload: 'yes',
    doc: 'Allow suites without forward secrecy or with weak ciphers in the list.',
  }),
  row({
    name: 'curve_preferences',
    type: 'array of strings',
    default: "OpenSSL's default",
    reload: 'yes',
    doc: `Key exchange groups in order: ${[...CURVE_GROUPS.keys()].join(', ')}.`,
    read: readCurves,
  }),
  row({
    name: 'pinned_certs',
    type: 'array of strings',
    reload: 'yes',
    doc: 'Hex SHA-256 of the SubjectPublicKeyInfo of the client certificates that may connect.',
    read: readPinnedCerts,
  }),
  row({
    name: 'min_version',
    type: '`"1.2"` or `"1.3"`',
    default: '1.2',
    reload: 'yes',
    doc: 'Lowest protocol version.',
    read: (_reader, entry, draft) => {
      draft.minVersion = tlsVersion(entry.value);
    },
  }),
  row({
    name: 'handshake_first',
    aliases: ['first', 'immediate'],
    type: 'boolean, `auto` or duration',
    default: 'false',
    reload: 'yes',
    doc: 'Handshake before INFO: always, or when the client begins one within the time (`auto` is 50ms).',
    read: (_reader, entry, draft) => {
      draft.handshakeFirstMs = handshakeFirst(entry);
    },
  }),
  row({
    name: 'ocsp_peer',
    type: 'boolean or map',
    default: 'false',
    reload: 'yes',
    doc: 'Check revocation of client certificates.',
    children: OCSP_PEER_ROWS,
    read: readOcspPeer,
  }),
  ...['cert_store', 'cert_match_by', 'cert_match', 'cert_match_skip_invalid', 'ca_certs_match'].map((name) =>
    row<TlsDraft>({
      name,
      type: 'Windows only',
      doc: 'Certificate store of Windows.',
      read: () => {
        throw new OptionError(
          name === 'cert_store'
            ? 'cert store type not implemented'
            : `${name} is for the certificate store of Windows only`,
        );
      },
    }),
  ),
];

function readCertificates(reader: Reader, entry: ConfEntry, draft: TlsDraft): void {
  // nats-server's wording, whatever the type.
  const list = array(
    entry.value,
    'error parsing certificates config: unsupported type map[string]interface {}',
  );
  for (const element of list.values) {
    reader.attempt(element, () => {
      const block = map(
        element,
        `error parsing certificates config: unsupported type ${goTypeName(element)}`,
      );
      const pair = { certFile: '', keyFile: '' };
      const errorsBefore = reader.errors.length;
      reader.readBlock(block, CERTIFICATE_ROWS, pair, {
        path: 'tls.certs',
        unknown: (name) => `error parsing tls certs config, unknown field ${name}`,
      });
      if (reader.errors.length > errorsBefore) return;
      if (pair.certFile === '' || pair.keyFile === '') {
        throw new OptionError(
          "error parsing certificates config: both 'cert_file' and 'cert_key' options are required",
        );
      }
      draft.certs.push(pair);
    });
  }
}

function readCipherSuites(reader: Reader, entry: ConfEntry, draft: TlsDraft): void {
  const list = array(entry.value).values;
  if (list.length === 0) throw new OptionError("error parsing tls config, 'cipher_suites' cannot be empty");
  for (const element of list) {
    reader.attempt(element, () => {
      const name = text(element);
      if (TLS13_SUITES.includes(name)) return;
      const secure = SECURE_SUITES.get(name);
      const opensslName = secure ?? INSECURE_SUITES.get(name);
      if (opensslName === undefined) throw new OptionError(`unrecognized cipher ${name}`);
      if (secure === undefined) draft.insecureCiphers.push(name);
      if (supportsCipher(opensslName)) draft.ciphers.push(opensslName);
      else
        reader.notices.push(
          noticeText(element.position, `cipher ${name} is not in this OpenSSL and is left out`),
        );
    });
  }
}

function readCurves(reader: Reader, entry: ConfEntry, draft: TlsDraft): void {
  const list = array(entry.value).values;
  if (list.length === 0) {
    throw new OptionError("error parsing tls config, 'curve_preferences' cannot be empty");
  }
  for (const element of list) {
    reader.attempt(element, () => {
      const name = text(element);
      const group = CURVE_GROUPS.get(name);
      if (group === undefined) throw new OptionError(`unrecognized curve preference ${name}`);
      if (supportsGroup(group)) draft.curves.push(group);
      else
        reader.notices.push(
          noticeText(element.position, `curve ${name} is not in this OpenSSL and is left out`),
        );
    });
  }
  if (
    draft.curves.length === 0 &&
    list.every((element) => element.kind === 'string' && CURVE_GROUPS.has(element.value))
  ) {
    throw new OptionError('error parsing tls config, this OpenSSL has none of the curve_preferences');
  }
}

function noticeText(position: Position, reason: string): string {
  return `${position.file}:${position.line}:${position.column}: ${reason}`;
}

function readPinnedCerts(reader: Reader, entry: ConfEntry, draft: TlsDraft): void {
  const list = array(
    entry.value,
    "error parsing tls config, expected 'pinned_certs' to be a list of hex-encoded sha256 of DER encoded SubjectPublicKeyInfo",
  );
  for (const element of list.values) {
    reader.attempt(element, () => {
      const pin = text(element);
      if (!PINNED_CERT.test(pin)) {
        throw new OptionError(
          `error parsing tls config, 'pinned_certs' key ${pin.toLowerCase()} does not look like hex-encoded sha256 of DER encoded SubjectPublicKeyInfo`,
        );
      }
      draft.pinnedCerts.push(pin.toLowerCase());
    });
  }
}

function tlsVersion(value: ConfValue): TlsDraft['minVersion'] {
  if (!isText(value)) {
    throw new OptionError(`error parsing tls config: 'min_version' wrong type: ${goValueText(value)}`);
  }
  const version = text(value);
  if (version === '1.2') return 'TLSv1.2';
  if (version === '1.3') return 'TLSv1.3';
  if (version === '1.0' || version === '1.1') {
    throw new OptionError(`error parsing tls config: unsupported TLS version: TLS ${version}`);
  }
  throw new OptionError(`error parsing tls config: unknown version: ${version}`);
}

function handshakeFirst(entry: ConfEntry): number | null {
  const { value } = entry;
  if (value.kind === 'boolean') return value.value ? 0 : null;
  if (value.kind !== 'string') {
    throw new OptionError(
      `field ${quote(entry.key)} should be a boolean or a string, got ${goTypeName(value)}`,
    );
  }
  const word = value.value.trim().toLowerCase();
  if (word === 'true' || word === 'on') return 0;
  if (word === 'false' || word === 'off') return null;
  if (word === 'auto' || word === 'auto_fallback') return HANDSHAKE_FIRST_AUTO_MS;
  const result = parseDuration(word);
  if ('error' in result) {
    throw new OptionError(`field ${quote(entry.key)}'s value ${quote(value.value)} is invalid`);
  }
  return nanosecondsToMs(result.nanoseconds);
}

function readOcspPeer(reader: Reader, entry: ConfEntry): void {
  const { value } = entry;
  if (value.kind === 'boolean') return;
  const block = map(value, `error parsing ocsp peer config: unsupported type map[string]interface {}`);
  reader.readBlock(block, OCSP_PEER_ROWS, null, {
    path: 'tls.ocsp_peer',
    unknown: (name) => `error parsing tls peer config, unknown field [${name}]`,
  });
}

/** Where a `tls` block stands, which decides what it may contain and what it needs. */
export interface TlsContext {
  path: string;
  /** Cluster and gateway: certificates are always verified, and known URLs may be checked. */
  isServerToServer: boolean;
}

/**
 * Reads a `tls` block and the files it names.
 *
 * @returns `null` when the block has errors, which are then in the reader
 */
export function readTls(reader: Reader, entry: ConfEntry, context: TlsContext): TlsOptions | null {
  const errorsBefore = reader.errors.length;
  const draft = emptyTlsDraft();
  const block: ConfMap = map(entry.value);
  reader.readBlock(block, TLS_ROWS, draft, {
    path: context.path,
    unknown: (name) => `error parsing tls config, unknown field ${name}`,
  });
  if (draft.checksKnownUrls && !context.isServerToServer) {
    const key = [...block.entries.values()].find(
      (e) => e.key.toLowerCase() === 'verify_cert_and_check_known_urls',
    );
    reader.error(key!.position, 'verify_cert_and_check_known_urls not supported in this context');
  }
  if (reader.errors.length > errorsBefore) return null;
  if (draft.insecureCiphers.length > 0 && !draft.allowInsecureCiphers) {
    throw new OptionError(
      `insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: ${draft.insecureCiphers.join(', ')}`,
    );
  }
  return resolveTls(draft, reader.readFile);
}

export function emptyTlsDraft(): TlsDraft {
  return {
    certFile: '',
    keyFile: '',
    caFile: '',
    certs: [],
    verify: false,
    timeoutMs: TLS_DEFAULT_TIMEOUT_MS,
    connectionRateLimit: 0,
    ciphers: [],
    insecureCiphers: [],
    allowInsecureCiphers: false,
    curves: [],
    pinnedCerts: [],
    minVersion: 'TLSv1.2',
    handshakeFirstMs: null,
    checksKnownUrls: false,
  };
}

/** Reads the files of a draft. @throws OptionError with nats-server's text for what is missing or doesn't fit */
export function resolveTls(draft: TlsDraft, readFile: (path: string) => Uint8Array): TlsOptions {
  if (draft.certs.length > 0 && draft.certFile !== '') {
    throw new OptionError("error parsing tls config, cannot combine 'cert_file' option with 'certs' option");
  }
  if (draft.certFile !== '' && draft.keyFile === '') {
    throw new OptionError("missing 'key_file' in TLS configuration");
  }
  if (draft.certFile === '' && draft.keyFile !== '') {
    throw new OptionError("missing 'cert_file' in TLS configuration");
  }
  const certs = draft.certs.map((pair, index) =>
    readPair(readFile, pair.certFile, pair.keyFile, ` ${index + 1}/${draft.certs.length}`),
  );
  if (draft.certFile !== '') certs.push(readPair(readFile, draft.certFile, draft.keyFile));
  return {
    certs,
    ca: draft.caFile === '' ? '' : readAuthorities(readFile, draft.caFile),
    caFile: draft.caFile,
    verify: draft.verify,
    timeoutMs: draft.timeoutMs > 0 ? draft.timeoutMs : TLS_DEFAULT_TIMEOUT_MS,
    ciphers: draft.ciphers.length === 0 ? '' : cipherList(draft.ciphers),
    curves: draft.curves.join(':'),
    minVersion: draft.minVersion,
    pinnedCerts: draft.pinnedCerts,
    handshakeFirstMs: draft.handshakeFirstMs,
    connectionRateLimit: draft.connectionRateLimit,
  };
}

/** A checked-only `tls` row of a block natsd doesn't act on. */
export function checkedTlsRow(path: string, isServerToServer: boolean, reload = 'yes'): OptionRow<unknown> {
  return checkedBy(
    'tls',
    'map',
    'TLS of this listener; the options of the top-level `tls` block.',
    (reader, entry) => {
      readTls(reader, entry, { path, isServerToServer });
    },
    { reload },
  );
}
