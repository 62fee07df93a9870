/**
 * Autobahn, sections 12 and 13: permessage-deflate. The built-in transport alone has it, and whatever a client offers, the answer is
 * that of nats-server: no context takeover, windows of 32 KB (websocket.md §2.3).
 */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cut, echoOf, operation } from '../../support/autobahn.ts';
import type { Daemon } from '../../support/daemon.ts';
import { WebsocketClient } from '../../support/websocket-client.ts';
import { startWebsocket, websocketPort } from '../../support/websocket-daemon.ts';
import { clientFrame } from '../../support/websocket-frames.ts';

const RSV1 = 0x40;
const TAIL = Buffer.from([0, 0, 255, 255]);
const COUNT = 100;
const SIZES = [16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072];
/** With fragments: sizes of the suite's cases from 11 on. */
const FRAGMENTED = [8192, 16_384, 32_768, 65_536, 131_072];
const OFFERS = [
  'permessage-deflate; client_no_context_takeover; client_max_window_bits',
  'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
  'permessage-deflate; client_max_window_bits; server_max_window_bits=9',
  'permessage-deflate; server_max_window_bits=15',
  'permessage-deflate; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits',
  'permessage-deflate; server_no_context_takeover; server_max_window_bits=15; client_max_window_bits',
  'permessage-deflate; server_no_context_takeover; server_max_window_bits=8, permessage-deflate',
];
const ANSWER = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

/** Text that a compressor finds something to do with. */
function document(bytes: number): string {
  let text = '';
  for (let i = 0; text.length < bytes; i++) text += `{"id":${i},"name":"item ${(i * 7919) % 1000}"},`;
  return text.slice(0, bytes);
}

function compressed(text: string): Buffer {
  const bytes = deflateRawSync(Buffer.from(text, 'latin1'), { finishFlush: constants.Z_SYNC_FLUSH });
  return bytes.subarray(0, -TAIL.length);
}

/** The data of the server, each message decompressed by itself: none needs the one before. */
class Inflater {
  text = '';
  #at = 0;
  #message: Buffer[] = [];
  #isCompressed = false;
  readonly #client: WebsocketClient;

  constructor(client: WebsocketClient) {
    this.#client = client;
  }

  read(): string {
    const { frames } = this.#client;
    for (; this.#at < frames.length; this.#at++) {
      const { opcode, reserved, fin, payload } = frames[this.#at]!;
      if (opcode > 2) continue;
      if (opcode !== 0) this.#isCompressed = reserved === RSV1;
      this.#message.push(payload);
      if (!fin) continue;
      const bytes = Buffer.concat(this.#message);
      this.#message = [];
      const plain = this.#isCompressed
        ? inflateRawSync(Buffer.concat([bytes, TAIL]), { finishFlush: constants.Z_SYNC_FLUSH })
        : bytes;
      // Not the PINGs by which the server looks how the client is.
      this.text += plain.toString('latin1').replaceAll('PING\r\n', '');
    }
    return this.text;
  }
}

/** The frames of a compressed message, in pieces of so many bytes; 0: one frame. */
function framesOf(text: string, opcode: number, fragment: number): Buffer {
  const bytes = compressed(text);
  if (fragment === 0) return clientFrame(bytes, { opcode, reserved: RSV1 });
  const pieces = cut(bytes.toString('latin1'), fragment);
  return Buffer.concat(
    pieces.map((piece, i) =>
      clientFrame(piece, {
        opcode: i === 0 ? opcode : 0,
        reserved: i === 0 ? RSV1 : 0,
        fin: i === pieces.length - 1,
      }),
    ),
  );
}

describe('Autobahn over ws', () => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await startWebsocket('ws', 'compression: true');
  });
  afterAll(async () => {
    await daemon?.stop();
  });

  async function exchange(offer: string, size: number, opcode: number, fragment: number): Promise<void> {
    const headers = { 'Sec-WebSocket-Extensions': offer };
    const client = await WebsocketClient.connect({ port: websocketPort(daemon), headers });
    expect(client.header('Sec-WebSocket-Extensions')).toBe(ANSWER);
    const inflater = new Inflater(client);
    client.send('CONNECT {"verbose":false}\r\nSUB echo 1\r\nPING\r\n');
    await client.until(() => inflater.read().includes('PONG\r\n'), 'PONG');
    inflater.text = '';
    const text = operation(document(size));
    const [message, echo] = [framesOf(text, opcode, fragment), echoOf(text)];
    for (let i = 1; i <= COUNT; i++) {
      client.write(message);
      await client.until(() => inflater.read().length >= echo.length, `echo ${i}`);
      expect(inflater.text === echo).toBe(true);
      inflater.text = '';
    }
    // Small flushes go as they are, larger ones don't.
    const last = client.frames.findLast((one) => one.opcode === 2 && one.payload.toString() !== 'PING\r\n')!;
    expect(last.reserved).toBe(echo.length > 64 ? RSV1 : 0);
    client.destroy();
  }

  for (const [section, opcode] of [
    ['12.1', 1],
    ['12.2', 2],
  ] as const) {
    test.each(
      SIZES.map((size, i) => [i + 1, size] as const),
    )(`${section}.%i ${COUNT} messages of %i bytes`, async (_n, size) => {
      await exchange('permessage-deflate', size, opcode, 0);
    });
    test.each(
      FRAGMENTED.map((size, i) => [i + 11, size] as const),
    )(`${section}.%i ${COUNT} messages of %i bytes in fragments of 256`, async (_n, size) => {
      await exchange('permessage-deflate', size, opcode, 256);
    });
  }

  for (const [i, offer] of OFFERS.entries())
    test.each(
      [16, 1024, 65_536].map((size, n) => [n + 1, size] as const),
    )(`13.${i + 1}.%i ${offer}, %i bytes`, async (_n, size) => {
      await exchange(offer, size, 1, 0);
    });
});
