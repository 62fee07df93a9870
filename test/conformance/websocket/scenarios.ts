/** Scenarios of the WebSocket listener: the upgrade (websocket.md §2), frames, closes and errors (§3 to §5). */
import {
  type Request,
  type ScriptFrame,
  type WebsocketConfigName,
  type WebsocketScenario,
  websocketScenario,
} from './script.ts';

/** A request that is refused, and one behind it on the same connection. */
function refused(name: string, request: Request, config: WebsocketConfigName = 'plain'): WebsocketScenario {
  return websocketScenario(name, config, (s) => s.request('a', request).request('a'));
}

/** A single request. */
function answered(
  name: string,
  request: Request,
  config: WebsocketConfigName = 'plain',
  options: { builtIn?: boolean } = {},
): WebsocketScenario {
  return websocketScenario(name, config, (s) => s.request('a', request), options);
}

const handshake: WebsocketScenario[] = [
  answered('an upgrade', {}),
  answered('any path and query', { path: '/some/path?q=1' }),
  answered('tokens in lists, in any case', {
    headers: { Upgrade: 'h2c, WebSocket', Connection: 'keep-alive, UPGRADE' },
  }),
  answered('sub-protocols are ignored', { headers: { 'Sec-WebSocket-Protocol': 'nats, chat' } }),
  answered('extensions that are not wanted', {
    headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' },
  }),
  answered(
    'another extension',
    { headers: { 'Sec-WebSocket-Extensions': 'x-webkit-deflate-frame' } },
    'compression',
    { builtIn: true },
  ),
  answered(
    'compression',
    {
      headers: {
        'Sec-WebSocket-Extensions': 'permessage-deflate; server_max_window_bits=10; client_max_window_bits',
      },
    },
    'compression',
    { builtIn: true },
  ),
  answered(
    'compression among others',
    { headers: { 'Sec-WebSocket-Extensions': 'foo, PERMESSAGE-deflate' } },
    'compression',
    { builtIn: true },
  ),
  answered('no masking', { headers: { 'Nats-No-Masking': 'true' } }, 'plain', { builtIn: true }),
  answered('no masking in other letters', { headers: { 'Nats-No-Masking': 'TRUE' } }),
  answered('HTTP/1.0', { version: '1.0' }, 'plain', { builtIn: true }),
  answered('own headers', {}, 'headers'),
  refused('POST', { method: 'POST' }),
  refused('no Upgrade', { headers: { Upgrade: null } }),
  refused('another Upgrade', { headers: { Upgrade: 'h2c' } }),
  refused('no Connection', { headers: { Connection: null } }),
  refused('another Connection', { headers: { Connection: 'keep-alive' } }),
  refused('no key', { headers: { 'Sec-WebSocket-Key': null } }),
  refused('a short key', { headers: { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25j' } }),
  refused('a key that is no base64', { headers: { 'Sec-WebSocket-Key': '!!!!!!!!!!!!!!!!!!!!!!==' } }),
  refused('no version', { headers: { 'Sec-WebSocket-Version': null } }),
  refused('version 8', { headers: { 'Sec-WebSocket-Version': '8' } }),
  refused('MQTT where there is none', { path: '/mqtt' }),
  refused('another origin', { headers: { Origin: 'http://a.com' } }, 'origins'),
  refused('another scheme', { headers: { Origin: 'https://b.com' } }, 'origins'),
  refused('another port', { headers: { Origin: 'https://c.com' } }, 'origins'),
  refused('origin null', { headers: { Origin: 'null' } }, 'origins'),
  refused('an origin that is no address', { headers: { Origin: 'b.com' } }, 'origins'),
  answered('an origin that may', { headers: { Origin: 'http://B.COM:80' } }, 'origins'),
  answered('an origin with a port', { headers: { Origin: 'https://c.com:8443' } }, 'origins'),
  answered('the older header', { headers: { 'Sec-Websocket-Origin': 'http://b.com' } }, 'origins'),
  answered('no origin', {}, 'origins'),
  refused('not the same origin', { headers: { Origin: 'http://127.0.0.1:1' } }, 'same-origin'),
  answered('the same origin', { headers: { Host: 'h.com:81', Origin: 'http://h.com:81' } }, 'same-origin'),
  answered('data before the response', { behind: 'x' }, 'plain', { builtIn: true }),
];

const BINARY: ScriptFrame = { opcode: 2 };
const text = (payload: string): ScriptFrame => ({ ...BINARY, payload });
const close = (status: number, reason = ''): ScriptFrame => ({
  opcode: 8,
  payload: [status >> 8, status & 255, ...Buffer.from(reason)],
});

const connect = (fields: Record<string, unknown>): ScriptFrame =>
  text(`CONNECT ${JSON.stringify(fields)}\r\n`);

/** A client that sends frames. */
function frames(name: string, ...sent: ScriptFrame[]): WebsocketScenario {
  return websocketScenario(name, 'plain', (s) =>
    s
      .client('a')
      .frames('a', text('SUB a 1\r\n'))
      .frames('a', ...sent),
  );
}

/** One that breaks the rules of frames. */
function broken(name: string, ...sent: ScriptFrame[]): WebsocketScenario {
  // uWebSockets.js doesn't look whether frames are masked, nor for messages in messages.
  const builtIn = name === 'no mask' || name === 'a message in a message';
  return websocketScenario(name, 'plain', (s) => s.client('a').last('a', ...sent), {
    losesClose: true,
    builtIn,
  });
}

const framing: WebsocketScenario[] = [
  frames('an operation in a frame', text('PUB a 2\r\nhi\r\n')),
  frames('operations in one frame', text('PUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPING\r\n')),
  frames('an operation in several frames', text('PU'), text('B a 2'), text('\r\nh'), text('i\r\n')),
  frames(
    'an operation in fragments',
    { payload: 'PUB a', fin: false },
    { payload: ' 2\r\nh', opcode: 0, fin: false },
    { payload: 'i\r\n', opcode: 0 },
  ),
  frames('text frames', { opcode: 1, payload: 'PUB a 2\r\nhi\r\n' }),
  frames(
    'empty frames',
    text(''),
    { payload: '', fin: false },
    { payload: '', opcode: 0 },
    text('PUB a 2\r\nhi\r\n'),
  ),
  frames('a length wider than needed', { payload: 'PUB a 2\r\nhi\r\n', width: 64 }),
  frames('a ping', { opcode: 9, payload: 'x' }),
  frames(
    'a ping between fragments',
    { payload: 'PUB a 2\r\n', fin: false },
    { opcode: 9, payload: '' },
    { payload: 'hi\r\n', opcode: 0 },
  ),
  frames('a pong nobody asked for', { opcode: 10, payload: 'x' }),
  frames('125 bytes of ping', { opcode: 9, payload: 'p'.repeat(125) }),
  frames('a payload of 70000 bytes', text(`PUB a 70000\r\n${'x'.repeat(70_000)}\r\n`)),
  broken('no mask', { payload: 'PING\r\n', masked: false }),
  broken('RSV1 without compression', { payload: 'PING\r\n', reserved: 0x40 }),
  broken('RSV2', { payload: 'PING\r\n', reserved: 0x20 }),
  broken('RSV3', { payload: 'PING\r\n', reserved: 0x10 }),
  broken('a long ping', { opcode: 9, payload: 'p'.repeat(126) }),
  broken('a fragment of a ping', { opcode: 9, fin: false }),
  broken('a continuation of nothing', { opcode: 0, payload: 'x' }),
  broken('a message in a message', { payload: 'PUB', fin: false }, { payload: 'SUB' }),
  broken('opcode 3', { opcode: 3 }),
  broken('opcode 11', { opcode: 11 }),
  broken('a length of 64 bits with its highest', { payload: '', length: 0x8000_0000_0000_0000n, width: 64 }),
  broken('a close of one byte', { opcode: 8, payload: 'x' }),
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000].map((status) =>
    broken(`a close of status ${status}`, close(status)),
  ),
];

const COMPRESSED = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };

/** Compressed messages. */
function deflated(name: string, ...sent: ScriptFrame[]): WebsocketScenario {
  return websocketScenario(
    name,
    'compression',
    (s) =>
      s
        .client('a', {}, COMPRESSED)
        .frames('a', text('SUB a 1\r\n'))
        .frames('a', ...sent),
    { builtIn: true },
  );
}

const compression: WebsocketScenario[] = [
  deflated('a compressed operation', { deflated: true, payload: `PUB a 1000\r\n${'z'.repeat(1000)}\r\n` }),
  deflated(
    'several compressed messages',
    ...[1, 2, 3].map((i) => ({ deflated: true, payload: `PUB a 1\r\n${i}\r\n` })),
  ),
  deflated('a plain message where compression was agreed on', text('PUB a 2\r\nhi\r\n')),
  deflated(
    'an answer of 64 bytes and one of more',
    text(`PUB a 40\r\n${'y'.repeat(40)}\r\n`),
    text(`PUB a 90\r\n${'y'.repeat(90)}\r\n`),
  ),
  websocketScenario(
    'a browser',
    'compression',
    (s) =>
      s
        .client('a', {}, { ...COMPRESSED, 'User-Agent': 'Mozilla/5.0 (X11)' })
        .frames('a', text('SUB a 1\r\n'))
        .frames('a', text(`PUB a 20000\r\n${'b'.repeat(20_000)}\r\n`)),
    { builtIn: true },
  ),
  websocketScenario(
    'no deflate data',
    'compression',
    (s) => s.client('a', {}, COMPRESSED).last('a', { reserved: 0x40, payload: '\xff'.repeat(20) }),
    { builtIn: true, losesClose: true },
  ),
  websocketScenario(
    'a compressed ping',
    'compression',
    (s) => s.client('a', {}, COMPRESSED).last('a', { opcode: 9, reserved: 0x40, payload: 'x' }),
    { builtIn: true, losesClose: true },
  ),
  websocketScenario(
    'a compressed continuation',
    'compression',
    (s) =>
      s
        .client('a', {}, COMPRESSED)
        .last(
          'a',
          { deflated: true, payload: 'PING', fin: false },
          { opcode: 0, reserved: 0x40, payload: 'x' },
        ),
    { builtIn: true, losesClose: true },
  ),
];

const closing: WebsocketScenario[] = [
  frames('a close without payload', { opcode: 8 }),
  ...[1000, 1001, 1003, 1011, 4000, 4999].map((status) =>
    frames(`a close of status ${status}`, close(status)),
  ),
  frames('a close with a reason', close(1000, 'bye')),
  websocketScenario('a close of status 3000', 'plain', (s) => s.client('a').last('a', close(3000, 'x')), {
    builtIn: true,
  }),
  websocketScenario('a close of status 1014', 'plain', (s) => s.client('a').frames('a', close(1014)), {
    builtIn: true,
  }),
  websocketScenario(
    'a close whose reason is no UTF-8',
    'plain',
    (s) => s.client('a').frames('a', { opcode: 8, payload: [3, 232, 255] }),
    { builtIn: true },
  ),
  websocketScenario('a payload too large', 'limits', (s) => s.client('a').last('a', text('PUB a 1001\r\n'))),
  websocketScenario('a control line too long', 'limits', (s) =>
    s.client('a').last('a', text(`SUB ${'s'.repeat(600)} 1\r\n`)),
  ),
  websocketScenario('too many subscriptions', 'limits', (s) =>
    s.client('a').frames('a', text('SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n')),
  ),
  websocketScenario('a password that is wrong', 'user', (s) =>
    s.request('a').last('a', connect({ user: 'web', pass: 'x' })),
  ),
  websocketScenario('a password that is right', 'user', (s) => s.client('a', { user: 'web', pass: 'pw' })),
  websocketScenario('credentials in cookies', 'user', (s) =>
    s.client('a', {}, { Cookie: 'x=1; u=web; p=pw' }).frames('a', text('PING\r\n')),
  ),
  websocketScenario('CONNECT comes before cookies', 'user', (s) =>
    s.request('a', { headers: { Cookie: 'u=web; p=pw' } }).last('a', connect({ user: 'web', pass: 'x' })),
  ),
  websocketScenario('no CONNECT in time', 'auth-timeout', (s) => s.request('a').closed('a')),
  websocketScenario('nobody: the guest', 'guest', (s) =>
    s.client('a').frames('a', text('SUB > 1\r\nPUB g.a 1\r\nx\r\nPUB h.a 1\r\nx\r\n')),
  ),
  websocketScenario('a user of other connections', 'guest', (s) =>
    s.request('a').last('a', connect({ user: 'tcp', pass: 'pw' })),
  ),
  websocketScenario('a client that answers no PING', 'keepalive', (s) => s.client('a').closed('a')),
];

export const WEBSOCKET_GROUPS: ReadonlyMap<string, readonly WebsocketScenario[]> = new Map([
  ['handshake', handshake],
  ['framing', framing],
  ['compression', compression],
  ['closing', closing],
]);
