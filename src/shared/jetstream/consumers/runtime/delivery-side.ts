/** What the delivery loop asks of the side that takes the messages: waiting requests, or a deliver subject. */
import type { Destination } from '../../effects.ts';

/** Somebody who takes a message. */
export interface Taker {
  readonly destination: Destination;
  /** Pin to be told with the message; empty for none. */
  readonly pinId: string;
}

export interface DeliverySide {
  /** Whether anybody may want messages now; asked before a message is looked for. */
  readonly isOpen: boolean;
  /**
   * Who takes the next message, asked while it is open; null: nobody, and it stays the next.
   *
   * @param bytes of its subject, reply, headers and payload
   */
  take(bytes: number): Taker | null;
  /** The message went out. */
  served(taker: Taker, bytes: number): void;
  /** There is no further message now; not called when only `max_ack_pending` holds them back. */
  endOfMessages(): void;
  /** When `tick` wants to be called. Unix milliseconds. */
  nextDueMs(): number;
  tick(): void;
  /** Requests that wait. */
  readonly waiting: number;
  /** Whether somebody listens. */
  readonly hasInterest: boolean;
  /** The configuration changed. */
  updated(): void;
  /** Ends it. @param status told to those who wait; null: nobody is told */
  close(status: Uint8Array | null): void;
}
