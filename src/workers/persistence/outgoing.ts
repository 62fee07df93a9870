import type { OutgoingMessage } from './frame-writer.ts';

/**
 * Messages of the engine that haven't left yet, in order. The first one that has to wait, for the disk or for room in a ring,
 * holds back all behind it: acknowledgements stay in the order of the messages, and nothing is ever dropped.
 */
export class Outgoing {
  #messages: OutgoingMessage[] = [];
  #head = 0;

  get length(): number {
    return this.#messages.length - this.#head;
  }

  push(message: OutgoingMessage): void {
    this.#messages.push(message);
  }

  /**
   * Sends what may leave.
   *
   * @param ticket up to here the store keeps what was promised
   * @param send false when there is no room for it
   * @returns false when a message found no room
   */
  release(ticket: number, send: (message: OutgoingMessage) => boolean): boolean {
    while (this.#head < this.#messages.length) {
      const message = this.#messages[this.#head]!;
      if (message.ticket > ticket) break;
      if (!send(message)) {
        this.#compact();
        return false;
      }
      this.#head++;
    }
    this.#compact();
    return true;
  }

  /** Forgets what promises more than the store kept. @returns how many messages */
  dropAbove(ticket: number): number {
    const before = this.length;
    this.#messages = this.#messages.slice(this.#head).filter((message) => message.ticket <= ticket);
    this.#head = 0;
    return before - this.#messages.length;
  }

  #compact(): void {
    if (this.#head === 0) return;
    if (this.#head === this.#messages.length) this.#messages = [];
    else if (this.#head * 2 > this.#messages.length) this.#messages = this.#messages.slice(this.#head);
    else return;
    this.#head = 0;
  }
}
