import { afterAll, describe, expect, test } from 'vitest';
import { noFlags } from '../../../../src/main/config/command-line.ts';
import { loadOptions } from '../../../../src/main/config/load.ts';
import { diffOptions } from '../../../../src/main/config/reload.ts';
import type { ServerOptions } from '../../../../src/shared/base/options.ts';
import { fileReader, makeCertificates } from './certificates.ts';

const pem = makeCertificates();
afterAll(() => pem.remove());
const PAIR = `cert_file: "${pem.cert}", key_file: "${pem.key}"`;

function options(config: string, previous?: ServerOptions): ServerOptions {
  const flags = { ...noFlags(), configFile: 'x.conf' };
  const context = previous === undefined ? {} : { purpose: 'reload' as const, previous };
  const result = loadOptions(flags, {}, fileReader({ 'x.conf': config }), context);
  if ('errors' in result) throw new Error(result.errors.join('\n'));
  return result.options;
}

function reload(before: string, after: string) {
  const old = options(before);
  return diffOptions(old, options(after, old));
}

function lines(before: string, after: string): string[] {
  const result = reload(before, after);
  if ('error' in result) throw new Error(result.error);
  return result.changes.map((change) => change.text);
}

const ALWAYS = ['Reloaded: authorization users', 'Reloaded: accounts'];

