import { beforeEach, describe, expect, test } from 'vitest';
import { hashLatin1, latin1Bytes } from '../../../../src/shared/base/latin1.ts';
import { LARGE_IN_FLIGHT_MAX_BYTES, RING_CONTROL_RESERVE_BYTES } from '../../../../src/shared/base/limits.ts';
import { MessageFrame } from '../../../../src/shared/base/message-frame.ts';
import type { RouteGroup } from '../../../../src/shared/broker/route.ts';
import { BLOCKED } from '../../../../src/shared/broker/router.ts';
import { ThreadLinks } from '../../../../src/shared/broker/thread-links.ts';
import { createDoorbells } from '../../../../src/shared/ring/doorbell.ts';
import { createRing, RingConsumer, RingProducer } from '../../../../src/shared/ring/ring.ts';
import { frameOf, type TestMessage, TestSubscriber, tailOf } from './delivery-rig.ts';
import { connect, meshOf, RecordingDoorbell, RecordingSink } from './mesh.ts';

const RING_BYTES = 64 * 1024;
const MAX_RECORD_BYTES = RING_BYTES / 8;

function groupNamed(name: string): RouteGroup {
  const members = { locals: [], threads: [], weights: [], total: 0, kept: 0, ordinary: null };
  return { name, nameBytes: latin1Bytes(name), ...members };
}

/** Three threads; the tests look at what 0 sends to 1. */
class Wire {
  readonly sinks = [new RecordingSink(), new RecordingSink(), new RecordingSink()];
  readonly doorbells: RecordingDoorbell[];
  readonly links: ThreadLinks[];

  constructor(ringBytes = RING_BYTES) {
    const bells = createDoorbells(3);
    this.doorbells = this.sinks.map((_, self) => new RecordingDoorbell(bells, self));
    this.links = this.sinks.map((sink, self) => new ThreadLinks(self, 3, this.doorbells[self]!, sink));
    connect(this.links[0]!, this.links[1]!, ringBytes);
    connect(this.links[0]!, this.links[2]!, ringBytes);
    connect(this.links[1]!, this.links[2]!, ringBytes);
  }

  get from(): ThreadLinks {
    return this.links[0]!;
  }

  get to(): ThreadLinks {
    return this.links[1]!;
  }

  /** Publishes at 0 and drains at 1. */
  move(): string[] {
    this.from.publish();
    this.to.drain();
    return this.sinks[1]!.arrived.splice(0);
  }

  /** Sends small messages until there is no room. @returns how many */
  fill(payloadBytes = 100): number {
    const frame = frameOf({ subject: 'fill', payload: 'f'.repeat(payloadBytes) });
    let sent = 0;
    for (; this.from.hasRoomFor(1, frame, []); sent++) this.from.sendMessage(1, 0, frame, true, [], 0);
    return sent;
  }
}

function arrival(message: TestMessage, plain: boolean, queues: string[], hops: number, account = 0): string {
  const { subject, reply = '', headers, payload = '' } = message;
  return JSON.stringify({
    thread: 0,
    accountIndex: account,
    subject,
    hash: hashLatin1(subject),
    tail: tailOf(message),
    replyBytes: reply.length,
    headerBytes: headers === undefined ? -1 : headers.length,
    payloadBytes: (headers ?? '').length + payload.length,
    plain,
    queues,
    hops,
  });
}

