import type { ClientConnection } from '../connection.ts';
import { closeStatus } from './close-status.ts';
import type { UwsSocket } from './uws-module.ts';

/**
 * Longer messages are sent in pieces, each a message: beyond the 16 KB of its cork buffer the build that the registry has
 * (@rjweb/uws 1.5.0) leaves out frame headers when the peer reads slowly.
 */
const MESSAGE_MAX_BYTES = 16_000;

/**
 * A socket of uWebSockets.js in the place of a TCP socket: each write is a message, and the end is a close frame.
 *
 * It can't stop reading; whoever asks for that keeps what comes (`UwsServer`).
 */
export class UwsStream {
  destroyed = false;
  connection: ClientConnection | null = null;
  /** What the close frame says, other than the reason of the close. */
  farewell: { status: number; text: string } | null = null;
  readonly #socket: UwsSocket;
  #onClose: (() => void)[] = [];

  constructor(socket: UwsSocket) {
    this.#socket = socket;
  }

  /** Bytes the kernel hasn't taken. */
  get writableLength(): number {
    return this.destroyed ? 0 : this.#socket.getBufferedAmount();
  }

  write(bytes: Uint8Array, _written?: () => void): void {
    for (let at = 0; at < bytes.length && !this.destroyed; at += MESSAGE_MAX_BYTES) {
      this.#socket.send(bytes.subarray(at, at + MESSAGE_MAX_BYTES), true);
    }
  }

  /** Says why and closes. */
  end(): void {
    if (this.destroyed) return;
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
