import { hashBytes } from '../../shared/base/latin1.ts';
import { sizesBytes, writeLineEnd, writeSizes } from '../../shared/base/message-sizes.ts';
import type { Account } from '../../shared/broker/account.ts';
import { prefixEnd } from '../../shared/broker/route-family.ts';
import type { ThreadLinks } from '../../shared/broker/thread-links.ts';
import type { MessageFields } from '../../shared/mail/message-record.ts';
import type { EngineDestination } from './engine-destination.ts';
import { ackBytes, type Delivery, writeAck } from './message-text.ts';

/**
 * The short way of the two kinds of messages that there are millions of: acknowledgements of publishes, and deliveries of
 * consumers. Nearly always one thread alone gets them, and its ring has room; then they are written into that ring at
 * once, without the queue of `outgoing.ts` between. An acknowledgement that promises something not yet durable is held
 * back in the ring, with everything behind it.
 *
 * Inboxes. The reply subjects of a client differ in their last token, and all lead to the same thread (route-family.ts). So
 * the thread is remembered by prefix, and looked up again when interest in the account has changed.
 */

const SLOTS = 256;
const SLOT_SHIFT = 24;
const SLOT_FACTOR = 0x9e3779b1;

interface Inbox {
  readonly account: Account;
  readonly version: number;
  readonly prefix: Uint8Array;
  readonly thread: number;
}

export class RingSender {
  readonly #links: ThreadLinks;
  readonly #inboxes: (Inbox | null)[] = new Array(SLOTS).fill(null);
  readonly #fields: MessageFields = {
    accountIndex: 0,
    subjectHash: 0,
    subjectBytes: 0,
    shownBytes: 0,
    replyBytes: 0,
    headerBytes: -1,
    payloadBytes: 0,
    tailBytes: 0,
  };

  constructor(links: ThreadLinks) {
    this.#links = links;
  }

  /**
   * Sends `<prefix>"seq":<sequence>}` to the subject `bytes[start, end)`.
   *
   * @param holds the message may not be shown yet
   * @returns false when it has to go the other way
   */
  acknowledge(
    account: Account,
    bytes: Uint8Array,
    start: number,
    end: number,
    prefix: Uint8Array,
    sequence: number,
    holds: boolean,
  ): boolean {
    const dot = prefixEnd(bytes, start, end);
    if (dot < 0) return false;
    const prefixHash = hashBytes(bytes, start, dot);
    const slot = Math.imul(prefixHash, SLOT_FACTOR) >>> SLOT_SHIFT;
    const hash = hashBytes(bytes, dot, end, prefixHash);
    const thread = this.#threadOf(account, slot, hash, bytes, start, dot, end);
    if (thread < 0) return false;
    const body = ackBytes(prefix, sequence);
    const fields = this.#fields;
    fields.accountIndex = account.index;
    fields.subjectHash = hash;
    fields.subjectBytes = end - start;
    fields.shownBytes = 0;
    fields.replyBytes = 0;
    fields.headerBytes = -1;
    fields.payloadBytes = body;
    fields.tailBytes = sizesBytes(0, body) + body + 2;
    if (holds) this.#links.hold();
    const to = this.#links.claimMessage(thread, fields.subjectBytes + fields.tailBytes);
    if (to < 0) return false;
    const target = this.#links.bytesTo(thread);
    for (let i = start, at = to; i < end; i++) target[at++] = bytes[i]!;
    const at = writeSizes(target, to + fields.subjectBytes, 0, body);
    writeLineEnd(target, writeAck(target, at, prefix, sequence));
    this.#links.sendClaimed(thread, to, fields, holds);
    return true;
  }

  /** Sends what a consumer delivers. @returns false when it has to go the other way */
  deliver(destination: EngineDestination, delivery: Delivery): boolean {
    const thread = destination.route.onlyThread;
    if (thread < 0) return false;
    const to = this.#links.sendInRun(thread, destination, delivery);
    if (to < 0) return false;
    delivery.write(this.#links.bytesTo(thread), this.#links.viewTo(thread), to);
    return true;
  }

  /** The thread that gets what is sent to an inbox, or -1. */
  #threadOf(
    account: Account,
    slot: number,
    hash: number,
    bytes: Uint8Array,
    start: number,
    dot: number,
    end: number,
  ): number {
    const known = this.#inboxes[slot]!;
    if (known !== null && known.account === account && known.version === account.version) {
      const { prefix } = known;
      if (isPrefix(prefix, bytes, start, dot)) return known.thread;
    }
    const route = account.route(hash, bytes, start, end);
    if (!route.isMember) return -1;
    const thread = route.onlyThread;
    if (thread >= 0)
      this.#inboxes[slot] = { account, version: account.version, prefix: bytes.slice(start, dot), thread };
    return thread;
  }
}

function isPrefix(prefix: Uint8Array, bytes: Uint8Array, start: number, dot: number): boolean {
  if (prefix.length !== dot - start) return false;
  for (let i = 0; i < prefix.length; i++) if (prefix[i] !== bytes[start + i]) return false;
  return true;
}