describe('messages', () => {
  let wire: Wire;
  beforeEach(() => {
    wire = new Wire();
  });

  test.each([
    0,
    1,
    2,
    3,
    4,
    100,
    4096,
    MAX_RECORD_BYTES - 80,
    MAX_RECORD_BYTES,
    MAX_RECORD_BYTES * 10,
  ])('arrive byte for byte, %i bytes of payload', (size) => {
    const expected: string[] = [];
    for (const reply of ['', '_INBOX.1']) {
      for (const headers of [undefined, '', 'NATS/1.0\r\n\r\n']) {
        for (const queues of [[], ['q'], ['q1', 'queue two', '\xff']]) {
          const message = {
            subject: `foo.\xfe${size % 7}`,
            reply,
            ...(headers === undefined ? {} : { headers }),
            payload: `${size}\r\n\0`.repeat(size).slice(0, size),
          };
          const plain = queues.length !== 1;
          const frame = frameOf(message);
          const groups = queues.map(groupNamed);
          if (!wire.from.hasRoomFor(1, frame, groups)) expect(wire.move()).toEqual(expected.splice(0));
          expect(wire.from.hasRoomFor(1, frame, groups)).toBe(true);
          wire.from.sendMessage(1, 3, frame, plain, groups, queues.length);
          expected.push(arrival(message, plain, queues, queues.length, 3));
        }
      }
    }
    expect(wire.move()).toEqual(expected);
    expect(wire.sinks[2]!.arrived).toEqual([]);
  });

  test('every length around the longest that a ring record takes, ring and side way in order', () => {
    const expected: string[] = [];
    for (let size = MAX_RECORD_BYTES - 80; size < MAX_RECORD_BYTES - 40; size++) {
      const message = { subject: 'foo', payload: 'p'.repeat(size) };
      const frame = frameOf(message);
      if (!wire.from.hasRoomFor(1, frame, [])) expect(wire.move()).toEqual(expected.splice(0));
      wire.from.sendMessage(1, 0, frame, true, [], 0);
      expected.push(arrival(message, true, [], 0));
    }
    expect(wire.move()).toEqual(expected);
    expect(new Set(wire.sinks[1]!.owned)).toEqual(new Set([false, true]));
  });

  test('queue groups too many for a record travel beside the ring', () => {
    const names = Array.from({ length: 50 }, (_, index) => `${index}.${'q'.repeat(4000)}`);
    const frame = frameOf({ subject: 'foo', payload: 'hello' });
    const groups = names.map(groupNamed);
    expect(wire.from.hasRoomFor(1, frame, groups)).toBe(true);
    wire.from.sendMessage(1, 0, frame, true, groups, 0);
    expect(wire.move()).toEqual([arrival({ subject: 'foo', payload: 'hello' }, true, names, 0)]);
  });

  test('a queue name longer than 65,535 bytes', () => {
    const name = 'q'.repeat(70_000);
    wire.from.sendMessage(1, 0, frameOf({ subject: 'foo' }), false, [groupNamed(name)], 0);
    expect(wire.move()).toEqual([arrival({ subject: 'foo' }, false, [name], 0)]);
  });

  test('nothing is seen before it is published, and then its thread is rung', () => {
    wire.from.sendMessage(1, 0, frameOf({ subject: 'foo' }), true, [], 0);
    expect([wire.to.isEmpty(), wire.to.drain()]).toEqual([true, 0]);
    wire.from.publish();
    expect(wire.doorbells[0]!.rung).toEqual([1]);
    expect([wire.to.isEmpty(), wire.to.drain(), wire.to.isEmpty()]).toEqual([false, 1, true]);
    wire.from.publish();
    expect(wire.doorbells[0]!.rung).toEqual([1]);
  });
});

describe('interest', () => {
  test('goes to all threads, or to one', () => {
    const wire = new Wire();
    wire.from.sendInterest(-1, 4, 'foo.*', null, 1);
    wire.from.sendInterest(2, 5, 'bar', 'q\xff', 3);
    wire.from.sendInterest(-1, 4, 'foo.*', '', 0);
    wire.from.publish();
    wire.links[1]!.drain();
    wire.links[2]!.drain();
    const all = ['interest 0 4 foo.* null 1', 'interest 0 4 foo.*  0'];
    expect(wire.sinks[1]!.arrived).toEqual(all);
    expect(wire.sinks[2]!.arrived).toEqual([all[0], 'interest 0 5 bar q\xff 3', all[1]]);
  });

  test('of any length', () => {
    const wire = new Wire();
    const expected: string[] = [];
    for (const length of [1, MAX_RECORD_BYTES - 20, MAX_RECORD_BYTES - 10, RING_BYTES * 2]) {
      const [subject, queue] = ['s'.repeat(length), 'q'.repeat(length)];
      wire.from.sendInterest(-1, 0, subject, null, 1);
      wire.from.sendInterest(-1, 0, subject, queue, 2);
      expected.push(`interest 0 0 ${subject} null 1`, `interest 0 0 ${subject} ${queue} 2`);
    }
    expect(wire.move()).toEqual(expected);
  });
});

