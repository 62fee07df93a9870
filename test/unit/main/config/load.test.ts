import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { type CommandFlags, noFlags, parseCommandLine } from '../../../../src/main/config/command-line.ts';
import {
  checkConfiguration,
  formatErrors,
  type Loaded,
  loadOptions,
} from '../../../../src/main/config/load.ts';
import type { OptionRow } from '../../../../src/main/config/reader.ts';
import { hasPlaintextPasswords } from '../../../../src/main/config/resolve.ts';
import { TOP_LEVEL_ROWS } from '../../../../src/main/config/top-level.ts';
import type { ServerOptions } from '../../../../src/shared/base/options.ts';
import { fileReader, makeCertificates } from './certificates.ts';

const pem = makeCertificates();
afterAll(() => pem.remove());

const PAIR = `cert_file: "${pem.cert}", key_file: "${pem.key}"`;

function flagsOf(...argv: string[]): CommandFlags {
  const command = parseCommandLine(argv);
  if (command.kind !== 'run') throw new Error(`not a start: ${JSON.stringify(command)}`);
  return command.flags;
}

function load(config: string, argv: string[] = [], env: Record<string, string> = {}) {
  return loadOptions(flagsOf('-c', 'x.conf', ...argv), env, fileReader({ 'x.conf': config }));
}

function loaded(config: string, argv: string[] = [], env: Record<string, string> = {}): Loaded {
  const result = load(config, argv, env);
  if ('errors' in result) throw new Error(result.errors.join('\n'));
  return result;
}

function options(config: string, argv: string[] = [], env: Record<string, string> = {}): ServerOptions {
  return loaded(config, argv, env).options;
}

function errors(config: string, argv: string[] = [], env: Record<string, string> = {}): string[] {
  const result = load(config, argv, env);
  return 'errors' in result ? result.errors : [];
}

function check(config: string): string[] {
  const flags = flagsOf('-c', 'x.conf');
  const result = loadOptions(flags, {}, fileReader({ 'x.conf': config }), { purpose: 'check' });
  return 'errors' in result ? result.errors : [];
}

describe('defaults', () => {
  test('are the same without a file, with an empty one and with zeros', () => {
    const bare = loadOptions(noFlags(), {}, fileReader({}));
    if ('errors' in bare) throw new Error(bare.errors.join());
    expect(bare.warnings).toEqual([]);
    const file = { configFile: 'x.conf', configDigest: expect.stringMatching(/^sha256:/) };
    expect(loaded('')).toMatchObject({ warnings: ['x.conf: config has no values or is empty'] });
    expect(options('')).toEqual({ ...bare.options, ...file });
    const zeros =
      'port: 0, max_payload: 0, max_pending: 0, ping_max: 0, max_control_line: 0, ping_interval: "0s"';
    expect(options(`${zeros}, write_deadline: "0s", host: "", http_base_path: ""`)).toEqual({
      ...bare.options,
      ...file,
    });
    expect(bare.options).toMatchObject({
      host: '0.0.0.0',
      port: 4222,
      shards: 0,
      maxConnections: 65_536,
      maxPayloadBytes: 1_048_576,
      maxPendingBytes: 67_108_864,
      pingIntervalMs: 120_000,
      writeDeadlineMs: 10_000,
      writeTimeout: 'default',
      lameDuckDurationMs: 120_000,
      lameDuckGracePeriodMs: 10_000,
      systemAccount: '$SYS',
      authorization: { user: '', timeoutMs: 2000 },
      users: [],
      accounts: [{ name: '$G' }, { name: '$SYS' }],
      tls: null,
      log: { logTime: true, format: 'text' },
      monitor: { host: '0.0.0.0', httpPort: 0, basePath: '/' },
    });
  });
});

