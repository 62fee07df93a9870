import { OUTPUT_CHUNK_BYTES } from '../../../shared/base/limits.ts';
import type { ClientConnection } from '../connection.ts';
import { closeStatus } from './close-status.ts';
import type { UwsSocket } from './uws-module.ts';

/**
 * A topic that nothing is ever published on. uWebSockets hands messages of 16 KB and more to the kernel without a copy, and there
 * the build that the registry has (@rjweb/uws 1.5.0) loses the rest of one that the kernel takes in part. It does so only for
 * sockets that have subscribed to nothing; for those that have, it copies the message first, and all of it arrives.
 */
const NO_TOPIC = 'natsd';
/** Longer ones are sent in pieces, each a message: an output chunk in one. The copy is made anew for each. */
const MESSAGE_MAX_BYTES = OUTPUT_CHUNK_BYTES;
/** What `send` returns when the kernel has taken everything. */
const SENT = 1;

/**
 * A socket of uWebSockets.js in the place of a TCP socket: each write is a message, and the end is a close frame.
 *
 * What comes after something that the kernel didn't take waits here: with more than that, uWebSockets would copy it and try the
 * kernel again for each piece. So the bytes of a write must stay as they are until `writableLength` is 0.
 *
 * It can't stop reading; whoever asks for that keeps what comes (`UwsServer`).
 */
export class UwsStream {
  destroyed = false;
  connection: ClientConnection | null = null;
  /** What the close frame says, other than the reason of the close. */
  farewell: { status: number; text: string } | null = null;
  readonly #socket: UwsSocket;
  /** Pieces that wait for those before. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #onClose: (() => void)[] = [];

  constructor(socket: UwsSocket) {
    this.#socket = socket;
    socket.subscribe(NO_TOPIC);
  }

  /** Bytes the kernel hasn't taken. */
  get writableLength(): number {
    return this.destroyed ? 0 : this.#socket.getBufferedAmount() + this.#waitingBytes;
  }

  write(bytes: Uint8Array, _written?: () => void): void {
    let isTaken = this.writableLength === 0;
    for (let at = 0; at < bytes.length && !this.destroyed; at += MESSAGE_MAX_BYTES) {
      const piece = bytes.subarray(at, at + MESSAGE_MAX_BYTES);
      if (isTaken) isTaken = this.#socket.send(piece, true) === SENT;
      else {
        this.#waiting.push(piece);
        this.#waitingBytes += piece.length;
      }
    }
  }

  /** The kernel has taken something: what waits may follow. */
  drained(): void {
    let sent = 0;
    while (sent < this.#waiting.length && !this.destroyed && this.#socket.getBufferedAmount() === 0)
      this.#sendWaiting(this.#waiting[sent++]!);
    if (sent > 0) this.#waiting.splice(0, sent);
  }

  #sendWaiting(piece: Uint8Array): void {
    this.#waitingBytes -= piece.length;
    this.#socket.send(piece, true);
  }

  /** Says why and closes. */
  end(): void {
    if (this.destroyed) return;
    for (const piece of this.#waiting.splice(0)) this.#sendWaiting(piece);
    const reason = this.connection?.closeReason ?? null;
    if (this.farewell !== null) this.#socket.end(this.farewell.status, this.farewell.text);
    else if (reason === null) this.destroy();
    else this.#socket.end(closeStatus(reason), reason);
  }

  destroy(): void {
    if (!this.destroyed) this.#socket.close();
  }

  /** The socket is gone. */
  closed(): void {
    this.destroyed = true;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const listener of this.#onClose.splice(0)) listener();
  }

  once(_event: 'close', listener: () => void): void {
    this.#onClose.push(listener);
  }

  cork(): void {}

  uncork(): void {}

  pause(): void {}

  resume(): void {}
}
