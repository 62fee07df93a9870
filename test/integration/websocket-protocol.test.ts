/** NATS inside of WebSocket frames: framing, closing, limits, login (websocket.md §3–§5). */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Daemon } from '../support/daemon.ts';
import { RawClient } from '../support/raw-client.ts';
import type { Frame } from '../support/server-frames.ts';
import { WebsocketClient, type WebsocketClientOptions } from '../support/websocket-client.ts';
import { startWebsocket, TRANSPORTS, websocketPort } from '../support/websocket-daemon.ts';
import { clientFrame } from '../support/websocket-frames.ts';

async function connected(
  daemon: Daemon,
  options: Omit<WebsocketClientOptions, 'port'> = {},
  fields: Record<string, unknown> = {},
): Promise<WebsocketClient> {
  const client = await WebsocketClient.connect({ port: websocketPort(daemon), ...options });
  await client.handshake(fields);
  return client;
}

/** The server PINGs clients, the first time two seconds after CONNECT. */
function withoutPings(text: string): string {
  return text.replaceAll('PING\r\n', '');
}

/** Shards that listen by themselves stop one after the other. */
async function untilRefused(port: number): Promise<void> {
  for (;;) {
    try {
      (await WebsocketClient.open({ port })).destroy();
    } catch (error) {
      // Reset: it still waited to be accepted when the listener closed.
      const { code } = error as NodeJS.ErrnoException;
      expect(['ECONNREFUSED', 'ECONNRESET']).toContain(code);
      if (code === 'ECONNREFUSED') return;
    }
  }
}

