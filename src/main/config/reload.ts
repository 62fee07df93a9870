import { createHash } from 'node:crypto';
import {
  type AuthorizationOptions,
  DEFAULT_SYSTEM_ACCOUNT,
  type LogOptions,
  type ServerOptions,
  type TlsOptions,
} from '../../shared/base/options.ts';
import { formatDurationMs } from './duration.ts';
import { jetStreamChanges, jetStreamReloadProblem } from './jetstream-reload.ts';

/**
 * What a reload changes: either the first option that a running server can't change, which refuses the whole reload, or
 * the list of what changed, worded as nats-server logs it. Facts: configuration reference §7.
 *
 * Fields are compared in nats-server's order, since only the first refusal is reported. Users and accounts are always
 * listed: after a reload every client is authenticated again, whatever changed.
 */

/** A part of the server that has to act on a reload. */
export type ReloadSubject =
  | 'info'
  | 'log'
  | 'limits'
  | 'authorization'
  | 'pings'
  | 'files'
  | 'tls'
  | 'writes'
  | 'monitoring';

export interface ReloadChange {
  subject: ReloadSubject;
  /** The log line: `Reloaded: debug = true`. */
  text: string;
}

export type ReloadResult = { changes: ReloadChange[] } | { error: string };

type Print = (options: ServerOptions) => string;

/** A field that a reload may not change, by nats-server's internal name. */
interface FixedField {
  name: string;
  print: Print;
}

const fixed = (name: string, print: Print): FixedField => ({ name, print });

/** `SystemAccount` as configured: a made-up `$SYS` is nothing configured, and `$SYS` may come and go. */
function configuredSystemAccount(options: ServerOptions): string {
  return options.systemAccount === DEFAULT_SYSTEM_ACCOUNT ? '' : options.systemAccount;
}

function goMap(values: Record<string, unknown>): string {
  const keys = Object.keys(values).sort();
  return `map[${keys.map((key) => `${key}:${String(values[key])}`).join(' ')}]`;
}

/** What of the `mqtt` block can't change; TLS material, `max_ack_pending` and the like can. */
function fixedMqtt({ mqtt }: ServerOptions): string {
  if (mqtt === null) return '';
  const { host, port, tls, authTimeoutMs, noAuthUser, jsApiTimeoutMs, jsDomain } = mqtt;
  const { rejectQos2Publish, downgradeQos2Subscribe } = mqtt;
  const delivery = { rejectQos2Publish, downgradeQos2Subscribe };
  const login = { authTimeoutMs, noAuthUser };
  return goMap({ host, port, tls: tls !== null, jsApiTimeoutMs, jsDomain, ...login, ...delivery });
}

/** All but the certificates; secrets are only told apart, for the text goes to the log. */
function websocketBlock({ websocket }: ServerOptions): string {
  if (websocket === null) return '';
  const { tls, password, token, ...rest } = websocket;
  const digest = createHash('sha256')
    .update(JSON.stringify([password, token]))
    .digest('hex')
    .slice(0, 12);
  return JSON.stringify({ ...rest, tls: tls !== null, secrets: digest });
}

const FIXED_FIELDS: readonly FixedField[] = [
  fixed('ServerName', (o) => o.serverName),
  fixed('Host', (o) => o.host),
  fixed('Port', (o) => String(o.port)),
  fixed('NoSublistCache', (o) => String(o.disableSublistCache)),
  fixed('NoHeaderSupport', (o) => String(o.noHeaderSupport)),
  fixed('MaxSubs', (o) => String(o.maxSubscriptions)),
  fixed('MaxSubTokens', (o) => String(o.maxSubscriptionTokens)),
  fixed('SystemAccount', configuredSystemAccount),
  fixed('NoSystemAccount', (o) => String(o.systemAccount === '')),
  fixed('ProxyProtocol', (o) => String(o.proxyProtocol)),
  fixed('HTTPHost', (o) => o.monitor.host),
  fixed('HTTPPort', (o) => String(o.monitor.httpPort)),
  fixed('HTTPBasePath', (o) => (o.monitor.basePath === '/' ? '' : o.monitor.basePath)),
  fixed('HTTPSPort', (o) => String(o.monitor.httpsPort)),
  fixed('MaxPending', (o) => String(o.maxPendingBytes)),
  fixed('ProfPort', (o) => String(o.profPort)),
  fixed('LogSizeLimit', (o) => String(o.log.sizeLimitBytes)),
  fixed('LogMaxFiles', (o) => String(o.log.maxNum)),
  fixed('TLSRateLimit', (o) => String(o.tls?.connectionRateLimit ?? 0)),
  fixed('AllowNonTLS', (o) => String(o.allowNonTls)),
  fixed('WriteTimeout', (o) => (o.writeTimeout === 'default' ? '' : o.writeTimeout)),
  fixed('MaxClosedClients', (o) => String(o.maxClosedClients)),
  fixed('LameDuckDuration', (o) => formatDurationMs(o.lameDuckDurationMs)),
  fixed('LameDuckGracePeriod', (o) => formatDurationMs(o.lameDuckGracePeriodMs)),
  fixed('Websocket', websocketBlock),
  fixed('FeatureFlags', (o) => goMap(o.featureFlags)),
  fixed('MQTT', fixedMqtt),
  fixed('Shards', (o) => String(o.shards)),
  fixed('LogFormat', (o) => o.log.format),
];

