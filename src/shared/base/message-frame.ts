import type { SharedPayload } from './outbox.ts';

const NO_BYTES = new Uint8Array(0);

/**
 * One message in place: offsets into somebody's buffer, valid only during the call that passes it on. One instance is
 * reused for all messages of a source; that all sources use this one class keeps the router's property accesses monomorphic.
 */
export class MessageFrame {
  bytes: Uint8Array = NO_BYTES;
  view: DataView = new DataView(NO_BYTES.buffer);
  subjectStart = 0;
  subjectEnd = 0;
  subjectHash = 0;
  /** Bytes of the subject that subscribers see, between `subjectEnd` and `tailStart`; 0: they see the subject itself. */
  shownBytes = 0;
  /** `[reply ]size\r\npayload\r\n`, canonical (PUB) or `[reply ]header-size size\r\n…` (HPUB): what follows `MSG subject sid `. */
  tailStart = 0;
  tailEnd = 0;
  /** Bytes of the reply subject at `tailStart`; 0 is none. */
  replyBytes = 0;
  /** Bytes of the header block at `payloadStart`; -1 for PUB. */
  headerBytes = -1;
  payloadStart = 0;
  /** Header and body. */
  payloadBytes = 0;
  /** Set while `bytes` may be kept by reference; else null and everything must be copied. */
  payloadOwner: SharedPayload | null = null;
  /** The MQTT engine gives the message to members of queue groups whose session it keeps: nobody else may pick those. */
  passesKept = false;
}