describe.each(TRANSPORTS)('NATS over %s', (transport) => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await startWebsocket(
      transport,
      '',
      'max_payload: 65536\nhttp: "127.0.0.1:-1"\nmax_control_line: 1024',
    );
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  test('INFO names this listener, and connz this kind', async () => {
    const client = await connected(daemon, {}, { name: 'web' });
    const info = await client.info();
    expect(info).toMatchObject({ host: '127.0.0.1', port: websocketPort(daemon), client_ip: '127.0.0.1' });
    expect(info.tls_required).toBeUndefined();
    const response = await fetch(`${daemon.monitoringUrl}/connz`);
    const { connections } = (await response.json()) as { connections: Record<string, unknown>[] };
    expect(connections.find(({ name }) => name === 'web')).toMatchObject({
      kind: 'Client',
      type: 'websocket',
    });
    client.destroy();
  });

  test('varz and healthz know the listener', async () => {
    const varz = (await (await fetch(`${daemon.monitoringUrl}/varz`)).json()) as { websocket: unknown };
    expect(varz.websocket).toEqual({ host: '127.0.0.1', port: websocketPort(daemon), no_tls: true });
    expect(await (await fetch(`${daemon.monitoringUrl}/healthz`)).json()).toEqual({ status: 'ok' });
  });

  test('operations span frames and fragments, text is as good as binary', async () => {
    const client = await connected(daemon);
    client.send('SUB a 1\r\nPU');
    client.send('B a 5\r\nhe', { fin: false });
    client.send('', { opcode: 9 });
    client.send('', { opcode: 0, fin: false });
    client.send('llo\r\nPING', { opcode: 0 });
    client.send('\r\n', { opcode: 1 });
    expect(await client.expect(/MSG a 1 5\r\nhello\r\n/)).toBeTruthy();
    await client.until(() => client.frames.some(({ opcode }) => opcode === 10), 'the pong');
    expect(client.frames.every(({ masked, reserved }) => !masked && reserved === 0)).toBe(true);
    client.destroy();
  });

  test('pings are answered with their payload', async () => {
    const client = await connected(daemon);
    for (const payload of ['', 'abc', 'x'.repeat(125)]) client.send(payload, { opcode: 9 });
    const pongs = () =>
      client.frames.filter(({ opcode }) => opcode === 10).map(({ payload }) => payload.toString());
    await client.until(() => pongs().length === 3, 'three pongs');
    expect(pongs()).toEqual(['', 'abc', 'x'.repeat(125)]);
    client.send('nobody asked', { opcode: 10 });
    expect(await client.sync()).toBe(true);
    client.destroy();
  });

  test('to and from TCP clients, small and large', async () => {
    const web = await connected(daemon);
    const tcp = await RawClient.connect({ port: daemon.port });
    await tcp.handshake();
    await web.sync('SUB to.web 1\r\n');
    await tcp.sync('SUB to.tcp 1\r\n');
    for (const size of [0, 1, 125, 126, 4000, 20_000, 40_000, 65_536]) {
      const payload = 'abcdefg'.repeat(10_000).slice(0, size);
      const isBack = (frame: Frame): boolean => frame.op === 'MSG' && frame.payload === payload;
      tcp.send(`PUB to.web ${size}\r\n${payload}\r\n`);
      await web.until(() => web.text.includes(`MSG to.web 1 ${size}\r\n${payload}\r\n`), `${size} bytes`);
      web.send(`PUB to.tcp ${size}\r\n${payload}\r\n`);
      await tcp.until((frames) => frames.some(isBack), `${size} bytes back`);
    }
    web.destroy();
    tcp.destroy();
  });

  test('a thousand messages arrive in order', async () => {
    const [reader, writer] = [await connected(daemon), await connected(daemon)];
    await reader.sync('SUB n 1\r\n');
    let expected = '';
    for (let i = 0; i < 1000; i++) {
      const payload = String(i).padStart(4, '0').repeat(30);
      writer.send(`PUB n 120\r\n${payload}\r\n`);
      expected += `MSG n 1 120\r\n${payload}\r\n`;
    }
    await reader.until(() => reader.text.includes('0999'.repeat(30)), 'the last one');
    expect(withoutPings(reader.text).includes(expected)).toBe(true);
    reader.destroy();
    writer.destroy();
  });

  test.each([
    [1000, 'bye'],
    [1001, ''],
    [4001, 'x'.repeat(100)],
    [4999, 'y'],
  ])('a close frame %i is echoed', async (status, text) => {
    const client = await connected(daemon);
    const payload = Buffer.concat([Buffer.from([status >> 8, status & 255]), Buffer.from(text)]);
    client.send(payload, { opcode: 8 });
    await client.untilClosed();
    expect(client.closeFrame?.status).toBe(status);
  });

  test.each<[string, string, number, RegExp]>([
    ['payload too large', 'PUB a 65537\r\n', 1009, /-ERR 'Maximum Payload Violation'\r\n/],
    [
      'control line too long',
      `SUB ${'a'.repeat(2000)} 1\r\n`,
      1008,
      /-ERR 'maximum control line exceeded'\r\n/,
    ],
    ['no operation', 'FOO\r\n', 1002, /-ERR 'Unknown Protocol Operation'\r\n/],
  ])('%s: an error, a close frame, the end', async (_name, input, status, error) => {
    const client = await connected(daemon);
    client.send(input);
    await client.untilClosed();
    expect(client.text).toMatch(error);
    expect(client.closeFrame?.status).toBe(status);
  });

  test('a client that does not read is a slow consumer, the others are served', async () => {
    const small = await startWebsocket(transport, '', 'max_pending: 1048576\nmax_payload: 262144');
    try {
      const [slow, writer] = [await connected(small), await connected(small)];
      await slow.sync('SUB flood 1\r\n');
      slow.socket.pause();
      let detected = false;
      const logged = small.untilLogged(/wid:\d+.*Slow Consumer Detected: MaxPending of 1048576 Exceeded/);
      void logged.then(() => {
        detected = true;
      });
      const message = `PUB flood 200000\r\n${'f'.repeat(200_000)}\r\n`;
      for (let i = 0; !detected && i < 400; i++) expect(await writer.sync(message)).toBe(true);
      await logged;
      slow.socket.resume();
      await slow.untilClosed();
      expect(await writer.sync()).toBe(true);
      writer.destroy();
    } finally {
      await small.stop();
    }
  });

  test('a client that reads late gets every byte, whatever the kernel had taken at once', async () => {
    const [late, writer] = [await connected(daemon), await connected(daemon)];
    await late.sync('SUB late.> 1\r\n');
    const [before, known] = [late.text.length, late.frames.length];
    late.socket.pause();
    let expected = '';
    // More than the kernel keeps for a connection, in messages shorter and longer than what is copied at once.
    for (let i = 0; expected.length < 24e6; i++) {
      const size = 1 + ((i * 7919) % 65_000);
      const payload = String.fromCharCode(97 + (i % 26)).repeat(size);
      writer.send(`PUB late.${i} ${size}\r\n${payload}\r\n`);
      expected += `MSG late.${i} 1 ${size}\r\n${payload}\r\n`;
    }
    expect(await writer.sync()).toBe(true);
    late.socket.resume();
    late.send('PING\r\n');
    const lastFrames = () => late.frames.slice(Math.max(known, late.frames.length - 3));
    await late.until(() => lastFrames().some(({ payload }) => payload.includes('PONG')), 'PONG');
    expect(withoutPings(late.text.slice(before)) === `${expected}PONG\r\n`).toBe(true);
    for (const client of [late, writer]) client.destroy();
  });

  test('max_connections counts these too', async () => {
    const small = await startWebsocket(transport, '', 'max_connections: 1', { shards: 1 });
    try {
      const first = await connected(small);
      const second = await WebsocketClient.connect({ port: websocketPort(small) });
      await second.untilClosed();
      expect(second.text).toMatch(/-ERR 'maximum connections exceeded'\r\n/);
      expect(second.closeFrame).toEqual({ status: 1008, text: 'Maximum Connections Exceeded' });
      first.destroy();
    } finally {
      await small.stop();
    }
  });

  test('shutdown says so', async () => {
    const other = await startWebsocket(transport);
    const client = await connected(other);
    other.kill('SIGTERM');
    await client.untilClosed();
    expect(client.closeFrame).toEqual({ status: 1001, text: 'Server Shutdown' });
    expect((await other.stop()).code).toBe(0);
  });

  test('lame duck tells clients, refuses new ones, and ends', async () => {
    const other = await startWebsocket(
      transport,
      '',
      'lame_duck_duration: "31s"\nlame_duck_grace_period: "1s"',
    );
    const client = await connected(other);
    const port = websocketPort(other);
    other.kill('SIGUSR2');
    expect(await client.expect(/INFO [^\r]*"ldm":true/)).toBeTruthy();
    await untilRefused(port);
    await client.untilClosed();
    expect(client.closeFrame).toEqual({ status: 1001, text: 'Server Shutdown' });
    expect((await other.exited()).code).toBe(0);
    await other.stop();
  });
});