describe('who publishes', () => {
  const client = Buffer.from('{"name":"Grüße"}', 'utf8');
  let wire: Wire;
  beforeEach(() => {
    wire = new Wire();
  });

  test('is told in front of the message', () => {
    const frame = frameOf({ subject: 'a', payload: 'x' });
    wire.from.sendClient(1, frame.subjectHash, client);
    wire.from.sendMessage(1, 0, frame, true, [], 0);
    const [first, second] = wire.move();
    expect(first).toBe(`client 0 ${frame.subjectHash} {"name":"Grüße"}`);
    expect(second).toBe(arrival({ subject: 'a', payload: 'x' }, true, [], 0));
  });

  test('of any length, and in its place when the ring is full', () => {
    const long = Buffer.from(`"${'x'.repeat(MAX_RECORD_BYTES)}"`);
    wire.from.sendClient(1, -5, long);
    expect(wire.move()).toEqual([`client 0 -5 ${long}`]);
    const sent = wire.fill();
    for (let i = 0; i < 2000; i++) wire.from.sendClient(1, i, client);
    const told: string[] = [];
    for (let looks = 0; told.length < sent + 2000 && looks < 100; looks++) told.push(...wire.move());
    expect(told.slice(sent)).toEqual(
      Array.from({ length: 2000 }, (_, i) => `client 0 ${i} {"name":"Grüße"}`),
    );
  });

  test('goes nowhere when the thread is gone', () => {
    wire.from.setLink(1, null);
    expect(() => wire.from.sendClient(1, 0, client)).not.toThrow();
  });
});