describe('scalars', () => {
  test('aliases, any case, sizes and durations', () => {
    const result = options(`
      NET: "127.0.0.1"
      monitor_port: -1
      max_conn: 10K
      max_subs: 5, max_sub_tokens: 8
      MAX_PAYLOAD: 2MB
      logfile: "a.log", log_size_limit: 1MB, logfile_max_num: 3
      ping_interval: "1m30s"
      no_sublist_cache: yes
      write_timeout: retry
      server_tags: ["A", " b ", a]
      server_metadata: { Zone: x }
      feature_flags: { js_ack_fc_v2: true }
      trace_verbose: true
      http_base_path: nats/
      shards: 3, log_format: json
    `);
    expect(result).toMatchObject({
      host: '127.0.0.1',
      maxConnections: 10_000,
      maxSubscriptions: 5,
      maxSubscriptionTokens: 8,
      maxPayloadBytes: 2_097_152,
      pingIntervalMs: 90_000,
      disableSublistCache: true,
      writeTimeout: 'retry',
      serverTags: ['a', 'b'],
      shards: 3,
      monitor: { host: '127.0.0.1', httpPort: -1, basePath: '/nats' },
    });
    expect({ ...result.serverMetadata }).toEqual({ Zone: 'x' });
    expect({ ...result.featureFlags }).toEqual({ js_ack_fc_v2: true });
    expect(result.log).toMatchObject({
      trace: true,
      traceVerbose: true,
      sizeLimitBytes: 1_048_576,
      maxNum: 3,
    });
    expect(result.log).toMatchObject({ file: 'a.log', format: 'json' });
  });

  test('names of people cannot reach a prototype', () => {
    const result = options('server_metadata { __proto__: x }\nfeature_flags { __proto__: true }');
    expect(Object.keys(result.serverMetadata)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(result.serverMetadata)).toBeNull();
  });

  test('addresses', () => {
    expect(options('listen: "1.2.3.4:5"')).toMatchObject({ host: '1.2.3.4', port: 5 });
    expect(options('listen: 1.2.3.4:-1')).toMatchObject({ host: '1.2.3.4', port: -1 });
    expect(options('listen: ":5"')).toMatchObject({ host: '0.0.0.0', port: 5 });
    expect(options('listen: "[::1]:5"')).toMatchObject({ host: '::1', port: 5 });
    expect(options('host: a\nhttp: 8222').monitor).toMatchObject({ host: 'a', httpPort: 8222 });
    expect(options('host: a\nhttp: "b:8222"').monitor).toMatchObject({ host: 'b', httpPort: 8222 });
  });

  test('0 connections refuses everyone', () => {
    expect(options('max_connections: 0').maxConnections).toBe(-1);
  });

  test.each([
    ['prot: 4222', 'x.conf:1:0: unknown field "prot", did you mean "port"?'],
    ['\n max_playload: 1', 'x.conf:2:2: unknown field "max_playload", did you mean "max_payload"?'],
    ['something_else: 1', 'x.conf:1:0: unknown field "something_else"'],
    ['authorization{ user: a\n}', null],
    ['port: "4222"', 'x.conf:1:0: invalid value: expected an integer, got a string'],
    ['debug: 1', 'x.conf:1:0: invalid value: expected a boolean, got an integer'],
    ['port: 99999', 'x.conf:1:0: invalid port 99999: it must be between 1 and 65535, or -1 for a random one'],
    ['http: foo', 'x.conf:1:0: could not parse address string "foo"'],
    ['listen: "a:b"', 'x.conf:1:0: could not parse port "b"'],
    ['listen: true', 'x.conf:1:0: expected port or host:port, got bool'],
    ['server_name: "a b"', 'x.conf:1:0: server name cannot contain spaces'],
    ['max_subscription_tokens: 0', 'x.conf:1:0: max_subscription_tokens value can not be negative'],
    ['max_sub_tokens: 256', 'x.conf:1:0: max_subscription_tokens value is too big'],
    ['max_payload: 3000000000', 'x.conf:1:0: max_payload value is too big'],
    ['write_timeout: foo', "x.conf:1:0: write_timeout must be 'default', 'close' or 'retry'"],
    ['ping_interval: 2x', 'x.conf:1:0: error parsing ping_interval: time: unknown unit "x" in duration "2x"'],
    ['lame_duck_duration: 2s', 'x.conf:1:0: invalid lame_duck_duration of 2s, minimum is 30 seconds'],
    ['log_format: xml', "x.conf:1:0: log_format must be 'text' or 'json', not \"xml\""],
    ['server_tags: 3', 'x.conf:1:0: error parsing tags: unsupported type int64'],
    ['feature_flags {a: 3}', 'x.conf:1:15: error parsing feature flag "a": expected bool, got int64'],
  ])('%j', (config, error) => {
    if (error === null) expect(errors(config)[0]).toMatch(/^Parse error on line 1/);
    else expect(errors(config)).toEqual([error]);
  });

  test('everything wrong is reported at once, warnings first', () => {
    expect(
      errors('foo: 1\nping_interval: 10\ndebug: 3\nauthorization { bar: 1, users: [{pass: x}] }'),
    ).toEqual([
      'x.conf:2:1: invalid use of field "ping_interval": ping_interval should be converted to a duration',
      'x.conf:1:0: unknown field "foo"',
      'x.conf:3:1: invalid value: expected a boolean, got an integer',
      'x.conf:4:17: unknown field "bar"',
      'x.conf:4:34: User entry requires a user',
    ]);
  });

  test('a key that a variable took may be unknown, in blocks too', () => {
    expect(options('P: 5\nport: $P').port).toBe(5);
    expect(options('authorization { U: bob, user: $U, pass: x }').authorization.user).toBe('bob');
  });

  test('the environment is text where text is wanted and a number where a number is', () => {
    const env = { PW: '123', PORT: '4333', YES: 'true' };
    const result = options('port: $PORT\ndebug: $YES\nauthorization { user: $YES, pass: $PW }', [], env);
    expect(result).toMatchObject({ port: 4333, authorization: { user: 'true', password: '123' } });
    expect(errors('server_name: 123')).toEqual([
      'x.conf:1:0: invalid value: expected a string, got an integer',
    ]);
  });
});

