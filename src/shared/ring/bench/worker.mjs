// One thread of the benchmark: bundled by bench.mjs, which names the role and the load in workerData.
import { parentPort, workerData } from 'node:worker_threads';
import { Doorbell } from '../doorbell.ts';
import { RingConsumer, RingProducer } from '../ring.ts';

const { role, records, size, batch, forward, backward, doorbells } = workerData;

/** Both ends poll: what the ring itself can carry, with a thread and a core for each end. */
function produce() {
  const producer = new RingProducer(forward);
  const payload = new Uint8Array(size).map((_, index) => index);
  let open = 0;
  for (let sent = 0; sent < records; ) {
    const offset = producer.tryClaim(1, size);
    if (offset === -1) {
      producer.publish();
      open = 0;
      continue;
    }
    producer.bytes.set(payload, offset);
    producer.commit();
    sent++;
    open++;
    if (open === batch) {
      producer.publish();
      open = 0;
    }
  }
  producer.publish();
  parentPort.postMessage({});
}

function consume() {
  const consumer = new RingConsumer(forward);
  let received = 0;
  let checksum = 0;
  const handler = (_type, offset, length) => {
    // Touching the payload's ends makes its cache lines travel, as any use of it would.
    checksum = (checksum + consumer.bytes[offset] + consumer.bytes[offset + length - 1]) | 0;
    received++;
  };
  while (consumer.isEmpty());
  const start = process.hrtime.bigint();
  while (received < records) consumer.drain(handler);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  parentPort.postMessage({ seconds, received, checksum });
}

/** Both ends sleep when they have nothing to do, as a server's threads do. Thread 1 produces, thread 2 consumes. */
function produceAsleep() {
  const producer = new RingProducer(forward);
  const doorbell = new Doorbell(doorbells, 1);
  const payload = new Uint8Array(size);
  let sent = 0;
  const work = () => {
    let open = 0;
    while (sent < records) {
      const offset = producer.tryClaim(1, size);
      if (offset === -1) {
        if (producer.publish()) doorbell.ring(2);
        open = 0;
        if (producer.requestRoom(producer.maxReserveBytes)) {
          if (doorbell.sleep(work, () => producer.roomFreed())) return;
        }
        continue;
      }
      producer.bytes.set(payload, offset);
      producer.commit();
      sent++;
      if (++open === batch) {
        open = 0;
        if (producer.publish()) doorbell.ring(2);
      }
    }
    if (producer.publish()) doorbell.ring(2);
    parentPort.postMessage({});
    parentPort.unref();
  };
  parentPort.ref();
  parentPort.once('message', () => {});
  work();
}

function consumeAsleep() {
  const consumer = new RingConsumer(forward);
  const doorbell = new Doorbell(doorbells, 2);
  let received = 0;
  let wakeUps = 0;
  let start = 0n;
  const handler = () => {
    if (received++ === 0) start = process.hrtime.bigint();
  };
  const work = () => {
    wakeUps++;
    for (;;) {
      consumer.drain(handler);
      if (consumer.roomRequested()) doorbell.ring(1);
      if (received === records) {
        const seconds = Number(process.hrtime.bigint() - start) / 1e9;
        parentPort.postMessage({ seconds, received, wakeUps });
        parentPort.unref();
        return;
      }
      if (doorbell.sleep(work, () => !consumer.isEmpty())) return;
    }
  };
  parentPort.ref();
  parentPort.once('message', () => {});
  work();
}

/** One record there and one back, both threads asleep in between. */
function pingPong(self, other, outgoing, incoming, serves) {
  const producer = new RingProducer(outgoing);
  const consumer = new RingConsumer(incoming);
  const doorbell = new Doorbell(doorbells, self);
  const roundTrips = new Float64Array(serves ? records : 0);
  let done = 0;
  let sentAt = 0n;
  const send = () => {
    if (serves) sentAt = process.hrtime.bigint();
    producer.tryClaim(1, 8);
    producer.commit();
    producer.publish();
    doorbell.ring(other);
  };
  const handler = () => {
    if (serves) roundTrips[done] = Number(process.hrtime.bigint() - sentAt);
    done++;
    if (!serves || done < records) send();
  };
  const work = () => {
    for (;;) {
      consumer.drain(handler);
      if (done === records) break;
      if (doorbell.sleep(work, () => !consumer.isEmpty())) return;
    }
    roundTrips.sort();
    parentPort.postMessage({ p50: roundTrips[records >> 1], p99: roundTrips[Math.floor(records * 0.99)] });
    parentPort.unref();
  };
  parentPort.ref();
  parentPort.once('message', () => {});
  if (serves) send();
  work();
}

/** One thread, no contention: what a claim, a copy, a commit and a drain cost by themselves. */
function single() {
  const producer = new RingProducer(forward);
  const consumer = new RingConsumer(forward);
  const payload = new Uint8Array(size);
  const handler = () => {};
  const start = process.hrtime.bigint();
  for (let sent = 0; sent < records; ) {
    for (let index = 0; index < batch; index++, sent++) {
      const offset = producer.tryClaim(1, size);
      producer.bytes.set(payload, offset);
      producer.commit();
    }
    producer.publish();
    consumer.drain(handler);
  }
  parentPort.postMessage({ seconds: Number(process.hrtime.bigint() - start) / 1e9 });
}

const roles = {
  produce,
  consume,
  produceAsleep,
  consumeAsleep,
  single,
  ping: () => pingPong(1, 2, forward, backward, true),
  pong: () => pingPong(2, 1, backward, forward, false),
};
roles[role]();
