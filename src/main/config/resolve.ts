import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { isBcrypt } from '../../shared/auth/authenticate.ts';
import {
  type AccountOptions,
  DEFAULT_SYSTEM_ACCOUNT,
  GLOBAL_ACCOUNT,
  type JetStreamServerOptions,
  type LogOptions,
  MQTT_INTERNAL_ACCOUNT,
  type ServerOptions,
  type TlsOptions,
  UNLIMITED_JETSTREAM,
  type UserOptions,
} from '../../shared/base/options.ts';
import { plainAccount } from './accounts-block.ts';
import type { CommandFlags, TlsFlags } from './command-line.ts';
import type { ConfigDraft } from './draft.ts';
import { DEFAULT_REQUEST_QUEUE_LIMIT, type JetStreamDraft } from './jetstream-block.ts';
import { OptionError } from './option-error.ts';
import { layerScalars, type ScalarValues } from './scalars.ts';
import { emptyTlsDraft, resolveTls } from './tls-block.ts';

/** Defaults, file and flags amount to the options of one server. What they may not amount to is in start-checks.ts. */

const AUTH_TIMEOUT_MS = 2000;
const AUTH_TIMEOUT_AFTER_TLS_MS = 1000;

/** Whether the start-up log should warn of passwords in clear; tokens alone don't count. */
export function hasPlaintextPasswords(options: ServerOptions): boolean {
  const { password } = options.authorization;
  if (password !== '' && !isBcrypt(password)) return true;
  return options.users.some((user) => {
    if (options.noAuthUserGenerated && user.user === options.noAuthUser) return false;
    return !isBcrypt(user.password);
  });
}

export interface ResolveContext {
  /** `null` without a configuration file. */
  draft: ConfigDraft | null;
  configDigest: string;
  flags: CommandFlags;
  readFile: (path: string) => Uint8Array;
  /** Name of the generated user of the configuration before a reload; empty at the start. */
  generatedUser: string;
}

/** @throws OptionError when the flags' TLS files are missing or don't fit */
export function resolveOptions(context: ResolveContext, draft: ConfigDraft): ServerOptions {
  const { flags } = context;
  const scalars = layerScalars(context.draft === null ? null : draft.scalars, flags.scalars);
  const tls = flagsTls(flags.tls, context.readFile) ?? draft.tls;
  const systemAccount = systemAccountName(scalars, draft);
  const jetStream = jetStreamOptions(draft.jetStream, flags);
  const options: ServerOptions = {
    ...plainOptions(scalars),
    configFile: flags.configFile,
    configDigest: context.configDigest,
    serverTags: draft.serverTags,
    serverMetadata: draft.serverMetadata,
    featureFlags: draft.featureFlags,
    noAuthUser: scalars.no_auth_user,
    noAuthUserGenerated: false,
    systemAccount,
    authorization: {
      ...draft.authorization,
      user: flags.user === '' ? draft.authorization.user : flags.user,
      password: flags.password === '' ? draft.authorization.password : flags.password,
      token: flags.token === '' ? draft.authorization.token : flags.token,
      timeoutMs: draft.hasAuthorizationTimeout ? draft.authorization.timeoutMs : defaultAuthTimeoutMs(tls),
    },
    users: [...draft.users],
    accounts: accountList(draft, systemAccount, jetStream !== null),
    tls,
    jetStream,
    mqtt: draft.mqtt.port === 0 ? null : draft.mqtt,
    websocket: draft.websocket === null || draft.websocket.port === 0 ? null : draft.websocket,
    log: logOptions(scalars),
    monitor: {
      host: draft.monitorHost === null || draft.monitorHost === '' ? scalars.host : draft.monitorHost,
      httpPort: scalars.http_port,
      httpsPort: scalars.https_port,
      basePath: normalBasePath(scalars.http_base_path),
    },
  };
  if (options.mqtt !== null) options.accounts.push(plainAccount(MQTT_INTERNAL_ACCOUNT));
  if (needsGeneratedUser(options, draft, scalars)) addGeneratedUser(options, context.generatedUser);
  return options;
}

type PlainOptions = Omit<
  ServerOptions,
  | 'configFile'
  | 'configDigest'
  | 'serverTags'
  | 'serverMetadata'
  | 'featureFlags'
  | 'noAuthUser'
  | 'noAuthUserGenerated'
  | 'systemAccount'
  | 'authorization'
  | 'users'
  | 'accounts'
  | 'tls'
  | 'jetStream'
  | 'mqtt'
  | 'websocket'
  | 'log'
  | 'monitor'
>;

function plainOptions(scalars: ScalarValues): PlainOptions {
  return {
    serverName: scalars.server_name,
    host: scalars.host,
    port: scalars.port,
    clientAdvertise: scalars.client_advertise,
    shards: scalars.shards,
    maxConnections: scalars.max_connections,
    maxSubscriptions: scalars.max_subscriptions,
    maxSubscriptionTokens: scalars.max_subscription_tokens,
    maxControlLineBytes: scalars.max_control_line,
    maxPayloadBytes: scalars.max_payload,
    maxPendingBytes: scalars.max_pending,
    maxClosedClients: scalars.max_closed_clients,
    pingIntervalMs: scalars.ping_interval,
    pingMax: scalars.ping_max,
    writeDeadlineMs: scalars.write_deadline,
    writeTimeout: scalars.write_timeout,
    noFastProducerStall: scalars.no_fast_producer_stall,
    lameDuckDurationMs: scalars.lame_duck_duration,
    lameDuckGracePeriodMs: scalars.lame_duck_grace_period,
    allowNonTls: scalars.allow_non_tls,
    noHeaderSupport: scalars.no_header_support,
    disableSublistCache: scalars.disable_sublist_cache,
    proxyProtocol: scalars.proxy_protocol,
    pidFile: scalars.pid_file,
    portsFileDir: scalars.ports_file_dir,
    profPort: scalars.prof_port,
  };
}