describe('a full ring', () => {
  test('refuses messages, keeps room for interest, and rings when it drains', () => {
    const wire = new Wire();
    const sent = wire.fill();
    expect(sent).toBeGreaterThan(100);
    wire.from.sendInterest(-1, 0, 'x'.repeat(RING_CONTROL_RESERVE_BYTES / 2), null, 1);
    expect(wire.from.hasControlBacklog).toBe(false);
    wire.from.publish();
    expect(wire.doorbells[1]!.rung).toEqual([]);
    expect(wire.to.drain()).toBe(sent + 1);
    expect(wire.doorbells[1]!.rung).toEqual([0]);
    expect(wire.from.hasRoomFor(1, frameOf({ subject: 'foo' }), [])).toBe(true);
  });

  test('interest beyond the reserve queues, and everything behind it keeps its place', () => {
    const wire = new Wire();
    const expected: string[] = [];
    const filled = wire.fill();
    for (let index = 0; index < 3000; index++) {
      wire.from.sendInterest(1, 0, `subject.${index}`, null, 1);
      expected.push(`interest 0 0 subject.${index} null 1`);
    }
    expect(wire.from.hasControlBacklog).toBe(true);
    const frame = frameOf({ subject: 'foo' });
    expect(wire.from.hasRoomFor(1, frame, [])).toBe(false);
    wire.from.forwardMessage(1, 0, frame, groupNamed('q'), 2);
    expected.push(arrival({ subject: 'foo' }, false, ['q'], 2));
    const large = { subject: 'foo', payload: 'L'.repeat(RING_BYTES) };
    wire.from.forwardMessage(1, 0, frameOf(large), groupNamed('q'), 1);
    expected.push(arrival(large, false, ['q'], 1));
    wire.from.sendInterest(1, 0, 'last', 'q', 0);
    expected.push('interest 0 0 last q 0');
    const arrived: string[] = [];
    while (wire.from.hasControlBacklog) {
      const before = arrived.length;
      arrived.push(...wire.move());
      expect(arrived.length).toBeGreaterThan(before);
      expect(wire.doorbells[1]!.rung.splice(0)).toContain(0);
      wire.from.publish();
    }
    arrived.push(...wire.move());
    expect(arrived.slice(filled)).toEqual(expected);
    expect(wire.from.hasRoomFor(1, frame, [])).toBe(true);
  });

  test('what is sent when there is room again does not overtake what queues', () => {
    const wire = new Wire();
    wire.fill();
    for (let index = 0; index < 2000; index++) wire.from.sendInterest(1, 0, `s.${index}`, null, 1);
    wire.from.publish();
    wire.to.drain();
    const written = wire.sinks[1]!.arrived.splice(0).filter((text) => text.startsWith('interest')).length;
    expect([wire.from.hasControlBacklog, written < 2000]).toEqual([true, true]);
    wire.from.forwardMessage(1, 0, frameOf({ subject: 'foo' }), groupNamed('q'), 1);
    wire.from.sendInterest(1, 0, 'last', null, 1);
    const rest = [...wire.move(), ...wire.move(), ...wire.move()];
    expect(rest).toHaveLength(2000 - written + 2);
    expect(rest.slice(-2)).toEqual([
      arrival({ subject: 'foo' }, false, ['q'], 1),
      'interest 0 0 last null 1',
    ]);
  });

  test('a promise of room holds for any part of the groups', () => {
    // In a ring of this size the longest record is longer than the room kept for control.
    const ringBytes = 1024 * 1024;
    const maxRecordBytes = ringBytes / 8;
    const frame = frameOf({ subject: 'foo', payload: 'p'.repeat(maxRecordBytes - 120) });
    const groups = [groupNamed('q'.repeat(70))];
    const filler = frameOf({ subject: 'f', payload: 'x'.repeat(3000) });
    const wire = new Wire(ringBytes);
    let promised = 0;
    let refused = 0;
    for (; wire.from.hasRoomFor(1, filler, []); wire.from.sendMessage(1, 0, filler, true, [], 0)) {
      if (!wire.from.hasRoomFor(1, frame, groups)) {
        refused++;
        continue;
      }
      promised++;
      // With the group it would travel beside the ring, without it in the ring.
      const probe = new Wire(ringBytes);
      for (let sent = 1; sent < promised; sent++) probe.from.sendMessage(1, 0, filler, true, [], 0);
      probe.from.sendMessage(1, 0, frame, true, [], 0);
      expect(probe.from.hasControlBacklog).toBe(false);
    }
    expect([promised > 200, refused > 30]).toEqual([true, true]);
  });

  test('room that went to interest meanwhile: the message queues', () => {
    const wire = new Wire();
    const [frame, longer, small] = [3000, 3500, 10].map((size) =>
      frameOf({ subject: 'foo', payload: 'p'.repeat(size) }),
    ) as [MessageFrame, MessageFrame, MessageFrame];
    let sent = 0;
    for (; wire.from.hasRoomFor(1, longer, []); sent++) wire.from.sendMessage(1, 0, small, true, [], 0);
    expect(wire.from.hasRoomFor(1, frame, [])).toBe(true);
    // As when local deliveries of the message end subscriptions.
    for (let index = 0; index < 1000; index++) wire.from.sendInterest(1, 0, `s.${index}`, null, 0);
    wire.from.sendMessage(1, 0, frame, true, [], 0);
    expect(wire.from.hasControlBacklog).toBe(true);
    const arrived = [...wire.move(), ...wire.move()];
    expect(arrived).toHaveLength(sent + 1000 + 1);
    expect(arrived.at(-1)).toBe(arrival({ subject: 'foo', payload: 'p'.repeat(3000) }, true, [], 0));
    expect(wire.from.hasControlBacklog).toBe(false);
  });
});

