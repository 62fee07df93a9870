import { createRequire } from 'node:module';
import type { WriteTimeoutPolicy } from '../../shared/base/options.ts';
import type { ConfEntry } from './conf-value.ts';
import { formatDurationMs } from './duration.ts';
import { writeTimeout } from './listener-rows.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import type { Reader } from './reader.ts';
import { boolean, duration, durationText, integer, port, text } from './value.ts';

/**
 * The schema of the scalar options: name, aliases, type, default, meaning, and whether a reload may change it.
 *
 * One table serves the file's reader, the layering of defaults, file and flags (convict) and the option reference.
 * convict sees only names of this table, never a user's, and is loaded only when there is a file to layer: without one,
 * defaults and flags are all there is, and a start without configuration shouldn't pay for it.
 */

export interface ScalarValues {
  server_name: string;
  host: string;
  port: number;
  client_advertise: string;
  shards: number;
  debug: boolean;
  trace: boolean;
  trace_verbose: boolean;
  trace_headers: boolean;
  logtime: boolean;
  logtime_utc: boolean;
  log_format: 'text' | 'json';
  log_file: string;
  log_size_limit: number;
  log_max_num: number;
  syslog: boolean;
  remote_syslog: string;
  max_traced_msg_len: number;
  pid_file: string;
  ports_file_dir: string;
  prof_port: number;
  prof_block_rate: number;
  http_port: number;
  https_port: number;
  http_base_path: string;
  max_connections: number;
  max_subscriptions: number;
  max_subscription_tokens: number;
  max_control_line: number;
  max_payload: number;
  max_pending: number;
  max_closed_clients: number;
  ping_interval: number;
  ping_max: number;
  write_deadline: number;
  write_timeout: WriteTimeoutPolicy;
  no_fast_producer_stall: boolean;
  lame_duck_duration: number;
  lame_duck_grace_period: number;
  allow_non_tls: boolean;
  no_header_support: boolean;
  disable_sublist_cache: boolean;
  proxy_protocol: boolean;
  connect_error_reports: number;
  reconnect_error_reports: number;
  no_auth_user: string;
  system_account: string;
  no_system_account: boolean;
}

export interface ScalarSpec<Value> {
  aliases: readonly string[];
  /** As the reference prints it. */
  type: string;
  default: Value;
  reload: string;
  doc: string;
  read(reader: Reader, entry: ConfEntry): Value;
  /** What is wrong with a value of the right type, wherever it came from. */
  problem?(value: Value): string | null;
  /** Zero (or empty) means "the default", as in nats-server. */
  zeroIsDefault?: boolean;
}

type Extra<Value> = Partial<Pick<ScalarSpec<Value>, 'aliases' | 'problem' | 'zeroIsDefault' | 'read'>> & {
  reload?: 'yes' | 'no';
};

const INT32_MAX = 2 ** 31 - 1;
const MIN_LAME_DUCK_MS = 30_000;
const MAX_SHARDS = 256;

function spec<Value>(
  type: string,
  read: ScalarSpec<Value>['read'],
  defaultValue: Value,
  doc: string,
  extra: Extra<Value>,
): ScalarSpec<Value> {
  return { aliases: [], type, default: defaultValue, reload: 'no', doc, read, ...extra };
}

const string = (defaultValue: string, doc: string, extra: Extra<string> = {}) =>
  spec('string', (_reader, entry) => text(entry.value), defaultValue, doc, extra);
const number = (defaultValue: number, doc: string, extra: Extra<number> = {}) =>
  spec('integer', (_reader, entry) => integer(entry.value), defaultValue, doc, extra);
const flag = (defaultValue: boolean, doc: string, extra: Extra<boolean> = {}) =>
  spec('boolean', (_reader, entry) => boolean(entry.value), defaultValue, doc, extra);
const portNumber = (defaultValue: number, doc: string, extra: Extra<number> = {}) =>
  spec('port', (_reader, entry) => port(integer(entry.value)), defaultValue, doc, {
    problem: portProblem,
    ...extra,
  });
const time = (defaultMs: number, doc: string, extra: Extra<number> = {}) =>
  spec('duration', duration, defaultMs, doc, extra);
const strictTime = (defaultMs: number, doc: string, extra: Extra<number> = {}) =>
  spec('duration', (_reader, entry) => durationText(entry.value, entry.key), defaultMs, doc, extra);

function portProblem(value: number): string | null {
  return value < -1 || value > 65_535
    ? `invalid port ${value}: it must be between 1 and 65535, or -1 for a random one`
    : null;
}

function tooBig(name: string): (value: number) => string | null {
  return (value) => (value > INT32_MAX ? `${name} value is too big` : null);
}

function negative(name: string): (value: number) => string | null {
  return (value) => (value < 0 ? `${name} can not be negative` : null);
}

