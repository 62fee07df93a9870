/** The HTTP upgrade: who gets in, and what everybody else is told (websocket.md §2). */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Daemon } from '../support/daemon.ts';
import { upgradeRequest, WebsocketClient } from '../support/websocket-client.ts';
import { startWebsocket, TRANSPORTS, websocketPort } from '../support/websocket-daemon.ts';

const BODY: Record<number, string> = {
  400: 'Bad Request\n',
  403: 'Forbidden\n',
  404: 'Not Found\n',
  405: 'Method Not Allowed\n',
};

describe.each(TRANSPORTS)('upgrade over %s', (transport) => {
  let daemon: Daemon;
  let port: number;
  beforeAll(async () => {
    daemon = await startWebsocket(
      transport,
      'same_origin: false, allowed_origins: ["http://b.com", "https://c.com:8443"], headers { X-One: "1", x-two: "a b" }',
    );
    port = websocketPort(daemon);
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  async function upgrade(headers: Record<string, string | null> = {}, path = '/'): Promise<WebsocketClient> {
    const client = await WebsocketClient.connect({ port, path, headers });
    return client;
  }

  test('says which transport runs', async () => {
    await daemon.untilLogged(
      new RegExp(`WebSocket transport: ${transport === 'ws' ? 'ws' : 'uWebSockets.js'}`),
    );
  });

  test.each(['/', '/some/path?q=1', '/mqttx'])('accepts %s', async (path) => {
    const client = await upgrade({}, path);
    expect(client.status).toBe(101);
    expect(client.header('Sec-WebSocket-Accept')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    expect(client.header('X-One')).toBe('1');
    expect(client.header('x-two')).toBe('a b');
    expect(client.header('Sec-WebSocket-Protocol')).toBeNull();
    await client.info();
    client.destroy();
  });

  test('ignores sub-protocols', async () => {
    const client = await upgrade({ 'Sec-WebSocket-Protocol': 'nats, chat' });
    expect(client.header('Sec-WebSocket-Protocol')).toBeNull();
    client.destroy();
  });

  test('takes tokens in lists, whatever their case', async () => {
    const client = await upgrade({ Upgrade: 'h2c, WebSocket', Connection: 'keep-alive, UPGRADE' });
    expect(client.status).toBe(101);
    client.destroy();
  });

  test.each<[string, Record<string, string | null>, number, string]>([
    ['no upgrade', { Upgrade: 'h2c' }, 400, "invalid value for header 'Upgrade'"],
    ['no connection', { Connection: 'close, x' }, 400, "invalid value for header 'Connection'"],
    ['no key', { 'Sec-WebSocket-Key': null }, 400, 'key missing'],
    ['a short key', { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25j' }, 400, 'invalid websocket key'],
    ['another version', { 'Sec-WebSocket-Version': '8' }, 400, 'invalid version'],
    ['another origin', { Origin: 'http://a.com' }, 403, 'origin not allowed: not in the allowed list'],
    ['another scheme', { Origin: 'https://b.com' }, 403, 'origin not allowed: not in the allowed list'],
    ['another port', { Origin: 'https://c.com' }, 403, 'origin not allowed: not in the allowed list'],
    ['origin null', { Origin: 'null' }, 403, 'parse "null": invalid URI for request'],
    ['an empty host', { Host: '' }, 400, "'Host' missing in request"],
  ])('refuses %s', async (_name, headers, status, reason) => {
    const from = daemon.log.length;
    const client = await upgrade(headers);
    expect(client.status).toBe(status);
    expect(client.header('Content-Type')).toBe('text/plain; charset=utf-8');
    expect(client.header('Sec-Websocket-Version')).toBe('13');
    expect(client.header('X-Content-Type-Options')).toBe('nosniff');
    expect(client.header('Content-Length')).toBe(String(BODY[status]!.length));
    await client.until(() => client.body.length === BODY[status]!.length, 'the body');
    expect(client.body).toBe(BODY[status]);
    const escaped = reason.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    await daemon.untilLogged(new RegExp(`127.0.0.1:\\d+ - websocket handshake error: ${escaped}`), from);
    client.destroy();
  });

  test.each(['http://b.com', 'http://B.COM:80', 'https://c.com:8443'])('origin %s may', async (origin) => {
    const client = await upgrade({ Origin: origin });
    expect(client.status).toBe(101);
    client.destroy();
  });

  test('MQTT is not found', async () => {
    const client = await upgrade({}, '/x/mqtt');
    expect(client.status).toBe(404);
    client.destroy();
  });

  test('another method is not allowed', async () => {
    const client = await WebsocketClient.open({ port });
    client.socket.write(upgradeRequest({ port }).replace('GET', 'POST'), 'latin1');
    await client.until(() => client.head !== '', 'the response');
    expect(client.status).toBe(405);
    client.destroy();
  });

  test('a leaf node is let in and at once out again', async () => {
    const from = daemon.log.length;
    const client = await upgrade({}, '/x/leafnode');
    expect(client.status).toBe(101);
    await client.untilClosed();
    expect(client.frames).toEqual([]);
    await daemon.untilLogged(/Not configured to accept leaf node connections/, from);
  });

  test('shows a forwarded address in the log, when it is one', async () => {
    const from = daemon.log.length;
    const client = await upgrade({ 'X-Forwarded-For': '10.1.2.3' });
    expect((await client.info()).client_ip).toBe('127.0.0.1');
    client.send('CONNECT {"verbose":1}\r\n');
    await client.untilClosed();
    await daemon.untilLogged(/ 10\.1\.2\.3\/127\.0\.0\.1:\d+ - wid:\d+ - /, from);
    const list = await upgrade({ 'X-Forwarded-For': '10.1.2.3, 1.1.1.1' });
    list.send('CONNECT {"verbose":1}\r\n');
    await list.untilClosed();
    await daemon.untilLogged(/ 127\.0\.0\.1:\d+ - wid:\d+ - /, from);
  });
});

describe('what the built-in transport alone does as nats-server', () => {
  let daemon: Daemon;
  let port: number;
  beforeAll(async () => {
    daemon = await startWebsocket('ws', 'same_origin: true, compression: true');
    port = websocketPort(daemon);
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  test("the response's lines and their order", async () => {
    const client = await WebsocketClient.connect({
      port,
      headers: {
        'Nats-No-Masking': 'true',
        'Sec-WebSocket-Extensions': 'x, permessage-deflate; server_max_window_bits=10',
      },
    });
    expect(client.head.split('\r\n')).toEqual([
      'HTTP/1.1 101 Switching Protocols',
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
      'Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover',
      'Nats-No-Masking: true',
    ]);
    client.destroy();
  });

  test('one origin only: its own', async () => {
    const own = await WebsocketClient.connect({ port, headers: { Origin: `http://127.0.0.1:${port}` } });
    expect(own.status).toBe(101);
    own.destroy();
    const other = await WebsocketClient.connect({ port, headers: { Origin: 'http://127.0.0.1' } });
    expect(other.status).toBe(403);
    other.destroy();
  });

  test('another request may follow a refused one', async () => {
    const client = await WebsocketClient.open({ port });
    const refused = upgradeRequest({ port, headers: { 'Sec-WebSocket-Version': '7' } });
    client.socket.write(refused + upgradeRequest({ port }), 'latin1');
    await client.until(() => client.body.includes('101 Switching'), 'the second response');
    expect(client.status).toBe(400);
    client.destroy();
  });

  test('data in front of the response ends it', async () => {
    const from = daemon.log.length;
    const client = await WebsocketClient.open({ port });
    client.socket.write(`${upgradeRequest({ port })}x`, 'latin1');
    await client.untilClosed();
    expect(client.head).toBe('');
    await daemon.untilLogged(/client sent data before handshake is complete/, from);
  });

  test.each([
    ['no HTTP', 'PUB a 1\r\n\r\n', 400],
    ['a folded line', 'GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n', 400],
    ['a blank in a name', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n', 400],
    ['no host', 'GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n', 400],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['a head without end', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(33 * 1024)}`, 431],
  ])('%s ends the connection', async (_name, request, status) => {
    const client = await WebsocketClient.open({ port });
    client.socket.write(request, 'latin1');
    await client.untilClosed();
    expect(client.status).toBe(status);
    expect(client.header('Connection')).toBe('close');
  });

  test('a slow handshake ends without a word, a fast one may be idle afterwards', async () => {
    const impatient = await startWebsocket('ws', 'handshake_timeout: "1s"');
    const options = { port: websocketPort(impatient) };
    try {
      const ready = await WebsocketClient.connect(options);
      const slow = await WebsocketClient.open(options);
      slow.socket.write('GET / HTTP/1.1\r\n');
      await slow.untilClosed();
      expect(slow.head + slow.body).toBe('');
      expect(await ready.handshake()).toBe(true);
      ready.destroy();
    } finally {
      await impatient.stop();
    }
  });

  test('who never becomes a client is not counted', async () => {
    const waiting = await WebsocketClient.open({ port });
    const client = await WebsocketClient.connect({ port });
    await client.handshake();
    waiting.destroy();
    expect((await client.info()).client_id).toBeGreaterThan(0);
    client.destroy();
  });
});