describe('large records', () => {
  const SIZE = 20 * 1024 * 1024;

  function largeFrame(): MessageFrame {
    const line = latin1Bytes(`foo ${SIZE}\r\n`);
    const frame = new MessageFrame();
    frame.bytes = new Uint8Array(line.length + SIZE + 2 + 16);
    frame.bytes.set(line);
    frame.view = new DataView(frame.bytes.buffer);
    frame.subjectEnd = 3;
    frame.subjectHash = hashLatin1('foo');
    frame.tailStart = 4;
    frame.payloadStart = line.length;
    frame.payloadBytes = SIZE;
    frame.tailEnd = line.length + SIZE + 2;
    return frame;
  }

  test('are refused when too many bytes are on their way, and go on when half of them is gone', () => {
    const [a, b] = meshOf(2, RING_BYTES, 1) as [ReturnType<typeof meshOf>[0], ReturnType<typeof meshOf>[0]];
    const frame = largeFrame();
    const fits = Math.floor(LARGE_IN_FLIGHT_MAX_BYTES / SIZE);
    for (let sent = 0; sent < fits; sent++) {
      expect(a.links.hasRoomFor(1, frame, [])).toBe(true);
      a.links.sendMessage(1, 0, frame, true, [], 0);
    }
    expect(a.links.hasRoomFor(1, frame, [])).toBe(false);
    expect(a.links.hasRoomFor(1, frameOf({ subject: 'small' }), [])).toBe(true);
    a.links.publish();
    expect(b.doorbell.rung).toEqual([]);
    expect(b.links.drain()).toBe(fits);
    expect(b.doorbell.rung).toEqual([0]);
    expect(a.links.hasRoomFor(1, frame, [])).toBe(true);
    b.links.drain();
    expect(b.doorbell.rung).toEqual([0]);
  });

  test('one alone may exceed every limit', () => {
    const wire = new Wire();
    const frame = largeFrame();
    frame.payloadBytes = LARGE_IN_FLIGHT_MAX_BYTES + 1;
    frame.tailEnd = frame.payloadStart + frame.payloadBytes + 2;
    expect(wire.from.hasRoomFor(1, frame, [])).toBe(true);
  });

  test('delivered ones are kept by reference and stay as they were', () => {
    const [a, b] = meshOf(2, RING_BYTES, 1) as [ReturnType<typeof meshOf>[0], ReturnType<typeof meshOf>[0]];
    const subscriber = new TestSubscriber();
    b.rig.subscribe(subscriber, 'foo');
    b.links.publish();
    a.links.drain();
    const payloads = ['a', 'b', 'c'].map((letter) => letter.repeat(200_000));
    for (const payload of payloads) expect(a.rig.publish({ subject: 'foo', payload })).toBe(1);
    a.links.publish();
    b.links.drain();
    expect(
      subscriber.received() === payloads.map((payload) => `MSG foo 1 200000\r\n${payload}\r\n`).join(''),
    ).toBe(true);
  });
});

describe('members that left', () => {
  test('a queue message goes on to a thread that still has some', () => {
    const nodes = meshOf(3, RING_BYTES, 9);
    const subscribers = nodes.map(() => new TestSubscriber());
    const subscriptions = nodes.map((node, index) =>
      node.rig.subscribe(subscribers[index]!, 'foo', '1', 'q'),
    );
    for (const node of nodes) node.links.publish();
    for (const node of nodes) node.links.drain();
    for (let sent = 0; sent < 60; sent++) nodes[0]!.rig.publish({ subject: 'foo' });
    // Both others leave, and neither knows of the other.
    nodes[1]!.account.unsubscribe(subscriptions[1]!);
    nodes[2]!.account.unsubscribe(subscriptions[2]!);
    for (let turn = 0; turn < 6; turn++) {
      for (const node of nodes) node.links.publish();
      for (const node of nodes) node.links.drain();
    }
    expect(subscribers.map(({ outMsgs }) => outMsgs)).toEqual([60, 0, 0]);
  });

  test('without members anywhere the message ends', () => {
    const nodes = meshOf(3, RING_BYTES, 9);
    const subscriptions = nodes.map((node) => node.rig.subscribe(new TestSubscriber(), 'foo', '1', 'q'));
    for (const node of nodes) node.links.publish();
    for (const node of nodes) node.links.drain();
    nodes[0]!.rig.publish({ subject: 'foo' });
    for (const [index, node] of nodes.entries()) node.account.unsubscribe(subscriptions[index]!);
    for (let turn = 0; turn < 10; turn++) {
      for (const node of nodes) node.links.publish();
      for (const node of nodes) node.links.drain();
    }
    expect(nodes.every(({ links }) => links.isEmpty())).toBe(true);
  });
});