export const SCALARS: { readonly [Name in keyof ScalarValues]: ScalarSpec<ScalarValues[Name]> } = {
  server_name: string('', 'Name of the server, without spaces; the server id when empty.', {
    problem: (name) => (name.includes(' ') ? 'server name cannot contain spaces' : null),
  }),
  host: string('0.0.0.0', 'Host of the client listener.', { aliases: ['net'], zeroIsDefault: true }),
  port: portNumber(4222, 'Port of the client listener; -1 is a random one.', { zeroIsDefault: true }),
  client_advertise: string('', 'Address given to clients instead of the listener’s, `host` or `host:port`.', {
    reload: 'yes',
  }),
  shards: number(0, 'natsd only. Threads that serve connections; 0 is one less than the cores, at least 1.', {
    problem: (count) =>
      count < 0 || count > MAX_SHARDS ? `shards must be between 0 and ${MAX_SHARDS}` : null,
  }),
  debug: flag(false, 'Log debug messages.', { reload: 'yes' }),
  trace: flag(false, 'Log protocol traces.', { reload: 'yes' }),
  trace_verbose: flag(false, 'Trace the system account too; sets `trace`.', { reload: 'yes' }),
  trace_headers: flag(false, 'Trace only the headers of payloads; sets `trace`.', { reload: 'yes' }),
  logtime: flag(true, 'Log lines carry date and time.', { reload: 'yes' }),
  logtime_utc: flag(false, 'Log time is UTC.', { reload: 'yes' }),
  log_format: spec<'text' | 'json'>(
    '`text` or `json`',
    (_reader, entry) => logFormat(text(entry.value)),
    'text',
    'natsd only. Log lines as nats-server writes them, or one JSON object each.',
    { problem: (format) => (format === 'text' || format === 'json' ? null : logFormatText(format)) },
  ),
  log_file: string('', 'Log to this file; standard error when empty.', {
    aliases: ['logfile'],
    reload: 'yes',
  }),
  log_size_limit: number(0, 'Bytes after which the log file is rotated; 0 is off.', {
    aliases: ['logfile_size_limit'],
    problem: negative('log_size_limit'),
  }),
  log_max_num: number(0, 'Log files kept, the current one included; 0 is all.', {
    aliases: ['logfile_max_num'],
    problem: negative('log_max_num'),
  }),
  syslog: flag(false, 'Log to the local syslog.', { reload: 'yes' }),
  remote_syslog: string('', 'Log to a syslog server: `udp://host:514`, `tcp://…`, `unix://…`.', {
    reload: 'yes',
  }),
  max_traced_msg_len: number(0, 'Bytes of a payload in traces; 0 is unlimited.', { reload: 'yes' }),
  pid_file: string('', 'File the process id is written to.', { aliases: ['pidfile'], reload: 'yes' }),
  ports_file_dir: string('', 'Directory of the file that names the open ports.', { reload: 'yes' }),
  prof_port: number(0, 'Port of the profiler.'),
  prof_block_rate: number(0, 'Rate of block profiling.', { reload: 'yes' }),
  http_port: portNumber(0, 'Port of the monitoring server; 0 is off, -1 a random one.', {
    aliases: ['monitor_port'],
  }),
  https_port: portNumber(0, 'Port of the monitoring server over TLS, which needs the top-level `tls` block.'),
  http_base_path: string('/', 'Prefix of the monitoring paths.', { zeroIsDefault: true }),
  max_connections: number(65_536, 'Client connections; 0 or negative refuses everyone.', {
    aliases: ['max_conn'],
    reload: 'yes',
  }),
  max_subscriptions: number(0, 'Subscriptions of a connection; 0 is unlimited.', { aliases: ['max_subs'] }),
  max_subscription_tokens: number(0, 'Tokens of a subscription’s subject, 1 to 255; off unless set.', {
    aliases: ['max_sub_tokens'],
    read: (_reader, entry) => subscriptionTokens(integer(entry.value)),
  }),
  max_control_line: number(4096, 'Bytes of a protocol line.', {
    reload: 'yes',
    zeroIsDefault: true,
    problem: (bytes) => tooBig('max_control_line')(bytes) ?? negative('max_control_line')(bytes),
  }),
  max_payload: number(1_048_576, 'Bytes of a message; negative is unlimited.', {
    reload: 'yes',
    zeroIsDefault: true,
    problem: tooBig('max_payload'),
  }),
  max_pending: number(67_108_864, 'Bytes that may wait for a client before it is a slow consumer.', {
    zeroIsDefault: true,
  }),
  max_closed_clients: number(10_000, 'Closed connections that monitoring remembers.', {
    zeroIsDefault: true,
    problem: negative('max_closed_clients'),
  }),
  ping_interval: time(120_000, 'Interval of the server’s pings.', {
    reload: 'yes',
    zeroIsDefault: true,
    problem: negative('ping_interval'),
  }),
  ping_max: number(2, 'Unanswered pings after which a connection is stale.', {
    reload: 'yes',
    zeroIsDefault: true,
  }),
  write_deadline: time(10_000, 'Time a write to a client may take.', {
    reload: 'yes',
    zeroIsDefault: true,
    problem: negative('write_deadline'),
  }),
  write_timeout: spec<WriteTimeoutPolicy>(
    '`default`, `close` or `retry`',
    (_reader, entry) => writeTimeout(entry),
    'default',
    'What happens when `write_deadline` passes; `default` closes clients.',
    {},
  ),
  no_fast_producer_stall: flag(false, 'Don’t slow down publishers for slow subscribers.', { reload: 'yes' }),
  lame_duck_duration: strictTime(
    120_000,
    'Time over which clients are closed in lame duck mode, at least 30s.',
    {
      zeroIsDefault: true,
      problem: (durationMs) =>
        durationMs !== 0 && durationMs < MIN_LAME_DUCK_MS
          ? `invalid lame_duck_duration of ${formatDurationMs(durationMs)}, minimum is 30 seconds`
          : null,
    },
  ),
  lame_duck_grace_period: strictTime(10_000, 'Wait before the first client is closed in lame duck mode.', {
    zeroIsDefault: true,
    problem: (durationMs) => (durationMs < 0 ? 'invalid lame_duck_grace_period, needs to be positive' : null),
  }),
  allow_non_tls: flag(false, 'Clients may come with or without TLS.'),
  no_header_support: flag(false, 'Switch message headers off.'),
  disable_sublist_cache: flag(false, 'Switch the cache of routes per subject off.', {
    aliases: ['no_sublist_cache'],
  }),
  proxy_protocol: flag(false, 'Client connections begin with a PROXY protocol header.'),
  connect_error_reports: number(3600, 'Failed attempts to connect to a peer between two log lines.', {
    reload: 'yes',
    zeroIsDefault: true,
  }),
  reconnect_error_reports: number(1, 'The same for reconnects.', { reload: 'yes', zeroIsDefault: true }),
  no_auth_user: string('', 'User of connections without credentials.'),
  system_account: string('', 'Account of system events; `$SYS` when empty.', { aliases: ['system'] }),
  no_system_account: flag(false, 'No system account.', { aliases: ['no_system', 'no_sys_acc'] }),
};

