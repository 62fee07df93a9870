/**
 * Layout of the records that threads exchange over their rings. Writer and reader (`broker/thread-links.ts`) import it from
 * here. All integers are little-endian int32; lengths are in bytes.
 *
 * MESSAGE (type 1), a publish for the subscriptions of the receiving thread:
 *
 *    0        4       8            12         16          20           24        28     32
 *   ┌────────┬───────┬────────────┬──────────┬───────────┬────────────┬─────────┬──────┬────────────┐
 *   │account │ hash  │ subjectLen │ replyLen │ headerLen │ payloadLen │ tailLen │flags │ queuesLen  │ shownLen
 *   ├────────┴───────┴────────────┴──────────┴───────────┴────────────┴─────────┴──────┴────────────┤
 *   │ subject … │ shown … │ tail: [reply ]size\r\npayload\r\n … │ queues: { length, name … } …     │ slack      │
 *   └────────────────────────────────────────────────────────────────────────────────────────────────┘
 *   shown: the subject that subscribers see where it isn't the one they are found by (deliveries of consumers).
 *   flags: bit 0 deliver to plain subscriptions, bit 1 promises something that isn't durable yet, bit 2 members whose session
 *   the MQTT engine keeps are passed over, bits 8–15 how many threads passed the message on. A record with bit 1 isn't
 *   shown to the receiver before it is durable.
 *
 * INTEREST (type 2): the sender's interest in (subject, queue) is now `weight` members; 0 is none.
 *
 *    0        4        8            12         16
 *   ┌────────┬────────┬────────────┬──────────┬───────────┬────────────────────────────────┐
 *   │account │ weight │ subjectLen │ queueLen │ filterLen │ subject … │ queue … │ filter … │      queueLen -1: plain
 *   └────────┴────────┴────────────┴──────────┴───────────┴────────────────────────────────┘
 *   filter: JSON list of what is not delivered to these members of a queue group, so that nobody picks them for it; in front
 *   of it a `+` where the MQTT engine keeps the members' sessions.
 *
 * CLIENT (type 4), who publishes the MESSAGE that follows: only in front of requests to the JetStream API.
 *
 *    0      4        8
 *   ┌──────┬────────┬─────────────────────┐
 *   │ hash │ length │ ClientInfo as JSON… │      hash: that of the message's subject; the text is UTF-8
 *   └──────┴────────┴─────────────────────┘
 *
 * RUN (type 5), messages for the plain subscriptions on one subject, one behind the other up to the record's end:
 *
 *    0        4       8            12
 *   ┌────────┬───────┬────────────┬───────────┬─────────────────────┬───┐
 *   │account │ hash  │ subjectLen │ subject … │ message │ message … │   │      messages are on multiples of 4
 *   └────────┴───────┴────────────┴───────────┴─────────────────────┴───┘
 *    0          4          8           12           16        20
 *   ┌──────────┬──────────┬───────────┬────────────┬─────────┬─────────┬────────┐
 *   │ shownLen │ replyLen │ headerLen │ payloadLen │ tailLen │ shown … │ tail … │      as in MESSAGE
 *   └──────────┴──────────┴───────────┴────────────┴─────────┴─────────┴────────┘
 *
 * LARGE (type 3) stands for a record of one of the types above that is longer than the ring takes: the record itself, laid
 * out the same, is the next SharedArrayBuffer on the pair's message port.
 *
 *    0      4      8
 *   ┌──────┬──────┐
 *   │ type │ 0    │
 *   └──────┴──────┘
 *
 * Two int32 in shared memory count what travels beside each ring: [LARGE_UNDER_WAY] bytes posted and not yet received,
 * [LARGE_ROOM_WANTED] 1 while the sender waits for them to become fewer.
 */
export const RECORD_MESSAGE = 1;
export const RECORD_INTEREST = 2;
export const RECORD_LARGE = 3;
export const RECORD_CLIENT = 4;
export const RECORD_RUN = 5;

export const MESSAGE_ACCOUNT = 0;
export const MESSAGE_HASH = 4;
export const MESSAGE_SUBJECT_LENGTH = 8;
export const MESSAGE_REPLY_LENGTH = 12;
export const MESSAGE_HEADER_LENGTH = 16;
export const MESSAGE_PAYLOAD_LENGTH = 20;
export const MESSAGE_TAIL_LENGTH = 24;
export const MESSAGE_FLAGS = 28;
export const MESSAGE_QUEUES_LENGTH = 32;
export const MESSAGE_SHOWN_LENGTH = 36;
export const MESSAGE_BYTES = 40;
/** The length in front of each queue name. */
export const QUEUE_NAME_LENGTH_BYTES = 4;

export const FLAG_PLAIN = 1;
export const FLAG_PROMISE = 2;
export const FLAG_PASSES_KEPT = 4;
export const HOPS_SHIFT = 8;
export const HOPS_MASK = 0xff;

export const INTEREST_ACCOUNT = 0;
export const INTEREST_WEIGHT = 4;
export const INTEREST_SUBJECT_LENGTH = 8;
export const INTEREST_QUEUE_LENGTH = 12;
export const INTEREST_FILTER_LENGTH = 16;
export const INTEREST_BYTES = 20;

export const CLIENT_HASH = 0;
export const CLIENT_LENGTH = 4;
export const CLIENT_BYTES = 8;

export const RUN_ACCOUNT = 0;
export const RUN_HASH = 4;
export const RUN_SUBJECT_LENGTH = 8;
export const RUN_BYTES = 12;
export const RUN_MESSAGE_SHOWN_LENGTH = 0;
export const RUN_MESSAGE_REPLY_LENGTH = 4;
export const RUN_MESSAGE_HEADER_LENGTH = 8;
export const RUN_MESSAGE_PAYLOAD_LENGTH = 12;
export const RUN_MESSAGE_TAIL_LENGTH = 16;
export const RUN_MESSAGE_BYTES = 20;

export const LARGE_TYPE = 0;
export const LARGE_BYTES = 8;

export const LARGE_UNDER_WAY = 0;
export const LARGE_ROOM_WANTED = 1;