describe('reload', () => {
  test('nothing changed: users and accounts are listed', () => {
    expect(lines('', '')).toEqual(ALWAYS);
    expect(lines(`tls { ${PAIR} }`, `tls { ${PAIR} }`)).toEqual(ALWAYS);
  });

  test('everything that may change, in the order nats-server logs it', () => {
    const after = `
      client_advertise: "foo:22", debug: true, trace: true, logtime: false, logtime_utc: true
      remote_syslog: "udp://127.0.0.1:9999", max_traced_msg_len: 33, pid_file: "/p", ports_file_dir: "/d"
      max_connections: 100, max_control_line: 5000, max_payload: 5000, ping_interval: "1m", ping_max: 3
      write_deadline: "1500ms", no_fast_producer_stall: true, connect_error_reports: 3
      reconnect_error_reports: 4, server_tags: [a], server_metadata: { a: b }, log_file: "/l", syslog: true
      authorization { user: a, pass: b, timeout: 3 }`;
    expect(lines('', after)).toEqual([
      'Reload: client_advertise = foo:22',
      'Reloaded: trace = true',
      'Reloaded: debug = true',
      'Reloaded: logtime = false',
      'Reloaded: logtime_utc = true',
      'Reloaded: max_connections = 100',
      ...ALWAYS,
      'Reloaded: authorization username',
      'Reloaded: authorization password',
      'Reloaded: ping_interval = 1m0s',
      'Reloaded: ping_max = 3',
      'Reloaded: authorization timeout = 3',
      'Reloaded: max_control_line = 5000',
      'Reloaded: max_payload = 5000',
      'Reloaded: fast producers will not be stalled',
      'Reloaded: pid_file = /p',
      'Reloaded: ports_file_dir = /d',
      'Reloaded: log_file = /l',
      'Reloaded: syslog = true',
      'Reloaded: remote_syslog = udp://127.0.0.1:9999',
      'Reloaded: write_deadline = 1.5s',
      'Reloaded: max_traced_msg_len = 33',
      'Reloaded: connect_error_reports = 3',
      'Reloaded: reconnect_error_reports = 4',
      'Reloaded: tags',
      'Reloaded: metadata',
    ]);
    expect(lines('trace: true', 'trace_verbose: true, trace_headers: true').slice(0, 2)).toEqual([
      'Reloaded: trace_verbose = true',
      'Reloaded: trace_headers = true',
    ]);
    expect(lines('no_fast_producer_stall: true', '').at(-1)).toBe('Reloaded: fast producers will be stalled');
    expect(lines('authorization { token: a }', 'authorization { token: b }').at(-1)).toBe(
      'Reloaded: authorization token',
    );
  });

  test('tls', () => {
    const timeout = 'Reloaded: authorization timeout = 3';
    expect(lines('', `tls { ${PAIR} }`)).toEqual([...ALWAYS, timeout, 'Reloaded: tls = enabled']);
    expect(lines(`tls { ${PAIR} }`, '').at(-1)).toBe('Reloaded: tls = disabled');
    const pin = 'a'.repeat(64);
    const after = `tls { ${PAIR}, timeout: 5, verify: true, pinned_certs: [${pin}], handshake_first: "2s" }`;
    expect(lines(`tls { ${PAIR} }`, after).slice(3)).toEqual([
      'Reloaded: tls timeout = 5',
      'Reloaded: tls = enabled',
      'Reloaded: 1 pinned_certs',
      'Reloaded: Client TLS handshake first: true',
      'Reloaded: Client TLS handshake first fallback delay: 2s',
    ]);
  });

  const users = 'authorization { users: [{ user: a, pass: b }, { user: c, pass: d }] }';
  test.each([
    ['', 'host: a', 'Host: old=0.0.0.0, new=a'],
    ['port: 1', 'port: 2', 'Port: old=1, new=2'],
    ['', 'server_name: foo', 'ServerName: old=, new=foo'],
    ['', 'max_subs: 5', 'MaxSubs: old=0, new=5'],
    ['', 'max_sub_tokens: 5', 'MaxSubTokens: old=0, new=5'],
    ['', 'max_pending: 10MB', 'MaxPending: old=67108864, new=10485760'],
    ['', 'lame_duck_duration: "3m"', 'LameDuckDuration: old=2m0s, new=3m0s'],
    ['', 'lame_duck_grace_period: "3s"', 'LameDuckGracePeriod: old=10s, new=3s'],
    ['', 'allow_non_tls: true', 'AllowNonTLS: old=false, new=true'],
    ['', 'no_header_support: true', 'NoHeaderSupport: old=false, new=true'],
    ['', 'feature_flags: {a: true}', 'FeatureFlags: old=map[], new=map[a:true]'],
    ['', 'http: -1', 'HTTPPort: old=0, new=-1'],
    ['http: "a:1"', 'http: "b:1"', 'HTTPHost: old=a, new=b'],
    ['', 'http_base_path: foo', 'HTTPBasePath: old=, new=/foo'],
    ['', 'write_timeout: close', 'WriteTimeout: old=, new=close'],
    ['', 'log_size_limit: 1000', 'LogSizeLimit: old=0, new=1000'],
    ['', 'log_max_num: 3', 'LogMaxFiles: old=0, new=3'],
    ['', 'no_sublist_cache: true', 'NoSublistCache: old=false, new=true'],
    ['', 'proxy_protocol: true', 'ProxyProtocol: old=false, new=true'],
    ['', 'max_closed_clients: 3', 'MaxClosedClients: old=10000, new=3'],
    ['', 'shards: 2', 'Shards: old=0, new=2'],
    ['', 'log_format: json', 'LogFormat: old=text, new=json'],
    ['', 'no_system_account: true', 'NoSystemAccount: old=false, new=true'],
    ['accounts: [A]', 'accounts: [A]\nsystem_account: A', 'SystemAccount: old=, new=A'],
    ['accounts: [A]\nsystem_account: A', 'accounts: [A]', 'SystemAccount: old=A, new='],
    [users, `${users}\nno_auth_user: a`, 'NoAuthUser: old=, new=a'],
    [`${users}\nno_auth_user: a`, users, 'NoAuthUser: old=a, new='],
    [`${users}\nno_auth_user: a`, `${users}\nno_auth_user: c`, 'NoAuthUser: old=a, new=c'],
    [`tls { ${PAIR} }`, `tls { ${PAIR}, connection_rate_limit: 4 }`, 'TLSRateLimit: old=0, new=4'],
  ])('%j to %j is refused', (before, after, error) => {
    expect(reload(before, after)).toEqual({ error: `config reload not supported for ${error}` });
  });

  test('what may come and go', () => {
    expect(lines(`${users}\nno_auth_user: a`, '')).toEqual(ALWAYS);
    const system = 'accounts { $SYS { users: [{ user: a, pass: b }] } }';
    expect(lines(system, '')).toEqual(ALWAYS);
    expect(lines(system, system.replace('user: a', 'user: b'))).toEqual(ALWAYS);
  });

  test('a wrong client_advertise has its own words', () => {
    const result = loadOptions(
      { ...noFlags(), configFile: 'x.conf' },
      {},
      fileReader({ 'x.conf': 'client_advertise: "a:b:c"' }),
      { purpose: 'reload' },
    );
    expect(result).toEqual({
      errors: ['invalid ClientAdvertise value of a:b:c, err=address a:b:c: too many colons in address'],
    });
  });
});