describe('a check (-t)', () => {
  test('fails on warnings and leaves the checks of a start out', () => {
    expect(check('ping_interval: 10')).toHaveLength(1);
    expect(check('max_payload: 100MB')).toEqual([]);
    expect(errors('max_payload: 100MB')).toEqual([
      'max_payload (104857600) cannot be higher than max_pending (67108864)',
    ]);
  });

  test('prints what nats-server prints', () => {
    const flags = flagsOf('-c', 'x.conf');
    expect(checkConfiguration(flags, {}, fileReader({ 'x.conf': 'port: 4222' }))).toEqual({
      stderr:
        'nats-server: configuration file x.conf is valid (sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e)\n',
      exitCode: 0,
    });
    const missing = checkConfiguration(flags, {}, fileReader({}));
    expect(missing).toEqual({ stderr: 'nats-server: open x.conf: no such file or directory\n', exitCode: 1 });
    expect(formatErrors(['a', 'b'])).toBe('nats-server: a\nb\n');
  });

  test('notices of what is not there yet do not fail it', () => {
    const flags = flagsOf('-c', 'x.conf');
    const result = checkConfiguration(
      flags,
      {},
      fileReader({ 'x.conf': 'mqtt { port: 1883, js_domain: hub }' }),
    );
    expect(result.exitCode).toBe(0);
    expect(result.stderr).toMatch(
      /^x\.conf:1:19: option "js_domain" is not supported by natsd yet and is ignored: /,
    );
  });
});

