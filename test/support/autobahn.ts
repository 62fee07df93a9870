/**
 * Cases of the Autobahn test suite for WebSocket servers, for one that is no echo server.
 *
 * Where a case has its message echoed, the client here subscribes to `echo` and sends a PUB to it: the message of the case is that
 * operation, text or binary, in the frames of the case, and the MSG is the echo.
 */
import { expect } from 'vitest';
import type { Daemon } from './daemon.ts';
import { WebsocketClient } from './websocket-client.ts';
import { websocketPort } from './websocket-daemon.ts';
import { clientFrame, type FrameOptions } from './websocket-frames.ts';

export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** How the bytes of frames are cut into writes: all at once, a frame each, a byte each, or so many bytes each. */
export type Chop = 'together' | 'frames' | 'octets' | number;

/** The operation that has a payload echoed. */
export function operation(payload: string): string {
  return `PUB echo ${payload.length}\r\n${payload}\r\n`;
}

/** One whose operation has exactly `length` bytes; 0 or 17 and more. */
export function operationOf(length: number): string {
  if (length === 0) return '';
  for (let digits = 1; ; digits++) {
    const payload = length - 'PUB echo \r\n\r\n'.length - digits;
    if (String(payload).length === digits) return operation('*'.repeat(payload));
  }
}

/** What comes back for an operation. */
export function echoOf(text: string): string {
  return text.replace(/^PUB echo /, 'MSG echo 1 ');
}

export const one = (payload: string | Uint8Array, options: FrameOptions = {}): Buffer =>
  clientFrame(payload, { opcode: TEXT, ...options });

/** A message in fragments. */
export function fragments(pieces: readonly string[], opcode: number = TEXT): Buffer[] {
  return pieces.map((piece, i) =>
    clientFrame(piece, { opcode: i === 0 ? opcode : 0, fin: i === pieces.length - 1 }),
  );
}

/** A text cut into pieces of so many bytes. */
export function cut(text: string, bytes: number): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; at += bytes) pieces.push(text.slice(at, at + bytes));
  return pieces;
}

export function closeFrame(status: number, reason: string | Uint8Array = ''): Buffer {
  const text = typeof reason === 'string' ? Buffer.from(reason, 'utf8') : reason;
  return clientFrame(Buffer.concat([Buffer.from([status >> 8, status & 255]), text]), { opcode: CLOSE });
}

/** A client that is logged in and listens to `echo`. */
export async function echoing(daemon: Daemon): Promise<WebsocketClient> {
  const client = await WebsocketClient.connect({ port: websocketPort(daemon) });
  await client.handshake();
  await client.sync('SUB echo 1\r\n');
  return client;
}

export async function send(
  client: WebsocketClient,
  frames: readonly Buffer[],
  chop: Chop = 'together',
): Promise<void> {
  const all = Buffer.concat(frames);
  if (chop === 'together') client.write(all);
  else if (chop === 'frames') for (const frame of frames) await written(client, frame);
  else {
    const size = chop === 'octets' ? 1 : chop;
    for (let at = 0; at < all.length && !client.closed; at += size)
      await written(client, all.subarray(at, at + size));
  }
}

/** Each write is one of its own to the kernel: TCP_NODELAY is set. */
async function written(client: WebsocketClient, bytes: Buffer): Promise<void> {
  await new Promise<void>((resolve) => {
    if (client.closed) resolve();
    else client.socket.write(bytes, () => resolve());
  });
}

/** Data that the client was sent from a frame on, without the PINGs by which the server looks how it is. */
export function received(client: WebsocketClient, fromFrame = 0): string {
  const data = client.frames.slice(fromFrame).filter(({ opcode }) => opcode <= 2);
  const text = Buffer.concat(data.map(({ payload }) => payload)).toString('latin1');
  return text.replaceAll('PING\r\n', '');
}

/** Payloads of the pongs. */
export function pongs(client: WebsocketClient): string[] {
  return client.frames
    .filter(({ opcode }) => opcode === PONG)
    .map(({ payload }) => payload.toString('latin1'));
}

/** The frames have these operations echoed, and the connection is good. */
export async function passes(
  client: WebsocketClient,
  frames: readonly Buffer[],
  chop: Chop,
  operations: readonly string[],
): Promise<void> {
  const expected = operations.map(echoOf).join('');
  await send(client, frames, chop);
  await client.until(() => received(client).endsWith(expected), 'the echo');
  expect(await client.sync()).toBe(true);
  expect(received(client).includes(expected)).toBe(true);
  client.destroy();
}

/**
 * The server fails the connection.
 *
 * @param status of its close frame, where the transport sends one
 */
export async function fails(
  client: WebsocketClient,
  frames: readonly Buffer[],
  chop: Chop,
  transport: 'ws' | 'uws',
  status = 1002,
): Promise<void> {
  await send(client, frames, chop);
  await client.untilClosed();
  // uWebSockets.js drops the connection as it is.
  if (transport === 'ws') expect(client.closeFrame?.status).toBe(status);
  else expect(client.closeFrame).toBeNull();
}