describe('reload of JetStream', () => {
  const block = (more: string) => `jetstream { store_dir: "/x", ${more} }`;

  test('limits are raised and changed', () => {
    const before = block('max_mem: 10M, max_file: 10M');
    const after = block('max_mem: 20M, max_file: 500, max_file: 30G, limits { duplicate_window: "3s" }');
    expect(lines(before, after)).toEqual([
      ...ALWAYS,
      'Reloaded: JetStream max_mem_store = 19.07 MB',
      'Reloaded: JetStream max_file_store = 27.94 GB',
      'Reloaded: JetStream limits',
    ]);
    expect(lines(block(''), block('limits { batch { timeout: "4s" } }'))).toContain(
      'Reloaded: JetStream limits',
    );
    expect(lines(before, before)).toEqual(ALWAYS);
  });

  test.each([
    ['max_mem: 10M', 'max_mem: 9M', 'decreasing jetstream max memory and store'],
    ['max_file: 10M', 'max_file: 9M', 'decreasing jetstream max memory and store'],
    ['', 'max_file: 9M', 'jetstream dynamic max memory and store'],
    ['max_mem: 9M', '', 'jetstream max memory and max store'],
    ['sync: always', 'sync: "2m"', 'SyncInterval: old=always, new=2m0s'],
    ['domain: a', 'domain: b', 'JetStreamDomain: old=a, new=b'],
    ['', 'request_queue_limit: 10', 'JetStreamRequestQueueLimit: old=10000, new=10'],
    ['', 'info_queue_limit: 10', 'JetStreamInfoQueueLimit: old=10000, new=10'],
    ['', 'strict: false', 'NoJetStreamStrict: old=false, new=true'],
    ['', 'key: hidden', 'JetStreamKey: old=, new=[REDACTED]'],
    ['key: hidden', 'key: veiled, prev_key: hidden', 'JetStreamKey: old=[REDACTED], new=[REDACTED]'],
    ['key: k', 'key: k, prev_key: hidden', 'JetStreamOldKey: old=, new=[REDACTED]'],
    ['key: k', 'key: k, cipher: aes', 'JetStreamCipher: old=chacha20-poly1305, new=aes-256-gcm'],
  ])('%s to %s is refused', (before, after, what) => {
    expect(reload(block(before), block(after))).toEqual({ error: `config reload not supported for ${what}` });
  });

  test('the directory stays, and JetStream itself', () => {
    expect(reload(block(''), 'jetstream { store_dir: "/y" }')).toEqual({
      error: 'config reload not supported for jetstream storage directory',
    });
    expect(reload(block(''), '')).toEqual({
      error: 'config reload not supported for JetStream: old=true, new=false',
    });
    expect(reload('', block(''))).toEqual({
      error: 'config reload not supported for JetStream: old=false, new=true',
    });
  });
});