describe('users and accounts', () => {
  test('an authorization block', () => {
    const result = options(`authorization {
      timeout: 1.5
      default_permissions { publish: "a.>" }
      users: [
        { user: a, password: b }
        { username: c, pass: "$2b$11$x", allowed_connection_types: [standard, mqtt], permissions {
          pub { allow: [x, "y.*"], deny: z }, sub: ["q  workers", ">"], allow_responses { max: 5, ttl: "1m" } } }
        { user: d, permissions { allow_responses: true } }
      ]
    }`);
    expect(result.authorization).toMatchObject({
      timeoutMs: 1500,
      defaultPermissions: { publish: { allow: ['a.>'], deny: null }, subscribe: null, responses: null },
    });
    expect(result.users).toEqual([
      {
        user: 'a',
        password: 'b',
        account: '$G',
        permissions: null,
        allowedConnectionTypes: [],
        proxyRequired: false,
      },
      expect.objectContaining({
        user: 'c',
        allowedConnectionTypes: ['STANDARD', 'MQTT'],
        permissions: {
          publish: { allow: ['x', 'y.*'], deny: ['z'] },
          subscribe: { allow: ['q workers', '>'], deny: null },
          responses: { maxMsgs: 5, expiresMs: 60_000 },
        },
      }),
      expect.objectContaining({
        permissions: {
          publish: { allow: [], deny: null },
          subscribe: null,
          responses: { maxMsgs: 1, expiresMs: 120_000 },
        },
      }),
    ]);
    expect(hasPlaintextPasswords(result)).toBe(true);
    expect(hasPlaintextPasswords(options('authorization { user: a, pass: "$2a$10$x" }'))).toBe(false);
    expect(hasPlaintextPasswords(options('authorization { token: plain }'))).toBe(false);
  });

  test('accounts', () => {
    const result = options(`
      mappings { a: b }
      system_account: S
      accounts {
        S { users: [{ user: s, pass: s }] }
        A {
          users: [{ user: a, pass: a }]
          default_permissions { subscribe { deny: x } }
          limits { max_conn: 5, max_payload: 1KB }
          mappings { "foo.*": [{ dest: "bar.$1", weight: 30 }, { destination: "baz.$1", weight: "20%", cluster: c }] }
        }
      }`);
    expect(result.accounts.map((account) => account.name)).toEqual(['$G', 'S', 'A']);
    expect(result.accounts[0]!.mappings).toEqual([
      { source: 'a', destinations: [{ subject: 'b', weight: 100, cluster: '' }] },
    ]);
    expect(result.accounts[2]).toEqual({
      name: 'A',
      jetStream: null,
      limits: { maxConnections: 5, maxSubscriptions: -1, maxPayloadBytes: 1024, maxLeafnodes: -1 },
      mappings: [
        {
          source: 'foo.*',
          destinations: [
            { subject: 'bar.$1', weight: 30, cluster: '' },
            { subject: 'baz.$1', weight: 20, cluster: 'c' },
          ],
        },
      ],
      defaultPermissions: { publish: null, subscribe: { allow: null, deny: ['x'] }, responses: null },
    });
    expect(result).toMatchObject({ systemAccount: 'S', noAuthUser: '' });
    expect(result.users.map(({ user, account }) => [user, account])).toEqual([
      ['s', 'S'],
      ['a', 'A'],
    ]);
  });

  test('only a system account declared: anonymous connections get a user of their own', () => {
    const result = options('accounts { $SYS { users: [{ user: a, pass: "$2a$10$x" }] } }');
    expect(result.noAuthUser).toMatch(/^nats-[0-9a-f]{8}$/);
    expect(result).toMatchObject({ noAuthUserGenerated: true, systemAccount: '$SYS' });
    expect(result.users.map((user) => [user.user, user.account])).toEqual([
      ['a', '$SYS'],
      [result.noAuthUser, '$G'],
    ]);
    expect(hasPlaintextPasswords(result)).toBe(false);
    const again = loadOptions(
      flagsOf('-c', 'x.conf'),
      {},
      fileReader({ 'x.conf': 'accounts { $SYS { users: [{ user: b, pass: b }] } }' }),
      { purpose: 'reload', previous: result },
    );
    expect('options' in again && again.options.noAuthUser).toBe(result.noAuthUser);
    expect(options('accounts { $SYS {} }\nauthorization { timeout: 1 }').noAuthUser).toBe('');
    expect(options('accounts { $SYS {}, A {} }').noAuthUser).toBe('');
  });

  test('the system account', () => {
    expect(options('no_system_account: true').systemAccount).toBe('');
    expect(options('no_system: true\naccounts { $SYS {} }').systemAccount).toBe('$SYS');
    expect(errors('system_account: foo')).toEqual(['error resolving system account: account missing']);
  });

  const user = 'user: a, pass: b';
  test.each([
    ['authorization {token: a, user: b, pass: c}', '1:0: Cannot have a user/pass and token'],
    [`authorization {${user}, users: [{${user}}]}`, '1:0: Can not have a single user/pass and a users array'],
    [`authorization {token: c, users: [{${user}}]}`, '1:0: Can not have a token and a users array'],
    [
      `authorization {${user}}\naccounts: {A: {users: [{${user}}]}}`,
      '2:16: Can not have a single user/pass and accounts',
    ],
    [
      `authorization {token: a}\naccounts: {A: {users: [{${user}}]}}`,
      '2:16: Can not have a token and accounts',
    ],
    ['authorization {users: 3}', '1:15: Expected users field to be an array, got 3'],
    [`authorization {users: [{${user}},{${user}}]}`, '1:0: Duplicate user "a" detected'],
    [`accounts: {A: {users: [{${user}}]}, B: {users: [{${user}}]}}`, '1:49: Duplicate user "a" detected'],
    [`authorization {users: [{${user}, foo: c}]}`, '1:42: unknown field "foo"'],
    [
      `authorization {users: [{${user}, permissions: 3}]}`,
      '1:42: Expected permissions to be a map/struct, got 3',
    ],
    [
      `authorization {users: [{${user}, permissions: {foo: 3}}]}`,
      '1:56: Unknown field "foo" parsing permissions',
    ],
    [
      `authorization {users: [{${user}, permissions: {pub: {foo: 3}}}]}`,
      `1:62: Unknown field name "foo" parsing subject permissions, only 'allow' or 'deny' are permitted`,
    ],
    [
      `authorization {users: [{${user}, permissions: {pub: "foo..bar"}}]}`,
      '1:56: subject "foo..bar" is not a valid subject',
    ],
    [
      `authorization {users: [{${user}, permissions: {pub: "a q"}}]}`,
      '1:56: subject "a q" is not a valid subject',
    ],
    [
      `authorization {users: [{${user}, permissions: {sub: "a b c"}}]}`,
      '1:56: subject "a b c" is not a valid subject',
    ],
    [
      `authorization {users: [{${user}, permissions: {allow_responses: {expires: xx}}}]}`,
      '1:74: error parsing expires: time: invalid duration "xx"',
    ],
    [
      `authorization {users: [{${user}, connection_types: [standard, foo]}]}`,
      '1:42: invalid connection types ["FOO"]',
    ],
    ['accounts: [A, A]', '1:14: Duplicate Account Entry: A'],
    ['accounts: ["$G"]', '1:12: "$G" is a Reserved Account'],
    ['accounts: {A: 3}', '1:11: Expected map entries for accounts'],
    ['accounts: {A: {limits: {foo: 3}}}', '1:24: Unknown field "foo" parsing account limits'],
    ['accounts: {A: {nkey: foo}}', '1:15: Not a valid public nkey for an account: "foo"'],
    ['mappings: {foo: 3}', '1:11: Expected an entry for the mapping destination'],
    ['mappings: {"foo..bar": a}', '1:0: Subject "foo..bar" is not a valid subject'],
    [
      'mappings: {foo: "{{x}}"}',
      '1:11: Error adding mapping for "foo" to "{{x}}" : invalid mapping destination: unknown function in {{x}}',
    ],
    ['mappings: {foo: {dest: a}}', '1:11: Missing weight for mapping destination "a"'],
    ['mappings: {foo: {dest: a, weight: 101}}', '1:26: Invalid weight 101 for mapping destination'],
    ['mappings: {foo: {dest: a, weight: "x%"}}', '1:26: Invalid weight "x" for mapping destination'],
    [
      'mappings: {foo: [{dest: a, weight: 50},{dest: a, weight: 20}]}',
      '1:11: Error adding mapping for "foo" : duplicate entry for "a"',
    ],
    [
      'mappings: {foo: [{dest: a, weight: 50},{dest: b, weight: 60}]}',
      '1:11: Error adding mapping for "foo" : total weight needs to be <= 100',
    ],
    ['mappings: {foo: {dest: a, weight: 1, foo: 1}}', '1:37: Unknown field "foo" for mapping destination'],
  ])('%s', (config, error) => {
    expect(errors(config)).toContain(`x.conf:${error}`);
  });

  test('a long timeout earns a warning', () => {
    expect(loaded('authorization { timeout: 61 }').warnings).toEqual([
      `x.conf:1:16: invalid use of field "timeout": timeout of 61 (61.000000 seconds) is high, consider keeping it under 60 seconds. possibly caused by unquoted duration; use '1m' instead of 1m, for example`,
    ]);
  });

  test('no_auth_user must exist', () => {
    expect(errors('no_auth_user: foo')).toEqual([
      'no_auth_user: "foo" present, but users/nkeys are not defined',
    ]);
    expect(errors(`no_auth_user: foo\nauthorization {users: [{${user}}]}`)).toEqual([
      'no_auth_user: "foo" not present as user or nkey in authorization block or account configuration',
    ]);
    expect(options(`no_auth_user: a\nauthorization {users: [{${user}}]}`).noAuthUser).toBe('a');
  });
});