describe('threads that come and go', () => {
  test('to a thread that died everything goes nowhere', () => {
    const wire = new Wire();
    wire.fill();
    for (let index = 0; index < 3000; index++) wire.from.sendInterest(1, 0, `s.${index}`, null, 1);
    expect(wire.from.hasControlBacklog).toBe(true);
    wire.from.setLink(1, null);
    expect(wire.from.hasControlBacklog).toBe(false);
    const frame = frameOf({ subject: 'foo' });
    expect(wire.from.hasRoomFor(1, frame, [])).toBe(true);
    wire.from.sendMessage(1, 0, frame, true, [], 0);
    wire.from.forwardMessage(1, 0, frame, groupNamed('q'), 0);
    wire.from.sendInterest(-1, 0, 'foo', null, 1);
    wire.from.publish();
    expect([wire.from.isEmpty(), wire.from.drain()]).toEqual([true, 0]);
    wire.links[2]!.drain();
    expect(wire.sinks[2]!.arrived).toEqual(['interest 0 0 foo null 1']);
  });

  test('a thread that takes its place starts with an empty ring', () => {
    const wire = new Wire();
    wire.from.sendInterest(-1, 0, 'old', null, 1);
    wire.from.setLink(1, null);
    connect(wire.from, wire.to, RING_BYTES);
    wire.from.sendInterest(1, 0, 'new', null, 1);
    expect(wire.move()).toEqual(['interest 0 0 new null 1']);
  });
});

describe('what cannot be', () => {
  test('an unknown record and a large record that is missing', () => {
    for (const [type, message] of [
      [9, /unknown record type 9/],
      [3, /a large record is missing/],
    ] as const) {
      const wire = new Wire();
      const ring = createRing(RING_BYTES);
      const producer = new RingProducer(ring);
      wire.to.setLink(0, {
        producer: new RingProducer(createRing(RING_BYTES)),
        consumer: new RingConsumer(ring),
        largeSent: new Int32Array(2),
        largeReceived: new Int32Array(2),
        postLarge: () => undefined,
        takeLarge: () => null,
      });
      producer.tryClaim(type, 8);
      producer.commit();
      producer.publish();
      expect(() => wire.to.drain()).toThrow(message);
    }
  });
});

test('a router whose ring is full delivers to nobody, not even to its own thread', () => {
  const [a, b] = meshOf(2, RING_BYTES, 3) as [ReturnType<typeof meshOf>[0], ReturnType<typeof meshOf>[0]];
  const [near, far] = [new TestSubscriber(), new TestSubscriber()];
  a.rig.subscribe(near, 'foo');
  b.rig.subscribe(far, 'foo');
  b.links.publish();
  a.links.drain();
  const message = { subject: 'foo', payload: 'p'.repeat(1000) };
  let sent = 0;
  for (; a.rig.publish(message) !== BLOCKED; sent++) expect(sent).toBeLessThan(100);
  expect(near.outMsgs).toBe(sent);
  a.links.publish();
  b.links.drain();
  expect([far.outMsgs, b.doorbell.rung.includes(0)]).toEqual([sent, true]);
  expect(a.rig.publish(message)).toBe(2);
});