function logFormatText(format: string): string {
  return `log_format must be 'text' or 'json', not ${quote(format)}`;
}

function logFormat(format: string): 'text' | 'json' {
  if (format === 'text' || format === 'json') return format;
  throw new OptionError(logFormatText(format));
}

function subscriptionTokens(count: number): number {
  if (count > 255) throw new OptionError('max_subscription_tokens value is too big');
  if (count <= 0) throw new OptionError('max_subscription_tokens value can not be negative');
  return count;
}

/** What is wrong with an advertised address, or `null`. An empty one and a missing port are fine. */
export function advertiseProblem(advertise: string): string | null {
  const bare = advertise.replace(/^\[[^[\]]*\]/, '');
  if (bare.split(':').length > 2) return `address ${advertise}: too many colons in address`;
  const portText = bare.includes(':') ? bare.slice(bare.indexOf(':') + 1) : '';
  if (portText === '') return null;
  if (!/^-?\d+$/.test(portText)) return `strconv.Atoi: parsing ${quote(portText)}: invalid syntax`;
  return portProblem(Number(portText));
}

export const SCALAR_NAMES = Object.keys(SCALARS) as (keyof ScalarValues)[];

/** Defaults under `values`, zero taken for the default where nats-server does. */
function withDefaults(values: Partial<ScalarValues>): ScalarValues {
  const result: Record<string, unknown> = Object.create(null);
  for (const name of SCALAR_NAMES) {
    const scalar = SCALARS[name];
    const value = values[name];
    const isUnset = value === undefined || (scalar.zeroIsDefault === true && (value === 0 || value === ''));
    result[name] = isUnset ? scalar.default : value;
  }
  return result as unknown as ScalarValues;
}

/** Layers defaults, file and flags. Values have passed their `problem` check; a value of the wrong type is a programmer's error. */
export function layerScalars(file: Partial<ScalarValues> | null, flags: Partial<ScalarValues>): ScalarValues {
  if (file === null) return withDefaults(flags);
  const convict = createRequire(import.meta.url)('convict') as typeof import('convict');
  const schema: Record<string, { doc: string; default: unknown; format: (value: unknown) => void }> = {};
  for (const name of SCALAR_NAMES) {
    const { doc, default: defaultValue } = SCALARS[name];
    schema[name] = { doc, default: defaultValue, format: sameType(name, typeof defaultValue) };
  }
  const layered = convict(schema, { args: [], env: {} });
  layered.load({ ...file });
  layered.load({ ...flags });
  layered.validate({ allowed: 'strict' });
  return withDefaults(layered.getProperties() as Partial<ScalarValues>);
}

function sameType(name: string, type: string): (value: unknown) => void {
  return (value) => {
    if (typeof value !== type) throw new TypeError(`${name} must be a ${type}`);
  };
}