describe('tls', () => {
  test('is read with its files', () => {
    const { tls, authorization } = options(`tls { ${PAIR}, ca_file: "${pem.cert}", verify: true, timeout: "3s"
      cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
      curve_preferences: [CurveP256, X25519], min_version: "1.3", handshake_first: auto
      pinned_certs: ["${'A'.repeat(64)}"], connection_rate_limit: 7 }`);
    expect(tls).toMatchObject({
      certs: [{ certFile: pem.cert, keyFile: pem.key, cert: expect.stringContaining('BEGIN CERTIFICATE') }],
      ca: expect.stringContaining('BEGIN CERTIFICATE'),
      verify: true,
      timeoutMs: 3000,
      ciphers:
        'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256',
      curves: 'P-256:X25519',
      minVersion: 'TLSv1.3',
      handshakeFirstMs: 50,
      pinnedCerts: ['a'.repeat(64)],
      connectionRateLimit: 7,
    });
    expect(authorization.timeoutMs).toBe(4000);
  });

  test('several pairs', () => {
    expect(options(`tls { certs: [ { ${PAIR} } ] }`).tls!.certs).toHaveLength(1);
  });

  test.each([
    ['false', null],
    ['true', 0],
    ['"on"', 0],
    ['"300ms"', 300],
    ['off', null],
  ])('handshake_first: %s', (text, handshakeFirstMs) => {
    expect(options(`tls { ${PAIR}, handshake_first: ${text} }`).tls).toMatchObject({ handshakeFirstMs });
  });

  const pairError = 'error parsing X509 certificate/key pair';
  test.each([
    ['tls { cert_file: "x.pem" }', "1:0: missing 'key_file' in TLS configuration"],
    ['tls { key_file: "x.pem" }', "1:0: missing 'cert_file' in TLS configuration"],
    ['tls { cert_file: "x", key_file: "y" }', `1:0: ${pairError}: open x: no such file or directory`],
    [
      `tls { cert_file: "${pem.cert}", key_file: "${pem.ecKey}" }`,
      `1:0: ${pairError}: tls: private key type does not match public key type`,
    ],
    [
      `tls { cert_file: "${pem.cert}", key_file: "${pem.otherKey}" }`,
      `1:0: ${pairError}: tls: private key does not match public key`,
    ],
    [
      `tls { cert_file: "${pem.junk}", key_file: "${pem.key}" }`,
      `1:0: ${pairError}: tls: failed to find any PEM data in certificate input`,
    ],
    [
      `tls { cert_file: "${pem.cert}", key_file: "${pem.junk}" }`,
      `1:0: ${pairError}: tls: failed to find any PEM data in key input`,
    ],
    [
      `tls { cert_file: "${pem.key}", key_file: "${pem.key}" }`,
      `1:0: ${pairError}: tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched`,
    ],
    [`tls { ${PAIR}, ca_file: "${pem.junk}" }`, '1:0: failed to parse root ca certificate'],
    [`tls { ${PAIR}, ca_file: nope }`, '1:0: open nope: no such file or directory'],
    ['tls { foo: 1 }', '1:6: error parsing tls config, unknown field "foo"'],
    ['tls { cert_file: 3 }', "1:6: error parsing tls config, expected 'cert_file' to be filename"],
    ['tls { cipher_suites: [] }', "1:6: error parsing tls config, 'cipher_suites' cannot be empty"],
    ['tls { cipher_suites: [foo] }', '1:22: unrecognized cipher foo'],
    [
      'tls { cipher_suites: [TLS_RSA_WITH_RC4_128_SHA] }',
      "1:0: insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: TLS_RSA_WITH_RC4_128_SHA",
    ],
    ['tls { curve_preferences: [foo] }', '1:26: unrecognized curve preference foo'],
    ['tls { min_version: 1.3 }', "1:6: error parsing tls config: 'min_version' wrong type: 1.3"],
    ['tls { min_version: "1.1" }', '1:6: error parsing tls config: unsupported TLS version: TLS 1.1'],
    ['tls { timeout: foo }', `1:6: error parsing tls config, 'timeout' time: invalid duration "foo"`],
    ['tls { handshake_first: foo }', `1:6: field "handshake_first"'s value "foo" is invalid`],
    [
      'tls { verify_cert_and_check_known_urls: true }',
      '1:6: verify_cert_and_check_known_urls not supported in this context',
    ],
    [
      'tls { certs: [ {cert_file: "x"} ] }',
      "1:16: error parsing certificates config: both 'cert_file' and 'cert_key' options are required",
    ],
    ['tls { cert_store: foo }', '1:6: cert store type not implemented'],
  ])('%s', (config, error) => {
    expect(errors(config)).toEqual([`x.conf:${error}`]);
  });

  test('a block without certificate does not start', () => {
    expect(errors('tls { verify: true }')).toEqual(['TLS Server certificate must be present and valid']);
    expect(check('tls { verify: true }')).toEqual([]);
  });

  test('curves this OpenSSL lacks are left out with a notice, unless nothing remains', () => {
    const result = load(`tls { ${PAIR}, curve_preferences: [X25519MLKEM768, X25519] }`);
    if ('errors' in result) throw new Error(result.errors.join());
    const { curves } = result.options.tls!;
    if (curves === 'X25519') expect(result.notices[0]).toMatch(/curve X25519MLKEM768 is not in this OpenSSL/);
    else expect(curves).toBe('X25519MLKEM768:X25519');
  });
});