describe('what is held back', () => {
  let wire: Wire;
  const body = 'x'.repeat(20);
  const fields = { accountIndex: 0, subjectHash: hashLatin1('p'), subjectBytes: 1, shownBytes: 0 };
  beforeEach(() => {
    wire = new Wire();
  });

  function send(subject: string, thread = 1): void {
    wire.from.sendMessage(thread, 0, frameOf({ subject, payload: body }), true, [], 0);
  }

  /** A message that isn't true yet. */
  function promise(payload: string, thread = 1): void {
    wire.from.hold();
    const tail = tailOf({ subject: 'p', payload });
    const start = wire.from.claimMessage(thread, 1 + tail.length);
    wire.from.bytesTo(thread).set(latin1Bytes(`p${tail}`), start);
    const sizes = { replyBytes: 0, headerBytes: -1, payloadBytes: payload.length, tailBytes: tail.length };
    wire.from.sendClaimed(thread, start, { ...fields, ...sizes }, true);
  }

  const subjects = (arrived: string[]) =>
    arrived.map((text) => (text.startsWith('{') ? (JSON.parse(text) as { subject: string }).subject : text));

  test('a message written by its sender arrives like any other', () => {
    promise('hello');
    wire.from.showHeld();
    expect(wire.move()).toEqual([arrival({ subject: 'p', payload: 'hello' }, true, [], 0)]);
  });

  test('is seen together with what was sent behind it, in order, and not before', () => {
    send('before');
    promise('1');
    send('behind');
    wire.from.sendInterest(-1, 0, 'interest', null, 1);
    for (let n = 0; n < 200; n++) send('many');
    expect(subjects(wire.move())).toEqual(['before']);
    wire.links[2]!.drain();
    expect(wire.sinks[2]!.arrived).toEqual([]);
    wire.from.showHeld();
    const arrived = subjects(wire.move());
    expect(arrived.slice(0, 3)).toEqual(['p', 'behind', 'interest 0 0 interest null 1']);
    expect(arrived.length).toBe(203);
    wire.links[2]!.drain();
    expect(wire.sinks[2]!.arrived.length).toBe(1);
    expect(wire.from.holding).toBe(false);
  });

  test('part of it becomes true', () => {
    promise('1');
    send('first');
    wire.from.noteHeld();
    promise('2');
    send('second');
    wire.from.showNoted();
    expect(subjects(wire.move())).toEqual(['p', 'first']);
    wire.from.showNoted();
    expect(wire.move()).toEqual([]);
    wire.from.showHeld();
    expect(subjects(wire.move())).toEqual(['p', 'second']);
  });

  test('what was noted before anything was held shows nothing', () => {
    wire.from.noteHeld();
    promise('1');
    wire.from.showNoted();
    expect(wire.move()).toEqual([]);
  });

  test('promises are taken back, other messages stay', () => {
    promise('kept');
    wire.from.noteHeld();
    promise('lost');
    send('other');
    promise('lost', 2);
    wire.from.showNoted();
    wire.doorbells[0]!.rung.length = 0;
    expect(wire.from.withdrawPromises()).toBe(2);
    expect(wire.doorbells[0]!.rung).toEqual([1]);
    wire.from.showHeld();
    expect(subjects(wire.move())).toEqual(['p', 'other']);
    wire.links[2]!.drain();
    expect(wire.sinks[2]!.arrived).toEqual([]);
  });

  test('a thread that joins meanwhile sees it when the others do', () => {
    promise('1');
    wire.from.setLink(2, null);
    connect(wire.from, wire.links[2]!, RING_BYTES);
    send('joined', 2);
    wire.from.publish();
    wire.links[2]!.drain();
    expect(wire.sinks[2]!.arrived).toEqual([]);
    wire.from.showHeld();
    wire.from.publish();
    wire.links[2]!.drain();
    expect(subjects(wire.sinks[2]!.arrived)).toEqual(['joined']);
  });

  test('a full ring, a queue and a long message refuse a claim', () => {
    expect(wire.from.claimMessage(1, MAX_RECORD_BYTES)).toBe(-1);
    wire.fill();
    expect(wire.from.claimMessage(1, 200)).toBe(-1);
    wire.from.setLink(1, null);
    expect(wire.from.claimMessage(1, 10)).toBe(-1);
  });
});

