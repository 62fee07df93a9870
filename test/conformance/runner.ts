/** Runs a scenario against a listening server and answers its transcript. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { certificates } from '../support/certificates.ts';
import type { Daemon } from '../support/daemon.ts';
import { RawClient } from '../support/raw-client.ts';
import type { Frame } from '../support/server-frames.ts';
import { normalizeFrames } from './normalize.ts';
import type { Scenario, Step, Transport } from './scenario.ts';

/** What each connection received in one step; `<closed>` ends the list of a connection that the server closed. */
export interface TranscriptStep {
  step: string;
  received: Record<string, string[]>;
}

export interface Transcript {
  name: string;
  steps: TranscriptStep[];
}

interface Connection {
  client: RawClient;
  /** Frames already written to the transcript. */
  taken: number;
  /** Has answered a PING: takes part in the synchronisation of other connections' steps. */
  ready: boolean;
  reportedClosed: boolean;
}

export class ScenarioRunner {
  private readonly connections = new Map<string, Connection>();
  private readonly daemon: Daemon;
  private readonly isReference: boolean;
  private nudge: RawClient | null = null;

  constructor(daemon: Daemon, isReference: boolean) {
    this.daemon = daemon;
    this.isReference = isReference;
  }

  /** Runs all steps; closes every connection at the end. */
  async run(scenario: Scenario): Promise<Transcript> {
    const transcript: Transcript = { name: scenario.name, steps: [] };
    try {
      for (const step of scenario.steps) {
        const synchronizing = new Map<string, number>();
        await this.perform(step, synchronizing);
        // What comes back between here and the next synchronisation is a matter of timing: it is collected there.
        if (step.kind === 'nudge' || step.kind === 'raw' || step.kind === 'open') continue;
        const received = this.collect(scenario.keepPings, synchronizing);
        transcript.steps.push({ step: describeStep(step), received });
      }
    } finally {
      for (const connection of this.connections.values()) await connection.client.end();
      await this.nudge?.end();
    }
    return transcript;
  }

  /** Performs one step; `counts` receives how many PONGs per connection belong to the synchronisation. */
  private async perform(step: Step, counts: Map<string, number>): Promise<void> {
    switch (step.kind) {
      case 'open':
        return this.open(step.connection, step.transport);
      case 'nudge':
        this.nudge ??= await RawClient.connect({ port: this.daemon.port });
        await this.nudge.sync();
        return;
      case 'send':
        return this.send(step.connection, step.bytes, step.pings, counts);
      case 'raw':
        if (step.bytewise) return sendBytewise(this.connection(step.connection).client, step.bytes);
        return this.connection(step.connection).client.flush(step.bytes);
      case 'until': {
        const { client, taken } = this.connection(step.connection);
        await client.expect(new RegExp(escapePattern(step.text)), taken);
        return;
      }
      case 'closed':
        return this.connection(step.connection).client.untilClosed();
      case 'hang-up': {
        const connection = this.connection(step.connection);
        await connection.client.end();
        connection.reportedClosed = true;
        connection.ready = false;
      }
    }
  }

  private async open(name: string, transport: Transport): Promise<void> {
    const set = certificates();
    const client = await RawClient.connect({
      port: this.daemon.port,
      transport: transport.kind,
      ca: set.ca,
      certificate: transport.certificate === undefined ? null : set[transport.certificate],
      ...(transport.preamble === undefined ? {} : { preamble: Buffer.from(transport.preamble, 'latin1') }),
    });
    this.connections.set(name, { client, taken: 0, ready: false, reportedClosed: false });
    if (transport.silent !== true) await client.until((frames) => frames.some(isInfo), 'INFO');
  }

  private async send(
    sender: string,
    bytes: string,
    pings: number,
    counts: Map<string, number>,
  ): Promise<void> {
    await this.synchronize(sender, bytes, pings, counts);
    for (const [name, other] of this.connections) {
      if (name !== sender && other.ready) await this.synchronize(name, '', 0, counts);
    }
  }

  /**
   * Two round trips: nats-server writes the INFO that follows a first PONG after it, so only the second PONG proves
   * that it has arrived.
   */
  private async synchronize(
    name: string,
    bytes: string,
    pings: number,
    counts: Map<string, number>,
  ): Promise<void> {
    const connection = this.connection(name);
    if (!(await connection.client.sync(bytes, pings)) || !(await connection.client.sync())) {
      connection.ready = false;
      await connection.client.untilClosed();
      return;
    }
    connection.ready = true;
    counts.set(name, 2);
  }

  private connection(name: string): Connection {
    const connection = this.connections.get(name);
    if (connection === undefined) throw new Error(`the scenario uses connection ${name} before opening it`);
    return connection;
  }

  private collect(keepPings: boolean, counts: Map<string, number>): Record<string, string[]> {
    const received: Record<string, string[]> = {};
    for (const [name, connection] of this.connections) {
      let frames = connection.client.frames.slice(connection.taken);
      connection.taken = connection.client.frames.length;
      if (!keepPings) frames = frames.filter((frame) => frame.op !== 'PING');
      const lines = normalizeFrames(withoutLastPongs(frames, counts.get(name) ?? 0), this.isReference);
      if (connection.client.closed && !connection.reportedClosed) {
        if (connection.client.rest !== '') lines.push(connection.client.rest);
        lines.push('<closed>');
        connection.reportedClosed = true;
      }
      if (lines.length > 0) received[name] = lines;
    }
    return received;
  }
}

function isInfo(frame: Frame): boolean {
  return frame.op === 'INFO';
}

function withoutLastPongs(frames: Frame[], count: number): Frame[] {
  const kept = [...frames];
  for (let removed = 0, index = kept.length - 1; removed < count && index >= 0; index -= 1) {
    if (kept[index]?.op !== 'PONG') continue;
    kept.splice(index, 1);
    removed += 1;
  }
  return kept;
}

async function sendBytewise(client: RawClient, bytes: string): Promise<void> {
  for (const byte of bytes) {
    await client.flush(byte);
    await nextTurn();
  }
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

const SHOWN_BYTES = 120;

/** A step in words, for the reader of a transcript or of a failure. */
function describeStep(step: Step): string {
  switch (step.kind) {
    case 'send':
      return `${step.connection} sends ${shorten(step.bytes)}`;
    case 'until':
      return `${step.connection} waits for ${step.text}`;
    case 'closed':
      return `${step.connection} waits for the close`;
    case 'hang-up':
      return `${step.connection} hangs up`;
    case 'open':
    case 'raw':
    case 'nudge':
      return '';
  }
}

function shorten(bytes: string): string {
  const text = JSON.stringify(bytes);
  return text.length <= SHOWN_BYTES ? text : `${text.slice(0, SHOWN_BYTES)}… (${bytes.length} bytes)`;
}