describe('checks of a start', () => {
  test.each([
    ['http: -1\nhttps: -1', "Can't start monitoring: can't specify both HTTP (-1) and HTTPs (-1) ports"],
    ['https: 8222', "Can't start monitoring: TLS cert and key required for HTTPS"],
    [
      'lame_duck_grace_period: "3m"',
      'lame duck grace period (3m0s) should be strictly lower than lame duck duration (2m0s)',
    ],
    [
      'client_advertise: "a:b:c"',
      'Error setting server INFO with ClientAdvertise value of a:b:c, err=address a:b:c: too many colons in address',
    ],
    ['gateway {name: a}', 'gateway "a" has no port specified (select -1 for random port)'],
    ['gateway {port: -1}', 'gateway has no name'],
    ['gateway {name: a, port: -1, gateways: [{name: b}]}', 'gateway "b" has no URL'],
    [
      'cluster {port: -1, name: a}\ngateway {port: -1, name: b}',
      'cluster name conflicts between cluster and gateway definitions',
    ],
    ['websocket {port: -1}', 'websocket requires TLS configuration'],
    ['cluster {port: -1, compression: foo}', 'unsupported compression mode "foo"'],
  ])('%s', (config, error) => {
    expect(errors(config)).toEqual([error]);
  });
});

describe('JetStream', () => {
  const unlimited = {
    maxMemoryBytes: -1,
    maxStoreBytes: -1,
    maxStreams: -1,
    maxConsumers: -1,
    maxAckPending: -1,
    memoryMaxStreamBytes: -1,
    storeMaxStreamBytes: -1,
    maxBytesRequired: false,
  };
  const ofAccount = (config: string, name: string) =>
    options(config).accounts.find((account) => account.name === name)?.jetStream;

  test('is off unless asked for', () => {
    expect(options('').jetStream).toBeNull();
    expect(options('jetstream: disabled').jetStream).toBeNull();
    expect(options('jetstream { enabled: false, domain: d }').jetStream).toBeNull();
    expect(options('store_dir: "/x"').jetStream).toBeNull();
  });

  test('acknowledges what is synced, in a temporary store, by default', () => {
    expect(options('jetstream: enabled').jetStream).toEqual({
      storeDir: join(tmpdir(), 'nats/jetstream'),
      isTemporary: true,
      maxMemoryBytes: null,
      maxStoreBytes: null,
      domain: '',
      strict: true,
      syncIntervalMs: 'always',
      deliverAfterSync: false,
      encryption: null,
      maxDuplicateWindowMs: 0,
      maxAckPending: 0,
      maxRequestBatch: 0,
      defaultMaxConsumers: 1000,
      batch: { maxInflightPerStream: 50, maxInflightTotal: 1000, maxMsgs: 1000, timeoutMs: 10_000 },
      requestQueueLimit: 10_000,
      infoQueueLimit: 10_000,
    });
  });

  test('takes every option of its block', () => {
    const block = `jetstream {
      key: a, prev_key: b, cipher: AES
      store: "/x", max_mem: "1G", max_file: 5, domain: hub, strict: false, sync: "2m"
      deliver_after_sync: true
      request_queue_limit: 50, info_queue_limit: 20
      limits { duplicate_window: "3s", max_ack_pending: 9, max_request_batch: 8
        default_max_consumers: 12
        batch { max_inflight_per_stream: 1, max_inflight_total: 2, max_msgs: 3, timeout: "4s" } }
    }`;
    expect(options(block).jetStream).toEqual({
      storeDir: '/x/jetstream',
      isTemporary: false,
      maxMemoryBytes: 1024 ** 3,
      maxStoreBytes: 5,
      domain: 'hub',
      strict: false,
      syncIntervalMs: 120_000,
      deliverAfterSync: true,
      encryption: { cipher: 'aes-256-gcm', key: 'a', previousKey: 'b' },
      maxDuplicateWindowMs: 3000,
      maxAckPending: 9,
      maxRequestBatch: 8,
      defaultMaxConsumers: 12,
      batch: { maxInflightPerStream: 1, maxInflightTotal: 2, maxMsgs: 3, timeoutMs: 4000 },
      requestQueueLimit: 50,
      infoQueueLimit: 20,
    });
    expect(options('jetstream { request_queue_limit: 5 }').jetStream).toMatchObject({
      requestQueueLimit: 5,
      infoQueueLimit: 5,
    });
    expect(options('store_dir: "/y", jetstream: true').jetStream?.storeDir).toBe('/y/jetstream');
  });

  test('flags win', () => {
    const { jetStream } = loaded('store_dir: "/x"', ['-js', '-sd', '/y']).options;
    expect(jetStream).toMatchObject({ storeDir: '/y/jetstream', isTemporary: false });
  });

  test('is for the default account when there is no other, else for those that say so', () => {
    expect(ofAccount('jetstream: true', '$G')).toEqual(unlimited);
    expect(ofAccount('jetstream: true', '$SYS')).toBeNull();
    const config = `jetstream: true, accounts {
      A { jetstream: enabled }
      B { jetstream { max_mem: "1K", max_store: 2, max_streams: 3, max_consumers: 4, max_ack_pending: 5,
        memory_max_stream_bytes: 6, store_max_stream_bytes: 7, max_bytes_required: true } }
      C {}
    }`;
    expect(ofAccount(config, '$G')).toBeNull();
    expect(ofAccount(config, 'A')).toEqual(unlimited);
    expect(ofAccount(config, 'C')).toBeNull();
    expect(ofAccount(config, 'B')).toEqual({
      maxMemoryBytes: 1024,
      maxStoreBytes: 2,
      maxStreams: 3,
      maxConsumers: 4,
      maxAckPending: 5,
      memoryMaxStreamBytes: 6,
      storeMaxStreamBytes: 7,
      maxBytesRequired: true,
    });
  });

  test('a domain is one token', () => {
    for (const domain of ['a.b', '*', 'a>']) {
      expect(errors(`jetstream { domain: "${domain}" }`)).toEqual([
        'x.conf:1:12: invalid domain name: may not contain ".", "*" or ">"',
      ]);
    }
  });

  test.each([
    ['key', 'ek', 'encryption_key'],
    ['prev_key', 'prev_ek', 'prev_encryption_key'],
  ])('keys have aliases: %s, %s, %s', (...names) => {
    for (const name of names) {
      const { encryption } = options(`jetstream { key: k, ${name}: x }`).jetStream!;
      expect([encryption?.key, encryption?.previousKey]).toContain('x');
    }
  });

  test.each([
    ['chacha', 'chacha20-poly1305'],
    ['ChaChaPoly', 'chacha20-poly1305'],
    ['aes', 'aes-256-gcm'],
  ])('cipher %s', (name, cipher) => {
    expect(options(`jetstream { key: k, cipher: ${name} }`).jetStream?.encryption).toEqual({
      cipher,
      key: 'k',
      previousKey: '',
    });
  });

  test('without a key nothing is encrypted, whatever else is said', () => {
    expect(options('jetstream { cipher: aes, prev_key: p }').jetStream?.encryption).toBeNull();
    expect(options('jetstream { key: "" }').jetStream?.encryption).toBeNull();
  });

  test('without a trusted platform module sealed keys are refused', () => {
    expect(errors('jetstream { tpm { keys_file: k, encryption_password: p } }')).toEqual([
      'x.conf:1:12: option "tpm" is not supported by natsd yet: there is no access to a trusted platform module, use "key"',
    ]);
    expect(options('jetstream { tpm { pcr: 22 } }').jetStream).not.toBeNull();
  });
});

