import { latin1 } from '../../../../src/shared/base/latin1.ts';
import type { MessageFrame } from '../../../../src/shared/base/message-frame.ts';
import { Prng } from '../../../../src/shared/base/prng.ts';
import type { Account, InterestAnnouncer } from '../../../../src/shared/broker/account.ts';
import { type ThreadLinkSink, ThreadLinks } from '../../../../src/shared/broker/thread-links.ts';
import type { InterestRecord } from '../../../../src/shared/mail/interest-record.ts';
import type { MessageRun } from '../../../../src/shared/mail/message-run.ts';
import { createDoorbells, Doorbell } from '../../../../src/shared/ring/doorbell.ts';
import { createRing, RingConsumer, RingProducer } from '../../../../src/shared/ring/ring.ts';
import { Rig, testAccount } from './delivery-rig.ts';

/** Several threads' links in one thread, over real rings, moved by hand. */

/** Notes who was rung. */
export class RecordingDoorbell extends Doorbell {
  readonly rung: number[] = [];
  override ring(other: number): void {
    this.rung.push(other);
  }
}

/** Joins the links of two threads. */
export function connect(a: ThreadLinks, b: ThreadLinks, ringBytes: number): void {
  const [toB, toA] = [createRing(ringBytes), createRing(ringBytes)];
  const [largeToB, largeToA] = [
    new Int32Array(new SharedArrayBuffer(8)),
    new Int32Array(new SharedArrayBuffer(8)),
  ];
  const [portToB, portToA]: [SharedArrayBuffer[], SharedArrayBuffer[]] = [[], []];
  a.setLink(b.self, {
    producer: new RingProducer(toB),
    consumer: new RingConsumer(toA),
    largeSent: largeToB,
    largeReceived: largeToA,
    postLarge: (shared) => portToB.push(shared),
    takeLarge: () => portToA.shift() ?? null,
  });
  b.setLink(a.self, {
    producer: new RingProducer(toA),
    consumer: new RingConsumer(toB),
    largeSent: largeToA,
    largeReceived: largeToB,
    postLarge: (shared) => portToA.push(shared),
    takeLarge: () => portToB.shift() ?? null,
  });
}

/** What arrived, as text. */
export class RecordingSink implements ThreadLinkSink {
  readonly arrived: string[] = [];
  readonly owned: boolean[] = [];

  messageArrived(
    thread: number,
    accountIndex: number,
    frame: MessageFrame,
    plain: boolean,
    queues: readonly Uint8Array[],
    hops: number,
  ): void {
    const { bytes, subjectStart, subjectEnd, tailStart, tailEnd, payloadStart, payloadBytes } = frame;
    if (frame.view.buffer !== bytes.buffer) throw new Error('view and bytes are not the same memory');
    if (payloadStart + payloadBytes + 2 !== tailEnd) throw new Error('the tail does not end the payload');
    if (tailEnd + 3 > bytes.length) throw new Error('no slack behind the tail');
    this.owned.push(frame.payloadOwner !== null);
    this.arrived.push(
      JSON.stringify({
        thread,
        accountIndex,
        subject: latin1(bytes, subjectStart, subjectEnd),
        ...(frame.shownBytes === 0 ? {} : { shown: latin1(bytes, tailStart - frame.shownBytes, tailStart) }),
        hash: frame.subjectHash,
        tail: latin1(bytes, tailStart, tailEnd),
        replyBytes: frame.replyBytes,
        headerBytes: frame.headerBytes,
        payloadBytes,
        plain,
        queues: queues.map((name) => latin1(name, 0, name.length)),
        hops,
      }),
    );
  }

  interestChanged(thread: number, { accountIndex, subject, queue, weight }: InterestRecord): void {
    this.arrived.push(`interest ${thread} ${accountIndex} ${subject} ${queue} ${weight}`);
  }

  runArrived(thread: number, run: MessageRun): void {
    while (run.next()) this.messageArrived(thread, run.accountIndex, run.frame, true, [], 0);
  }

  clientArrived(thread: number, subjectHash: number, client: string): void {
    this.arrived.push(`client ${thread} ${subjectHash} ${client}`);
  }
}

/** A thread with one account, a router and links: what a shard is without its sockets. */
export class MeshNode implements InterestAnnouncer, ThreadLinkSink {
  readonly links: ThreadLinks;
  readonly doorbell: RecordingDoorbell;
  readonly account: Account;
  readonly rig: Rig;

  constructor(self: number, threads: number, bells: SharedArrayBuffer, seed: number) {
    this.doorbell = new RecordingDoorbell(bells, self);
    this.links = new ThreadLinks(self, threads, this.doorbell, this);
    this.account = testAccount(this);
    this.rig = new Rig(new Prng(seed + self).below(1e9), this.links, this.account);
  }

  announceInterest(
    accountIndex: number,
    subject: string,
    queue: string | null,
    weight: number,
    filter: string,
  ): void {
    this.links.sendInterest(-1, accountIndex, subject, queue, weight, filter);
  }

  interestChanged(thread: number, { subject, queue, weight, filter }: InterestRecord): void {
    this.account.setThreadInterest(thread, subject, queue, weight, filter);
  }

  messageArrived(
    _thread: number,
    _account: number,
    frame: MessageFrame,
    plain: boolean,
    queues: readonly Uint8Array[],
    hops: number,
  ): void {
    const route = this.account.route(frame.subjectHash, frame.bytes, frame.subjectStart, frame.subjectEnd);
    this.rig.router.deliverFromThread(this.account, route, frame, plain, queues, hops);
  }

  runArrived(_thread: number, run: MessageRun): void {
    this.rig.router.deliverRun(this.account, run);
  }
}

/** `threads` nodes, each linked with each. */
export function meshOf(threads: number, ringBytes: number, seed: number): MeshNode[] {
  const bells = createDoorbells(threads);
  const nodes = Array.from({ length: threads }, (_, self) => new MeshNode(self, threads, bells, seed));
  for (const a of nodes)
    for (const b of nodes) if (a.links.self < b.links.self) connect(a.links, b.links, ringBytes);
  return nodes;
}
