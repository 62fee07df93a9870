import { describe, expect, test } from 'vitest';
import { emptyWebsocket } from '../../../../src/main/config/websocket-block.ts';
import { chooseTransport } from '../../../../src/main/listen/websocket-listener.ts';
import type { WebsocketOptions } from '../../../../src/shared/base/options.ts';

const PLAIN = emptyWebsocket();
const installed = () => '';
const missing = () => "Cannot find module 'uWebSockets.js'";

describe('which WebSocket implementation runs', () => {
  test.each<[string, Partial<WebsocketOptions>, () => string, 'ws' | 'uws', string]>([
    ['installed', {}, installed, 'uws', 'WebSocket transport: uWebSockets.js'],
    [
      'missing',
      {},
      missing,
      'ws',
      "WebSocket transport: ws (uWebSockets.js can't be used: Cannot find module 'uWebSockets.js')",
    ],
    [
      'compression',
      { compression: true },
      installed,
      'ws',
      'WebSocket transport: ws (uWebSockets.js has no compression within max_payload)',
    ],
    [
      'a timeout',
      { handshakeTimeoutMs: 1 },
      installed,
      'ws',
      'WebSocket transport: ws (uWebSockets.js has no handshake_timeout)',
    ],
    ['said so', { transport: 'ws' }, installed, 'ws', 'WebSocket transport: ws'],
  ])('%s', (_name, changes, canLoad, transport, description) => {
    expect(chooseTransport({ ...PLAIN, ...changes }, canLoad)).toEqual({ transport, description });
  });

  test('what is asked for by name and missing is an error', () => {
    expect(() => chooseTransport({ ...PLAIN, transport: 'uws' }, missing)).toThrow(
      "websocket transport uws can't be used: Cannot find module 'uWebSockets.js'",
    );
  });
});
