/** Who gets in over WebSocket, and what options and a reload change about it (websocket.md §1, §3). */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Daemon } from '../support/daemon.ts';
import { RawClient } from '../support/raw-client.ts';
import { runServer } from '../support/run-server.ts';
import { WebsocketClient } from '../support/websocket-client.ts';
import { startWebsocket, TRANSPORTS, websocketPort } from '../support/websocket-daemon.ts';

async function withDaemon(
  [transport, block, rest]: ['ws' | 'uws', string, string],
  run: (daemon: Daemon) => Promise<void>,
): Promise<void> {
  const daemon = await startWebsocket(transport, block, rest);
  try {
    await run(daemon);
  } finally {
    await daemon.stop();
  }
}

/** What becomes of a CONNECT: `in`, or the error. */
async function login(
  daemon: Daemon,
  fields: Record<string, unknown>,
  headers: Record<string, string> = {},
): Promise<string> {
  const client = await WebsocketClient.connect({ port: websocketPort(daemon), headers });
  const isIn = await client.handshake(fields);
  if (!isIn) {
    expect(client.closeFrame).toEqual({ status: 1008, text: 'Authentication Failure' });
    return /-ERR '([^']*)'/.exec(client.text)?.[1] ?? 'closed';
  }
  client.destroy();
  return 'in';
}