describe('a portion', () => {
  const MESSAGES = 20;
  let wire: Wire;
  beforeEach(() => {
    wire = new Wire();
  });

  function publish(from: ThreadLinks, subject: string, count: number): void {
    for (let i = 0; i < count; i++)
      from.sendMessage(1, 0, frameOf({ subject: `${subject}.${i}`, payload: 'p'.repeat(100) }), true, [], 0);
    from.publish();
  }

  const arrivedSubjects = () =>
    wire.sinks[1]!.arrived.splice(0).map((text) => (JSON.parse(text) as { subject: string }).subject);
  const subjects = (subject: string, from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `${subject}.${from + i}`);

  test('of one thread ends with the record that reaches the limit, and the rest comes next', () => {
    publish(wire.from, 'a', MESSAGES);
    const taken = wire.to.drainPortion(1000);
    expect(taken).toBeGreaterThan(1);
    expect(taken).toBeLessThan(8);
    expect(arrivedSubjects()).toEqual(subjects('a', 0, taken));
    expect(wire.to.isEmpty()).toBe(false);
    expect(wire.to.drainPortion(Infinity)).toBe(MESSAGES - taken);
    expect(arrivedSubjects()).toEqual(subjects('a', taken, MESSAGES));
    expect(wire.to.isEmpty()).toBe(true);
  });

  test('is everything where two threads published: one may rest upon the other', () => {
    publish(wire.links[2]!, 'b', MESSAGES);
    publish(wire.from, 'a', MESSAGES);
    expect(wire.to.drainPortion(1000)).toBe(2 * MESSAGES);
    expect(arrivedSubjects()).toEqual([...subjects('a', 0, MESSAGES), ...subjects('b', 0, MESSAGES)]);
  });

  test('of one thread leaves alone what another publishes meanwhile', () => {
    publish(wire.from, 'a', MESSAGES);
    const { sinks, links } = wire;
    const receive = sinks[1]!.messageArrived.bind(sinks[1]);
    let published = false;
    sinks[1]!.messageArrived = (...message) => {
      receive(...message);
      if (published) return;
      published = true;
      publish(links[2]!, 'b', 1);
    };
    const taken = wire.to.drainPortion(1000);
    expect(arrivedSubjects()).toEqual(subjects('a', 0, taken));
    wire.to.drain();
    expect(arrivedSubjects()).toEqual([...subjects('a', taken, MESSAGES), 'b.0']);
  });

  test('leaves what comes before all that others publish later, whatever their numbers', () => {
    publish(wire.links[2]!, 'b', MESSAGES);
    const taken = wire.to.drainPortion(1000);
    expect(arrivedSubjects()).toEqual(subjects('b', 0, taken));
    publish(wire.from, 'a', 1);
    wire.to.drainPortion(1000);
    expect(arrivedSubjects()).toEqual([...subjects('b', taken, MESSAGES), 'a.0']);
  });

  test('is nothing when nobody published', () => {
    expect(wire.to.drainPortion(1000)).toBe(0);
  });
});

describe('causality', () => {
  test('a change of interest is seen by all before what is sent behind it is seen by anybody', () => {
    const wire = new Wire();
    const frame = frameOf({ subject: 'reply' });
    wire.from.sendInterest(-1, 0, 'new', null, 1);
    // The other thread can see it though nothing was published yet.
    wire.links[2]!.drain();
    expect(wire.sinks[2]!.arrived).toEqual(['interest 0 0 new null 1']);
    wire.from.sendMessage(1, 0, frame, true, [], 0);
    wire.from.publish();
    expect(wire.doorbells[0]!.rung).toEqual([1, 2]);
  });

  test('no thread is rung before all can see', () => {
    const wire = new Wire();
    const seen: number[] = [];
    wire.doorbells[0]!.ring = () => {
      wire.links[1]!.drain();
      wire.links[2]!.drain();
      seen.push(wire.sinks[1]!.arrived.length + wire.sinks[2]!.arrived.length);
    };
    for (const thread of [1, 2]) wire.from.sendMessage(thread, 0, frameOf({ subject: 'x' }), true, [], 0);
    wire.from.publish();
    expect(seen).toEqual([2, 2]);
  });

  test('what is held back keeps its order too', () => {
    const wire = new Wire();
    const order: string[] = [];
    const [, one, two] = wire.links;
    wire.from.hold();
    wire.from.sendInterest(-1, 0, 'first', null, 1);
    wire.from.sendMessage(1, 0, frameOf({ subject: 'reply' }), true, [], 0);
    wire.from.noteHeld();
    wire.from.sendInterest(-1, 0, 'second', null, 1);
    wire.from.publish();
    two!.drain();
    expect(wire.sinks[2]!.arrived).toEqual([]);
    wire.from.showNoted();
    wire.from.publish();
    one!.drain();
    two!.drain();
    for (const sink of wire.sinks.slice(1))
      order.push(
        sink.arrived
          .splice(0)
          .map((text) => text.slice(0, 20))
          .join(),
      );
    expect(order).toEqual(['interest 0 0 first n,{"thread":0,"account', 'interest 0 0 first n']);
    wire.from.showHeld();
    wire.from.publish();
    two!.drain();
    expect(wire.sinks[2]!.arrived).toEqual(['interest 0 0 second null 1']);
  });
});