function logOptions(scalars: ScalarValues): LogOptions {
  return {
    file: scalars.log_file,
    debug: scalars.debug,
    trace: scalars.trace || scalars.trace_verbose || scalars.trace_headers,
    traceVerbose: scalars.trace_verbose,
    traceHeaders: scalars.trace_headers,
    maxTracedMsgLen: scalars.max_traced_msg_len,
    logTime: scalars.logtime,
    logTimeUtc: scalars.logtime_utc,
    format: scalars.log_format,
    sizeLimitBytes: scalars.log_size_limit,
    maxNum: scalars.log_max_num,
    syslog: scalars.syslog,
    remoteSyslog: scalars.remote_syslog,
    connectErrorReports: scalars.connect_error_reports,
    reconnectErrorReports: scalars.reconnect_error_reports,
  };
}

function defaultAuthTimeoutMs(tls: TlsOptions | null): number {
  return tls === null ? AUTH_TIMEOUT_MS : tls.timeoutMs + AUTH_TIMEOUT_AFTER_TLS_MS;
}

function normalBasePath(path: string): string {
  const trimmed = path.replace(/\/+$/, '');
  return trimmed.startsWith('/') ? trimmed : `/${trimmed}`;
}

/** A declared `$SYS` is the system account even with `no_system_account`, which only keeps one from being made up. */
function systemAccountName(scalars: ScalarValues, draft: ConfigDraft): string {
  if (scalars.system_account !== '') return scalars.system_account;
  if (draft.accounts.has(DEFAULT_SYSTEM_ACCOUNT)) return DEFAULT_SYSTEM_ACCOUNT;
  return scalars.no_system_account ? '' : DEFAULT_SYSTEM_ACCOUNT;
}

/** Flags win; without a directory the store is a temporary one. */
function jetStreamOptions(draft: JetStreamDraft, flags: CommandFlags): JetStreamServerOptions | null {
  const { enabled, storeDir, requestQueueLimit, infoQueueLimit, key, previousKey, cipher, ...rest } = draft;
  if (!enabled && !flags.features.has('jetstream')) return null;
  const directory = flags.features.get('store_dir') ?? storeDir;
  const requests = requestQueueLimit || DEFAULT_REQUEST_QUEUE_LIMIT;
  return {
    ...rest,
    requestQueueLimit: requests,
    infoQueueLimit: infoQueueLimit || requests,
    storeDir: join(directory === '' ? join(tmpdir(), 'nats') : resolve(directory), 'jetstream'),
    isTemporary: directory === '',
    encryption: key === '' ? null : { cipher, key, previousKey },
  };
}

/**
 * The default account has JetStream when there is no other that could: with accounts of its own, a configuration says which.
 */
function accountList(draft: ConfigDraft, systemAccount: string, hasJetStream: boolean): AccountOptions[] {
  const isAlone = [...draft.accounts.keys()].every((name) => name === systemAccount);
  const accounts = [
    {
      ...plainAccount(GLOBAL_ACCOUNT),
      jetStream: hasJetStream && isAlone ? { ...UNLIMITED_JETSTREAM } : null,
      mappings: draft.mappings,
    },
    ...draft.accounts.values(),
  ];
  const isKnown = accounts.some((account) => account.name === systemAccount);
  if (systemAccount === DEFAULT_SYSTEM_ACCOUNT && !isKnown) accounts.push(plainAccount(systemAccount));
  return accounts;
}

/**
 * With a system account declared and nothing else, its users mustn't lock everyone else out of the default account:
 * nats-server lets connections without credentials in as a user it makes up.
 */
function needsGeneratedUser(options: ServerOptions, draft: ConfigDraft, scalars: ScalarValues): boolean {
  const isDeclared = draft.accounts.has(options.systemAccount);
  const hasOthers = draft.accounts.size !== 1;
  const { user, token } = options.authorization;
  if (!isDeclared || hasOthers || draft.hasAuthorization) return false;
  return scalars.no_auth_user === '' && user === '' && token === '';
}

function addGeneratedUser(options: ServerOptions, earlierName: string): void {
  const { randomBytes } = createRequire(import.meta.url)('node:crypto') as typeof import('node:crypto');
  const name = earlierName === '' ? `nats-${randomBytes(4).toString('hex')}` : earlierName;
  const user: UserOptions = {
    user: name,
    password: randomBytes(16).toString('hex'),
    account: GLOBAL_ACCOUNT,
    permissions: null,
    allowedConnectionTypes: [],
    proxyRequired: false,
  };
  options.users.push(user);
  options.noAuthUser = name;
  options.noAuthUserGenerated = true;
}

/** TLS by flags replaces the file's block. @returns `null` when the flags don't ask for it */
function flagsTls(flags: TlsFlags, readFile: (path: string) => Uint8Array): TlsOptions | null {
  const asked = flags.verify || flags.certFile !== '' || flags.keyFile !== '' || flags.caFile !== '';
  if (flags.enabled === false || (flags.enabled === null && !asked)) return null;
  if (flags.certFile === '') throw new OptionError('TLS Server certificate must be present and valid');
  if (flags.keyFile === '') throw new OptionError('TLS Server private key must be present and valid');
  const draft = emptyTlsDraft();
  draft.certFile = flags.certFile;
  draft.keyFile = flags.keyFile;
  draft.caFile = flags.caFile;
  draft.verify = flags.verify;
  return resolveTls(draft, readFile);
}