function temporaryConfig(): { writeConfig: (text: string) => string; remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), 'natsd-websocket-'));
  const file = join(directory, 'x.conf');
  return {
    writeConfig: (text) => {
      writeFileSync(file, text);
      return file;
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

const REFUSED = 'Authorization Violation';

describe.each(TRANSPORTS)('login over %s', (transport) => {
  test('credentials of the listener replace the global ones', async () => {
    const block = 'authorization { user: web, pass: secret }';
    const rest = 'authorization { user: tcp, pass: other }';
    await withDaemon([transport, block, rest], async (daemon) => {
      expect(await login(daemon, { user: 'web', pass: 'secret' })).toBe('in');
      expect(await login(daemon, { user: 'web', pass: 'no' })).toBe(REFUSED);
      expect(await login(daemon, { user: 'tcp', pass: 'other' })).toBe(REFUSED);
      const tcp = await RawClient.connect({ port: daemon.port });
      expect(await tcp.handshake({ user: 'web', pass: 'secret' })).toBe(false);
    });
  });

  test('a token of the listener leaves TCP open to all, and INFO says so', async () => {
    await withDaemon([transport, 'authorization { token: t0k }', ''], async (daemon) => {
      expect(await login(daemon, { auth_token: 't0k' })).toBe('in');
      expect(await login(daemon, {})).toBe(REFUSED);
      const client = await WebsocketClient.connect({ port: websocketPort(daemon) });
      expect((await client.info()).auth_required).toBe(true);
      client.destroy();
      const tcp = await RawClient.connect({ port: daemon.port });
      expect((await tcp.info()).auth_required).toBeUndefined();
      expect(await tcp.handshake()).toBe(true);
      tcp.destroy();
    });
  });

  test('cookies fill what CONNECT leaves empty, and nothing else', async () => {
    const block = 'user_cookie: u, pass_cookie: p, token_cookie: t';
    const rest = 'authorization { users = [{user: a, password: pa}, {user: b, password: pb}] }';
    await withDaemon([transport, block, rest], async (daemon) => {
      expect(await login(daemon, {}, { Cookie: 'x=1; u=a; p=pa' })).toBe('in');
      expect(await login(daemon, {}, { Cookie: 'u=a; p=pb' })).toBe(REFUSED);
      expect(await login(daemon, { user: 'b' }, { Cookie: 'u=a; p=pb' })).toBe('in');
      expect(await login(daemon, { user: 'b', pass: 'pb' }, { Cookie: 'u=a; p=pa' })).toBe('in');
    });
  });

  test('a token cookie', async () => {
    await withDaemon([transport, 'token_cookie: t', 'authorization { token: t0k }'], async (daemon) => {
      expect(await login(daemon, {}, { Cookie: 't=t0k' })).toBe('in');
      expect(await login(daemon, {}, { Cookie: 't=other' })).toBe(REFUSED);
    });
  });

  test('no_auth_user and allowed_connection_types', async () => {
    const rest = `authorization { users = [
      {user: web, password: x, allowed_connection_types: ["WEBSOCKET"]}
      {user: tcp, password: x, allowed_connection_types: ["STANDARD"]}
      {user: any, password: x} ] }`;
    await withDaemon([transport, 'no_auth_user: web', rest], async (daemon) => {
      expect(await login(daemon, {})).toBe('in');
      expect(await login(daemon, { user: 'tcp', pass: 'x' })).toBe(REFUSED);
      expect(await login(daemon, { user: 'any', pass: 'x' })).toBe('in');
      const tcp = await RawClient.connect({ port: daemon.port });
      expect(await tcp.handshake({ user: 'web', pass: 'x' })).toBe(false);
    });
  });

  test('a timeout of its own', async () => {
    const block = 'authorization { token: t, timeout: "100ms" }';
    await withDaemon([transport, block, 'authorization { token: t, timeout: 30 }'], async (daemon) => {
      const client = await WebsocketClient.connect({ port: websocketPort(daemon) });
      await client.untilClosed();
      expect(client.text).toMatch(/-ERR 'Authentication Timeout'/);
      expect(client.closeFrame).toEqual({ status: 1008, text: 'Authentication Timeout' });
    });
  });

  test('a ping interval of its own; who does not answer is stale', async () => {
    const block = 'ping_interval: "100ms"';
    await withDaemon([transport, block, 'ping_interval: "1h"\nping_max: 1'], async (daemon) => {
      const client = await WebsocketClient.connect({ port: websocketPort(daemon) });
      await client.untilClosed();
      expect(client.text).toMatch(/PING\r\n/);
      expect(client.text).toMatch(/-ERR 'Stale Connection'/);
      expect(client.closeFrame).toEqual({ status: 1001, text: 'Stale Connection' });
    });
  });

  test('a reload refuses changes of the block, and ends users that are gone', async () => {
    const rest = 'authorization { users = [{user: a, password: x}, {user: b, password: x}] }';
    await withDaemon([transport, 'no_auth_user: b', rest], async (daemon) => {
      const client = await WebsocketClient.connect({ port: websocketPort(daemon) });
      await client.handshake({ user: 'a', pass: 'x' });
      const config = readFileSync(daemon.configFile, 'utf8');
      writeFileSync(daemon.configFile, config.replace('no_auth_user: b', 'no_auth_user: a'));
      daemon.kill('SIGHUP');
      let from = await daemon.untilLogged(/config reload not supported for Websocket/);
      writeFileSync(daemon.configFile, config.replace('{user: a, password: x}, ', ''));
      daemon.kill('SIGHUP');
      from = await daemon.untilLogged(/Reloaded server configuration/, from);
      await client.untilClosed();
      expect(client.closeFrame?.status).toBe(1000);
      expect(await login(daemon, {})).toBe('in');
    });
  });
});

describe('TLS', () => {
  const { server, ca, caFile, client: own, stranger } = certificates();
  const files = `cert_file: "${server.certFile}", key_file: "${server.keyFile}"`;

  test('wss, whose INFO says so; plain HTTP is told', async () => {
    await withDaemon(['ws', `tls { ${files} }`, ''], async (daemon) => {
      expect(daemon.ports.websocket?.[0]).toMatch(/^wss:/);
      const port = websocketPort(daemon);
      const client = await WebsocketClient.connect({ port, tls: { ca } });
      expect(await client.info()).toMatchObject({ tls_required: true, tls_available: true });
      expect(await client.handshake()).toBe(true);
      await client.sync('SUB a 1\r\n');
      const payload = 'x'.repeat(900_000);
      client.send(`PUB a 900000\r\n${payload}\r\n`);
      await client.until(() => client.text.includes(`MSG a 1 900000\r\n${payload}\r\n`), 'the message');
      client.destroy();
      const plain = await WebsocketClient.connect({ port });
      await plain.untilClosed();
      expect(plain.head).toBe('HTTP/1.0 400 Bad Request');
      expect(plain.body).toBe('Client sent an HTTP request to an HTTPS server.\n');
    });
  });

  test('client certificates', async () => {
    await withDaemon(['ws', `tls { ${files}, ca_file: "${caFile}", verify: true }`, ''], async (daemon) => {
      const port = websocketPort(daemon);
      const known = await WebsocketClient.connect({ port, tls: { ca, cert: own.cert, key: own.key } });
      expect(await known.handshake()).toBe(true);
      known.destroy();
      for (const certificate of [{}, { cert: stranger.cert, key: stranger.key }]) {
        const from = daemon.log.length;
        const refused = await WebsocketClient.connect({ port, tls: { ca, ...certificate } });
        await refused.untilClosed();
        expect(refused.head).toBe('');
        await daemon.untilLogged(/websocket: TLS handshake error from 127\.0\.0\.1:\d+: tls: /, from);
      }
    });
  });

  test('a reload takes over certificates', async () => {
    await withDaemon(['ws', `tls { ${files} }`, ''], async (daemon) => {
      const config = readFileSync(daemon.configFile, 'utf8');
      writeFileSync(
        daemon.configFile,
        config.replace(server.certFile, own.certFile).replace(server.keyFile, own.keyFile),
      );
      daemon.kill('SIGHUP');
      await daemon.untilLogged(/Reloaded server configuration/);
      const client = await WebsocketClient.open({
        port: websocketPort(daemon),
        tls: { ca, rejectUnauthorized: false },
      });
      const socket = client.socket as import('node:tls').TLSSocket;
      expect(socket.getPeerCertificate().subject.CN).toBe('client');
      client.destroy();
    });
  });
});

describe('configurations that are refused', () => {
  const files = certificates().server;
  const users = 'authorization { users = [{user: a, password: x}] }';
  test.each<[string, string, string]>([
    ['port: -1', '', 'websocket requires TLS configuration'],
    ['port: -1, no_tls: true, transport: x', '', "transport must be 'auto', 'ws' or 'uws'"],
    [
      'port: -1, no_tls: true, transport: uws, compression: true',
      '',
      "websocket transport uws can't be used: it has no compression within max_payload",
    ],
    [
      `port: -1, transport: uws, tls { cert_file: "${files.certFile}", key_file: "${files.keyFile}" }`,
      '',
      "websocket transport uws can't be used: it has no TLS of this kind",
    ],
    [
      'port: -1, no_tls: true, authorization { user: a }',
      users,
      'websocket authentication username not compatible with presence of users/nkeys',
    ],
    [
      'port: -1, no_tls: true, authorization { token: a }',
      users,
      'websocket authentication token not compatible with presence of users/nkeys',
    ],
    ['port: -1, no_tls: true, authorization { users: [] }', '', 'unknown field "users"'],
    ['port: -1, no_tls: true, username_cookie: a', '', 'unknown field "username_cookie"'],
    [
      'port: -1, no_tls: true, no_auth_user: b',
      users,
      'no_auth_user: "b" not present as user or nkey in authorization block or account configuration',
    ],
    [
      'port: -1, no_tls: true, jwt_cookie: j',
      '',
      'trusted operators or trusted keys configuration is required for JWT authentication via cookie "j"',
    ],
    ['port: -1, no_tls: true, headers { Upgrade: x }', '', 'websocket: invalid header "Upgrade" not allowed'],
    [
      'port: -1, no_tls: true, headers { Sec-WebSocket-X: x }',
      '',
      'websocket: invalid header "Sec-WebSocket-X", "Sec-WebSocket-" prefix not allowed',
    ],
    ['port: -1, no_tls: true, advertise: "a:b"', '', 'Unable to get websocket connect URLs: '],
    [
      'port: -1, no_tls: true, origins: "b.com"',
      '',
      'unable to parse allowed origin: parse "b.com": invalid URI for request',
    ],
  ])('websocket { %s }', async (block, rest, problem) => {
    const { writeConfig, remove } = temporaryConfig();
    try {
      const { code, stderr } = await runServer([
        '-c',
        writeConfig(`port: -1\nwebsocket { ${block} }\n${rest}`),
      ]);
      expect(stderr).toContain(problem);
      expect(code).toBe(1);
    } finally {
      remove();
    }
  });
});
