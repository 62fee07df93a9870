import { WEBSOCKET_PONGS_MAX } from '../../../shared/base/limits.ts';
import type { OutputPart } from '../../../shared/base/outbox.ts';
import { CLOSE_REASON, type CloseReason } from '../../../shared/protocol/nats/errors.ts';
import { closePayload } from '../../../shared/protocol/websocket/close.ts';
import {
  BINARY_FRAME,
  CLOSE_FRAME,
  COMPRESSED_FRAME,
  cutIntoFrames,
  FrameState,
  frame,
  frameHeader,
  PONG_FRAME,
} from '../../../shared/protocol/websocket/frames.ts';
import type { Upgrade } from '../../../shared/protocol/websocket/upgrade.ts';
import { closeStatus } from './close-status.ts';
import { deflateMessage } from './deflate.ts';
import type { StreamEngine } from './stream-engine.ts';

/** Browsers get frames of at most this many bytes (websocket.md §4.2). */
const BROWSER_FRAME_BYTES = 4096;
/** Up to here a flush isn't compressed. */
const COMPRESS_OVER_BYTES = 64;

/** Shared by all that have none, and never added to. */
const NONE: Uint8Array[] = [];

/** Credentials that cookies carried, by the options that name them; '' where there was none. */
export interface CookieCredentials {
  jwt: string;
  user: string;
  pass: string;
  token: string;
}

/** What a connection has more when it is a WebSocket. */
export class WebsocketState {
  readonly frames: FrameState;
  readonly engine: StreamEngine;
  /** In front of the address in log lines: `<forwarded for>/`, or ''. */
  readonly via: string;
  readonly cookies: CookieCredentials | null;
  readonly compresses: boolean;
  readonly #cuts: boolean;
  /** Compressed messages are cut into frames of one message. Safari can't put such together. */
  readonly #cutsCompressed: boolean;
  /** Frames that were read but not looked at: reading was to stop. */
  held: Uint8Array | null = null;
  /** A compressed message as far as it has come. */
  collected: Uint8Array | null = null;
  collectedBytes = 0;
  /** The close frame that answers the client; without one the reason of the close makes it. */
  closeFrame: Uint8Array | null = null;
  #pongs = NONE;
  /** Messages that wait, where the transport can't stop reading. */
  #waiting = NONE;
  #waitingBytes = 0;

  constructor(upgrade: Upgrade, engine: StreamEngine, cookies: CookieCredentials | null) {
    this.frames = new FrameState(upgrade.compression, upgrade.noMasking, engine.takesText);
    this.engine = engine;
    this.via = upgrade.forwardedFor === '' ? '' : `${upgrade.forwardedFor}/`;
    this.cookies = cookies;
    this.compresses = upgrade.compression;
    this.#cuts = upgrade.isBrowser;
    this.#cutsCompressed = upgrade.isBrowser && !upgrade.isSafari;
  }

  /** Keeps a copy of a message for later. @returns bytes that wait now */
  holdMessage(bytes: Uint8Array): number {
    if (this.#waiting.length === 0) this.#waiting = [];
    this.#waiting.push(bytes.slice());
    this.#waitingBytes += bytes.length;
    return this.#waitingBytes;
  }

  /** The message that has waited longest, or `null`. */
  takeMessage(): Uint8Array | null {
    const next = this.#waiting.shift() ?? null;
    if (next !== null) this.#waitingBytes -= next.length;
    return next;
  }

  /** What is left of the message taken last. */
  putBack(rest: Uint8Array): void {
    if (this.#waiting.length === 0) this.#waiting = [];
    this.#waiting.unshift(rest);
    this.#waitingBytes += rest.length;
  }

  get hasPongs(): boolean {
    return this.#pongs.length > 0;
  }

  /** What is to be written can't leave as one frame around the bytes of the outbox. */
  get needsEncoding(): boolean {
    return this.compresses || this.#cuts || this.#pongs.length > 0;
  }

  /** A ping is to be answered with the next write. Of too many at once the latest are (RFC 6455 §5.5.3). */
  queuePong(payload: Uint8Array): void {
    if (this.#pongs.length === 0) this.#pongs = [];
    else if (this.#pongs.length === WEBSOCKET_PONGS_MAX) this.#pongs.shift();
    this.#pongs.push(frame(PONG_FRAME, payload));
  }

  /** Everything that is to be written now, in frames: pongs first. */
  encode(parts: readonly OutputPart[]): Uint8Array {
    const pongs = this.#pongs;
    this.#pongs = NONE;
    const payload = joined(parts.map(({ bytes }) => bytes));
    return joined(payload.length === 0 ? pongs : [...pongs, ...this.#frames(payload)]);
  }

  /** The same, and the close frame behind it. */
  encodeLast(parts: readonly OutputPart[], reason: CloseReason | null): Uint8Array {
    const why = reason ?? CLOSE_REASON.unknownState;
    this.closeFrame ??= frame(CLOSE_FRAME, closePayload(closeStatus(why), why));
    return joined([this.encode(parts), this.closeFrame]);
  }

  #frames(payload: Uint8Array): Uint8Array[] {
    if (this.compresses && payload.length > COMPRESS_OVER_BYTES) {
      const compressed = deflateMessage(payload);
      const frameBytes = this.#cutsCompressed ? BROWSER_FRAME_BYTES : Number.MAX_SAFE_INTEGER;
      return [cutIntoFrames(compressed, frameBytes, COMPRESSED_FRAME, true)];
    }
    if (this.#cuts) return [cutIntoFrames(payload, BROWSER_FRAME_BYTES, BINARY_FRAME, false)];
    return [frameHeader(BINARY_FRAME, payload.length), payload];
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0]!.slice();
  return Buffer.concat(pieces);
}

/** Takes the credentials out of the cookies. @returns `null` when there are none */
export function cookieCredentials(
  cookies: ReadonlyMap<string, string>,
  names: { jwtCookie: string; userCookie: string; passCookie: string; tokenCookie: string },
): CookieCredentials | null {
  if (cookies.size === 0) return null;
  const value = (name: string): string => (name === '' ? '' : (cookies.get(name) ?? ''));
  const credentials = {
    jwt: value(names.jwtCookie),
    user: value(names.userCookie),
    pass: value(names.passCookie),
    token: value(names.tokenCookie),
  };
  return Object.values(credentials).some((text) => text !== '') ? credentials : null;
}