/**
 * Compares the options in force with those of a reload.
 *
 * @returns the changes, or `config reload not supported for <Field>: old=<v>, new=<v>`
 */
export function diffOptions(before: ServerOptions, after: ServerOptions): ReloadResult {
  for (const { name, print } of FIXED_FIELDS) {
    const [old, fresh] = [print(before), print(after)];
    if (old !== fresh) return { error: notSupported(name, old, fresh) };
  }
  const problem = jetStreamReloadProblem(before, after) ?? noAuthUserProblem(before, after);
  if (problem !== null) return { error: problem };
  const changes: ReloadChange[] = [];
  const add = (subject: ReloadSubject, text: string) => void changes.push({ subject, text });
  if (before.clientAdvertise !== after.clientAdvertise) {
    add('info', `Reload: client_advertise = ${after.clientAdvertise}`);
  }
  diffLog(
    before.log,
    after.log,
    ['trace', 'debug', 'trace_verbose', 'trace_headers', 'logtime', 'logtime_utc'],
    add,
  );
  if (before.maxConnections !== after.maxConnections) {
    add('limits', `Reloaded: max_connections = ${after.maxConnections}`);
  }
  add('authorization', 'Reloaded: authorization users');
  add('authorization', 'Reloaded: accounts');
  for (const line of jetStreamChanges(before, after)) add('limits', line);
  diffCredentials(before.authorization, after.authorization, add);
  diffLimits(before, after, add);
  diffFiles(before, after, add);
  diffLog(before.log, after.log, ['log_file', 'syslog', 'remote_syslog'], add);
  diffTls(before.tls, after.tls, add);
  diffWebsocketTls(before.websocket?.tls ?? null, after.websocket?.tls ?? null, add);
  diffRest(before, after, add);
  return { changes };
}

function notSupported(name: string, old: string, fresh: string): string {
  return `config reload not supported for ${name}: old=${old}, new=${fresh}`;
}

/** It may only be dropped together with its user: connections without credentials must not change hands. */
function noAuthUserProblem(before: ServerOptions, after: ServerOptions): string | null {
  const configured = (options: ServerOptions) =>
    options.noAuthUserGenerated === true ? '' : options.noAuthUser;
  const [old, fresh] = [configured(before), configured(after)];
  if (old === fresh) return null;
  const userIsGone = !after.users.some((user) => user.user === old);
  return fresh === '' && userIsGone ? null : notSupported('NoAuthUser', old, fresh);
}

type Add = (subject: ReloadSubject, text: string) => void;

const LOG_FIELDS = {
  trace: 'trace',
  debug: 'debug',
  trace_verbose: 'traceVerbose',
  trace_headers: 'traceHeaders',
  logtime: 'logTime',
  logtime_utc: 'logTimeUtc',
  log_file: 'file',
  syslog: 'syslog',
  remote_syslog: 'remoteSyslog',
  max_traced_msg_len: 'maxTracedMsgLen',
  connect_error_reports: 'connectErrorReports',
  reconnect_error_reports: 'reconnectErrorReports',
} as const satisfies Record<string, keyof LogOptions>;

function diffLog(
  before: LogOptions,
  after: LogOptions,
  names: readonly (keyof typeof LOG_FIELDS)[],
  add: Add,
): void {
  for (const name of names) {
    const field = LOG_FIELDS[name];
    if (before[field] !== after[field]) add('log', `Reloaded: ${name} = ${after[field]}`);
  }
}