describe('framing of the built-in transport', () => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await startWebsocket('ws', 'compression: true', 'max_payload: 65536');
  });
  afterAll(async () => {
    await daemon?.stop();
  });
  const deflate = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };

  function compressed(text: string): Buffer {
    const bytes = deflateRawSync(Buffer.from(text, 'latin1'), { finishFlush: constants.Z_SYNC_FLUSH });
    return bytes.subarray(0, -4);
  }

  function inflated(client: WebsocketClient): string {
    let text = '';
    let message: Buffer[] = [];
    let isCompressed = false;
    for (const { opcode, reserved, fin, payload } of client.frames.filter((frame) => frame.opcode <= 2)) {
      if (opcode !== 0) isCompressed = reserved === 0x40;
      message.push(payload);
      if (!fin) continue;
      const bytes = Buffer.concat([...message, Buffer.from([0, 0, 255, 255])]);
      const plain = isCompressed
        ? inflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH })
        : bytes.subarray(0, -4);
      text += plain.toString('latin1');
      message = [];
    }
    return text;
  }

  test.each<[string, Buffer, number, string]>([
    ['no mask', clientFrame('PING\r\n', { masked: false }), 1002, 'mask bit missing'],
    [
      'a long ping',
      clientFrame('x'.repeat(126), { opcode: 9 }),
      1002,
      'control frame length bigger than maximum allowed of 125 bytes',
    ],
    [
      'a fragmented ping',
      clientFrame('', { opcode: 9, fin: false }),
      1002,
      'control frame does not have final bit set',
    ],
    ['a reserved opcode', clientFrame('', { opcode: 3 }), 1002, 'unknown opcode 3'],
    ['a reserved bit', clientFrame('', { reserved: 0x20 }), 1002, 'RSV2 and RSV3 must be clear'],
    ['a stray continuation', clientFrame('', { opcode: 0 }), 1002, 'invalid continuation frame'],
    [
      'a close frame of a byte',
      clientFrame('x', { opcode: 8 }),
      1002,
      'close frame payload cannot be 1 byte',
    ],
    [
      'status 1005',
      clientFrame(Buffer.from([3, 237]), { opcode: 8 }),
      1002,
      'invalid close status code 1005',
    ],
    ['status 999', clientFrame(Buffer.from([3, 231]), { opcode: 8 }), 1002, 'invalid close status code 999'],
    [
      'status 5000',
      clientFrame(Buffer.from([0x13, 0x88]), { opcode: 8 }),
      1002,
      'invalid close status code 5000',
    ],
    [
      'text that is not UTF-8',
      clientFrame(Buffer.from([3, 232, 0xff]), { opcode: 8 }),
      1007,
      'invalid utf8 body in close frame',
    ],
  ])('%s', async (_name, bytes, status, text) => {
    const client = await connected(daemon);
    client.write(bytes);
    await client.untilClosed();
    expect(client.closeFrame).toEqual({ status, text });
  });

  test('a close frame does not overtake what came before it', async () => {
    const reader = await connected(daemon);
    await reader.sync('SUB last 1\r\n');
    const writer = await connected(daemon);
    writer.write(Buffer.concat([clientFrame('PUB last 2\r\nhi\r\n'), clientFrame('', { opcode: 8 })]));
    await writer.untilClosed();
    expect(writer.closeFrame).toEqual({ status: 0, text: '' });
    expect(await reader.expect(/MSG last 1 2\r\nhi/)).toBeTruthy();
    reader.destroy();
  });

  test.each([3000, 1014])('status %i comes back with its text', async (status) => {
    const client = await connected(daemon);
    const text = 'x'.repeat(123);
    client.send(Buffer.concat([Buffer.from([status >> 8, status & 255]), Buffer.from(text)]), { opcode: 8 });
    await client.untilClosed();
    expect(client.closeFrame).toEqual({ status, text });
  });

  test('unmasked frames, when that was agreed on', async () => {
    const client = await WebsocketClient.connect({
      port: websocketPort(daemon),
      headers: { 'Nats-No-Masking': 'true' },
    });
    client.send('PING\r\n', { masked: false });
    expect(await client.expect(/PONG\r\n/)).toBeTruthy();
    client.destroy();
  });

  test('text that is not UTF-8 passes', async () => {
    const client = await connected(daemon);
    await client.sync('SUB raw 1\r\n');
    client.send('PUB raw 3\r\n\xff\xc0\x80\r\n', { opcode: 1 });
    expect(await client.expect(/MSG raw 1 3\r\n\xff\xc0\x80\r\n/)).toBeTruthy();
    client.destroy();
  });

  test('one frame holds what a read caused', async () => {
    const client = await connected(daemon);
    await client.sync('SUB many 1\r\n');
    const before = client.frames.length;
    client.send(`${'PUB many 3\r\nabc\r\n'.repeat(100)}PING\r\n`);
    await client.until(() => client.text.split('MSG many').length === 101, '100 messages');
    const caused = client.frames.slice(before).filter(({ payload }) => payload.toString() !== 'PING\r\n');
    expect(caused.length).toBeLessThanOrEqual(2);
    client.destroy();
  });

  test('browsers get frames of 4096 bytes', async () => {
    const client = await connected(daemon, { headers: { 'User-Agent': 'Mozilla/5.0 (X11)' } });
    await client.sync('SUB big 1\r\n');
    const payload = 'b'.repeat(10_000);
    client.send(`PUB big 10000\r\n${payload}\r\n`);
    await client.until(() => client.text.includes(`MSG big 1 10000\r\n${payload}\r\n`), 'the message');
    expect(Math.max(...client.frames.map((frame) => frame.payload.length))).toBe(4096);
    expect(client.frames.every(({ fin, opcode }) => fin && opcode === 2)).toBe(true);
    client.destroy();
  });

  test('compression both ways', async () => {
    const client = await WebsocketClient.connect({ port: websocketPort(daemon), headers: deflate });
    await client.until(() => client.frames.length > 0, 'INFO');
    expect(client.frames[0]).toMatchObject({ reserved: 0x40, fin: true, opcode: 2 });
    const payload = 'z'.repeat(5000);
    client.send(compressed('CONNECT {"verbose":false}\r\nSUB c 1\r\nPING\r\n'), { reserved: 0x40 });
    const message = compressed(`PUB c 5000\r\n${payload}\r\n`);
    client.send(message.subarray(0, 9), { reserved: 0x40, fin: false });
    client.send('between', { opcode: 9 });
    client.send(message.subarray(9), { opcode: 0 });
    client.send('PUB c 2\r\nhi\r\n');
    await client.until(() => inflated(client).includes('MSG c 1 2\r\nhi\r\n'), 'the messages');
    expect(inflated(client)).toContain(`MSG c 1 5000\r\n${payload}\r\n`);
    const small = client.frames.find(({ payload: bytes }) => bytes.toString().includes('MSG c 1 2'));
    expect(small?.reserved ?? 0).toBe(0);
    client.destroy();
  });

  test('compressed messages for browsers are fragments, for Safari they are not', async () => {
    for (const [agent, isSafari] of [
      ['Mozilla/5.0 Firefox/120', false],
      ['Mozilla/5.0 Version/17.0 Safari/605', true],
    ] as const) {
      const client = await WebsocketClient.connect({
        port: websocketPort(daemon),
        headers: { ...deflate, 'User-Agent': agent },
      });
      let noise = '';
      for (let i = 0, x = 1; i < 20_000; i++) {
        x = (x * 48_271) % 0x7fffffff;
        noise += String.fromCharCode(x & 0xff);
      }
      client.send(`CONNECT {"verbose":false}\r\nSUB n 1\r\nPUB n 20000\r\n${noise}\r\n`);
      await client.until(() => inflated(client).includes(noise), 'the message');
      expect(client.frames.some(({ opcode }) => opcode === 0)).toBe(!isSafari);
      client.destroy();
    }
  });

  test('a decompression bomb ends the connection, not the server', async () => {
    const from = daemon.log.length;
    const client = await WebsocketClient.connect({ port: websocketPort(daemon), headers: deflate });
    client.send(compressed('\r\n'.repeat(20_000_000)), { reserved: 0x40 });
    await client.untilClosed();
    expect(client.closeFrame).toEqual({ status: 1009, text: 'maximum payload exceeded' });
    await daemon.untilLogged(/read error: maximum payload exceeded/, from);
  });

  test('a compressed message that never ends is not collected for ever', async () => {
    const client = await WebsocketClient.connect({ port: websocketPort(daemon), headers: deflate });
    const piece = Buffer.alloc(65_536, 7);
    client.send(piece, { reserved: 0x40, fin: false });
    for (let i = 0; i < 8; i++) client.send(piece, { opcode: 0, fin: false });
    await client.untilClosed();
    expect(client.closeFrame).toEqual({ status: 1009, text: 'maximum payload exceeded' });
  });

  test('what is no deflate data ends the connection', async () => {
    const client = await WebsocketClient.connect({ port: websocketPort(daemon), headers: deflate });
    client.send(Buffer.alloc(50, 0xff), { reserved: 0x40 });
    await client.untilClosed();
    expect(client.closeFrame?.status).toBe(1007);
  });

  test('a frame may be larger than any message', async () => {
    const client = await connected(daemon);
    await client.sync('SUB l 1\r\n');
    const message = `PUB l 60000\r\n${'l'.repeat(60_000)}\r\n`;
    client.send(message.repeat(40));
    await client.until(() => client.text.split('MSG l 1').length === 41, '40 messages');
    client.destroy();
  });

  test('a flood of pings to a client that does not read is not stored', async () => {
    const client = await connected(daemon);
    client.socket.pause();
    const flood = Buffer.concat(new Array<Buffer>(2000).fill(clientFrame('p'.repeat(125), { opcode: 9 })));
    for (let i = 0; i < 20; i++) client.write(flood);
    const other = await connected(daemon);
    expect(await other.sync()).toBe(true);
    client.socket.resume();
    expect(await client.sync()).toBe(true);
    client.destroy();
    other.destroy();
  });
});