describe('what natsd cannot do yet', () => {
  test.each([
    'operator: "eyJh.eyJh.AAAA"',
    'resolver: MEM',
    'resolver_pinned_accounts: [A]',
    'proxies { trusted: [] }',
    'ocsp { mode: must }',
    `tls { ${PAIR}, verify_and_map: true }`,
    `tls { ${PAIR}, ocsp_peer: true }`,
    `websocket { port: 8080, tls { ${PAIR}, verify_and_map: true } }`,
    `mqtt { port: 1883, tls { ${PAIR}, verify_and_map: true } }`,
    `mqtt { port: 1883, tls { ${PAIR}, ocsp_peer: true } }`,
    'authorization { users: [{ nkey: UBDW7BZRIH5BYFLZGVEEDTVO5LMYZVSGPJ3WZ3IWZ7Q2JDTVKVJE4OV2 }] }',
    'authorization { user: a, pass: b, proxy_required: true }',
    'authorization { auth_callout { account: A } }',
    'accounts { A { exports: [{ stream: a }] } }',
    'accounts { A { imports: [{ stream: { account: A, subject: b } }] } }',
  ])('stops: %s', (config) => {
    const found = errors(config);
    expect(
      found.some((error) => /^x\.conf:1:\d+: option "\w+" is not supported by natsd yet: ./.test(error)),
    ).toBe(true);
  });

  test.each([
    'jetstream: false',
    'jetstream { enabled: false, store_dir: "/x" }',
    'ocsp: false',
    `tls { ${PAIR}, verify_and_map: false, ocsp_peer: false }`,
    'authorization { user: a, pass: b, proxy_required: false }',
    'accounts { A { exports: [], imports: [], jetstream: disabled } }',
    'gateway {}',
  ])('asks for nothing: %s', (config) => {
    expect(loaded(config).notices).toEqual([]);
  });

  test.each([
    ['cluster', 'cluster { port: 6222, routes: ["nats-route://a:1"] }'],
    ['leafnodes', 'leafnodes { port: 7422, tls { verify_and_map: true } }'],
    ['prof_port', 'prof_port: 6060'],
  ])('warns: %s', (name, config) => {
    expect(loaded(config).notices).toEqual([
      expect.stringMatching(
        new RegExp(`^x.conf:1:0: option "${name}" is not supported by natsd yet and is ignored: .`),
      ),
    ]);
  });

  test.each([
    ['cluster {foo: 1}', '1:9: unknown field "foo"'],
    ['cluster {authorization: {token: a}}', '1:9: Cluster authorization does not support tokens'],
    ['leafnodes {min_version: "2.7.0"}', '1:11: the minimum version should be at least 2.8.0'],
    [
      'leafnodes {remotes: [{url: "nats://a"},{url: "nats://a"}]}',
      '1:40: duplicate remote urls=["nats://a"], account="$G"',
    ],
    ['websocket {headers: 3}', '1:11: error parsing headers: unsupported type int64'],
    ['mqtt {max_ack_pending: 65536}', '1:6: invalid value 65536, should in [0..65535] range'],
    ['jetstream {max_mem: "5m"}', '1:11: max_mem sizes defined as strings must end in K, M, G, T'],
    ['jetstream {cipher: foo}', '1:11: Unknown cipher type: "foo"'],
    ['store_dir: a\njetstream {store_dir: b}', "2:12: Duplicate 'store_dir' configuration"],
    ['trusted_keys: foo', '1:0: trust key "foo" required to be a valid public operator nkey'],
    ['resolver: {type: full, ttl: "1s", dir: x}', '1:0: FULL does not accept ttl'],
    [
      'accounts: {A: {exports: [{stream: a, latency: b}]}}',
      '1:37: Detected latency directive on non-service',
    ],
    [
      'accounts: {A: {imports: [{stream: {account: B, subject: x}}]}}',
      '1:0: "B" account not defined for stream import',
    ],
    ['accounts: {A: {msg_trace: {dest: "a.*"}}}', '1:27: Trace destination "a.*" is not valid'],
  ])('is checked all the same: %s', (config, error) => {
    expect(errors(config)).toContain(`x.conf:${error}`);
  });

  test('flags too', () => {
    expect(
      loaded('debug: true', ['--cluster', 'nats://0.0.0.0:6222', '--routes', 'nats://a:1']).notices,
    ).toHaveLength(2);
    expect(errors('debug: true', ['--routes', 'nats://a:1'])).toEqual([
      'solicited routes require cluster capabilities, e.g. --cluster',
    ]);
  });
});

