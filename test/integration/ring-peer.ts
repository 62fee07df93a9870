/**
 * One of the two threads of ring-threads.test.ts: sends and receives at once, sleeps whenever it can do neither, and checks every
 * byte it receives. A wake-up lost anywhere leaves both threads asleep for good, which the test sees as a time-out.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { Doorbell } from '../../src/shared/ring/doorbell.ts';
import { RingConsumer, RingProducer } from '../../src/shared/ring/ring.ts';

export interface PeerData {
  role: 'exchange' | 'sleep';
  self: number;
  other: number;
  outgoing: SharedArrayBuffer;
  incoming: SharedArrayBuffer;
  doorbells: SharedArrayBuffer;
  records: number;
  /** At most so many records are committed before they are published. */
  batch: number;
  /** Leaves its inbound ring alone for so many turns out of eight, to make the other side's ring fill up. */
  lazyTurns: number;
}

export interface PeerReport {
  sent: number;
  received: number;
  sleeps: number;
  wakes: number;
  /** Sleeps ended without a ring. */
  stirs: number;
  refusals: number;
  checksum: number;
}

const SERIAL_BYTES = 4;

/** Numerical Recipes' generator: sender and receiver each run one, from the same seed. */
class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }
  /** Mostly short, now and then as long as allowed. */
  length(longest: number): number {
    return this.below(100) === 0 ? SERIAL_BYTES + this.below(longest - 3) : SERIAL_BYTES + this.below(60);
  }
}

function exchange(data: PeerData, port: NonNullable<typeof parentPort>): void {
  const producer = new RingProducer(data.outgoing);
  const consumer = new RingConsumer(data.incoming);
  const doorbell = new Doorbell(data.doorbells, data.self);
  const outgoingSizes = new Random(data.self);
  const incomingSizes = new Random(data.other);
  const choices = new Random(data.self + 99);
  const report: PeerReport = {
    sent: 0,
    received: 0,
    sleeps: 0,
    wakes: 0,
    stirs: 0,
    refusals: 0,
    checksum: 0,
  };
  let nextLength = outgoingSizes.length(producer.maxRecordBytes);
  let turn = 0;
  let asleep = false;

  const receive = (type: number, offset: number, length: number): void => {
    const serial = report.received++;
    const expectedLength = incomingSizes.length(producer.maxRecordBytes);
    if (length !== expectedLength || type !== serial % 1000 || consumer.view.getInt32(offset) !== serial) {
      throw new Error(`record ${serial} arrived as type ${type} with ${length} bytes`);
    }
    for (let index = SERIAL_BYTES; index < length; index++) {
      const value = consumer.bytes[offset + index]!;
      if (value !== ((serial + index) & 255)) throw new Error(`record ${serial} differs at byte ${index}`);
      report.checksum = (Math.imul(report.checksum, 31) + value) | 0;
    }
  };

  /** False when the ring is full and its consumer was asked to ring. */
  const send = (): boolean => {
    for (let open = 0; open < data.batch && report.sent < data.records; ) {
      const offset = producer.tryClaim(report.sent % 1000, nextLength);
      if (offset === -1) {
        report.refusals++;
        if (producer.publish()) doorbell.ring(data.other);
        if (producer.requestRoom(1 + choices.below(producer.maxReserveBytes))) return false;
        continue;
      }
      producer.view.setInt32(offset, report.sent);
      for (let index = SERIAL_BYTES; index < nextLength; index++) {
        producer.bytes[offset + index] = (report.sent + index) & 255;
      }
      if (choices.below(50) === 0) {
        producer.bytes.fill(255, offset, offset + nextLength);
        producer.abort();
        continue;
      }
      producer.commit();
      open++;
      report.sent++;
      nextLength = outgoingSizes.length(producer.maxRecordBytes);
    }
    if (producer.publish()) doorbell.ring(data.other);
    return report.sent < data.records;
  };

  const work = (): void => {
    for (;;) {
      if (turn++ % 8 >= data.lazyTurns) {
        consumer.drain(receive, 1 + choices.below(4096));
        if (consumer.roomRequested()) doorbell.ring(data.other);
      }
      if (send()) continue;
      if (!consumer.isEmpty()) continue;
      if (report.sent === data.records && report.received === data.records) break;
      report.sleeps++;
      if (doorbell.sleep(woken, () => !consumer.isEmpty() || producer.roomFreed())) {
        asleep = true;
        if (choices.below(4) === 0) setImmediate(stir);
        return;
      }
    }
    doorbell.close();
    port.postMessage(report);
    port.close();
  };
  const woken = (): void => {
    asleep = false;
    report.wakes++;
    work();
  };
  /** Wakes by itself, as a thread does that hears from a socket. */
  const stir = (): void => {
    if (!asleep) return;
    asleep = false;
    doorbell.awake();
    report.stirs++;
    work();
  };
  work();
}

const port = parentPort!;
const data = workerData as PeerData;
// A waiter keeps no worker alive; a listener on the port does.
port.on('message', () => {});
if (data.role === 'exchange') exchange(data, port);
else {
  const doorbell = new Doorbell(data.doorbells, data.self);
  doorbell.sleep(() => port.postMessage('woken'));
  port.postMessage('asleep');
}