function diffCredentials(before: AuthorizationOptions, after: AuthorizationOptions, add: Add): void {
  if (before.user !== after.user) add('authorization', 'Reloaded: authorization username');
  if (before.password !== after.password) add('authorization', 'Reloaded: authorization password');
  if (before.token !== after.token) add('authorization', 'Reloaded: authorization token');
}

function diffLimits(before: ServerOptions, after: ServerOptions, add: Add): void {
  if (before.pingIntervalMs !== after.pingIntervalMs) {
    add('pings', `Reloaded: ping_interval = ${formatDurationMs(after.pingIntervalMs)}`);
  }
  if (before.pingMax !== after.pingMax) add('pings', `Reloaded: ping_max = ${after.pingMax}`);
  const timeoutMs = after.authorization.timeoutMs;
  if (before.authorization.timeoutMs !== timeoutMs) {
    add('authorization', `Reloaded: authorization timeout = ${timeoutMs / 1000}`);
  }
  if (before.maxControlLineBytes !== after.maxControlLineBytes) {
    add('limits', `Reloaded: max_control_line = ${after.maxControlLineBytes}`);
  }
  if (before.maxPayloadBytes !== after.maxPayloadBytes) {
    add('limits', `Reloaded: max_payload = ${after.maxPayloadBytes}`);
  }
  if (before.noFastProducerStall !== after.noFastProducerStall) {
    const not = after.noFastProducerStall ? 'not ' : '';
    add('writes', `Reloaded: fast producers will ${not}be stalled`);
  }
}

function diffFiles(before: ServerOptions, after: ServerOptions, add: Add): void {
  if (before.pidFile !== after.pidFile) add('files', `Reloaded: pid_file = ${after.pidFile}`);
  if (before.portsFileDir !== after.portsFileDir) {
    add('files', `Reloaded: ports_file_dir = ${after.portsFileDir}`);
  }
}

function diffTls(before: TlsOptions | null, after: TlsOptions | null, add: Add): void {
  if (before === null && after === null) return;
  if (before === null || after === null) {
    add('tls', `Reloaded: tls = ${after === null ? 'disabled' : 'enabled'}`);
    return;
  }
  if (before.timeoutMs !== after.timeoutMs) add('tls', `Reloaded: tls timeout = ${after.timeoutMs / 1000}`);
  if (tlsMaterial(before) !== tlsMaterial(after)) add('tls', 'Reloaded: tls = enabled');
  if (before.pinnedCerts.join() !== after.pinnedCerts.join()) {
    add('tls', `Reloaded: ${after.pinnedCerts.length} pinned_certs`);
  }
  if (before.handshakeFirstMs === after.handshakeFirstMs) return;
  const [old, fresh] = [before.handshakeFirstMs, after.handshakeFirstMs];
  if ((old === null) !== (fresh === null)) {
    add('tls', `Reloaded: Client TLS handshake first: ${fresh !== null}`);
  }
  if ((old ?? 0) !== (fresh ?? 0)) {
    add('tls', `Reloaded: Client TLS handshake first fallback delay: ${formatDurationMs(fresh ?? 0)}`);
  }
}

function diffWebsocketTls(before: TlsOptions | null, after: TlsOptions | null, add: Add): void {
  if (before === null || after === null) return;
  if (tlsMaterial(before) !== tlsMaterial(after)) add('tls', 'Reloaded: websocket tls');
  if (before.pinnedCerts.join() !== after.pinnedCerts.join()) {
    add('tls', `Reloaded: ${after.pinnedCerts.length} websocket pinned_certs`);
  }
}

/** Everything of a TLS configuration that makes a new secure context; certificates renewed in place included. */
function tlsMaterial(tls: TlsOptions): string {
  const { certs, ca, caFile, verify, ciphers, curves, minVersion } = tls;
  return JSON.stringify([certs, ca, caFile, verify, ciphers, curves, minVersion]);
}

function diffRest(before: ServerOptions, after: ServerOptions, add: Add): void {
  if (before.writeDeadlineMs !== after.writeDeadlineMs) {
    add('writes', `Reloaded: write_deadline = ${formatDurationMs(after.writeDeadlineMs)}`);
  }
  const names = ['max_traced_msg_len', 'connect_error_reports', 'reconnect_error_reports'] as const;
  diffLog(before.log, after.log, names, add);
  if (before.serverTags.join('\0') !== after.serverTags.join('\0')) add('monitoring', 'Reloaded: tags');
  if (goMap(before.serverMetadata) !== goMap(after.serverMetadata)) add('monitoring', 'Reloaded: metadata');
}