describe('flags over the file', () => {
  test('win where they are given', () => {
    const config =
      'port: 1\nhost: a\ndebug: true\nlogtime: true\nhttp: "h:1"\nauthorization { user: x, pass: y }';
    const argv = ['-p', '2', '-D=false', '-T=0', '-m', '3', '--user', 'u', '-VV', '--shards', '4'];
    expect(options(config, argv)).toMatchObject({
      port: 2,
      host: 'a',
      shards: 4,
      log: { debug: false, logTime: false, trace: true, traceVerbose: true },
      monitor: { host: 'h', httpPort: 3 },
      authorization: { user: 'u', password: 'y' },
    });
    expect(options(config, ['-p', '0', '-n', ''])).toMatchObject({ port: 1, log: { debug: true } });
  });

  test('tls', () => {
    const files = ['--tlscert', pem.cert, '--tlskey', pem.key];
    expect(options('port: 1', files).tls).toMatchObject({ verify: false, timeoutMs: 2000 });
    expect(options('port: 1', ['--tlsverify', ...files, '--tlscacert', pem.cert]).tls).toMatchObject({
      verify: true,
    });
    expect(options('port: 1', ['--tls=false', ...files]).tls).toBeNull();
    expect(errors('port: 1', ['--tls'])).toEqual(['TLS Server certificate must be present and valid']);
    expect(errors('port: 1', ['--tlscert', pem.cert])).toEqual([
      'TLS Server private key must be present and valid',
    ]);
  });
});

describe('odd values', () => {
  type Row = Omit<OptionRow<never>, 'read'>;
  const scalar = fc.constantFrom(
    '1',
    '-1',
    '99999999999',
    'true',
    '"x"',
    '""',
    '"1s"',
    '1.5',
    '"a b"',
    '"nats://a:1"',
  );
  const odd = fc.oneof(
    scalar,
    fc.constantFrom(
      '[]',
      '{}',
      '[[1]]',
      '[{}]',
      '{ a: 1 }',
      '2024-01-01T00:00:00Z',
      '["a", 1, { b: [] }]',
      '$ENV',
    ),
  );

  function valueFor(row: Row): fc.Arbitrary<string> {
    if (row.children === undefined || row.children.length === 0) return odd;
    const block = blockOf(row.children);
    const wrapped = block.map((text) => `{ ${text} }`);
    return fc.oneof(
      odd,
      wrapped,
      fc.array(wrapped, { maxLength: 2 }).map((blocks) => `[${blocks.join(', ')}]`),
    );
  }

  function blockOf(rows: readonly Row[]): fc.Arbitrary<string> {
    const entry = fc
      .constantFrom(...rows)
      .chain((row) => fc.tuple(fc.constantFrom(row.name, ...row.aliases, 'unknown'), valueFor(row)))
      .map(([name, text]) => `${name}: ${text}`);
    return fc.array(entry, { maxLength: 4 }).map((entries) => entries.join('\n'));
  }

  test('for any option end as options or as errors with a position', () => {
    fc.assert(
      fc.property(blockOf(TOP_LEVEL_ROWS), (config) => {
        const result = load(config, [], { ENV: '7' });
        if ('options' in result) expect(result.options.configFile).toBe('x.conf');
        else expect(result.errors.join()).not.toBe('');
      }),
      { seed: 11, numRuns: 3000 },
    );
  });
});
