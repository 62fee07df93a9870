/** Runs a WebSocket scenario and answers its transcript. */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Daemon } from '../../support/daemon.ts';
import { FrameReader } from '../../support/server-frames.ts';
import { upgradeRequest, WebsocketClient } from '../../support/websocket-client.ts';
import { websocketPort } from '../../support/websocket-daemon.ts';
import { clientFrame } from '../../support/websocket-frames.ts';
import { normalizeFrames } from '../normalize.ts';
import type { Request, ScriptFrame, WebsocketScenario, WebsocketStep } from './script.ts';

/** What one step brought to the connection it is about. */
export interface WebsocketTranscriptStep {
  step: string;
  /** Status, headers (sorted, names in lower case) and body of a response. */
  response?: string[];
  /** Operations of NATS. */
  data?: string[];
  /** Pongs, close frames, and `<closed>`. */
  control?: string[];
}

export interface WebsocketTranscript {
  name: string;
  steps: WebsocketTranscriptStep[];
}

const TAIL = Buffer.from([0, 0, 255, 255]);
const CLOSE = 8;
const PONG = 10;
/** These say when, and with what. */
const VOLATILE_HEADERS = new Set(['date', 'uwebsockets']);

class Peer {
  readonly client: WebsocketClient;
  readonly #reader = new FrameReader();
  #taken = 0;
  #message: Buffer[] = [];
  #isCompressed = false;
  readonly operations: ReturnType<FrameReader['push']> = [];
  readonly control: string[] = [];
  isClosedTold = false;

  constructor(client: WebsocketClient) {
    this.client = client;
  }

  /** Takes in the frames that have come. */
  read(): void {
    const { frames } = this.client;
    for (; this.#taken < frames.length; this.#taken++) {
      const { opcode, reserved, fin, payload } = frames[this.#taken]!;
      if (opcode === PONG) this.control.push(`pong ${payload.toString('latin1')}`);
      else if (opcode === CLOSE) this.control.push(closeText(payload));
      else this.#data(opcode, reserved, fin, payload);
    }
  }

  #data(opcode: number, reserved: number, fin: boolean, payload: Buffer): void {
    if (opcode !== 0) this.#isCompressed = reserved !== 0;
    this.#message.push(payload);
    if (!fin) return;
    const bytes = Buffer.concat(this.#message);
    this.#message = [];
    const plain = this.#isCompressed
      ? inflateRawSync(Buffer.concat([bytes, TAIL]), { finishFlush: constants.Z_SYNC_FLUSH })
      : bytes;
    this.operations.push(...this.#reader.push(plain));
  }

  get pongs(): number {
    this.read();
    return this.operations.filter(({ op }) => op === 'PONG').length;
  }
}

function closeText(payload: Buffer): string {
  if (payload.length < 2) return 'close';
  return `close ${payload.readUInt16BE(0)} ${payload.subarray(2).toString('utf8')}`.trimEnd();
}

export class WebsocketRunner {
  readonly #daemon: Daemon;
  readonly #isReference: boolean;
  readonly #peers = new Map<string, Peer>();

  constructor(daemon: Daemon, isReference: boolean) {
    this.#daemon = daemon;
    this.#isReference = isReference;
  }

  async run(scenario: WebsocketScenario): Promise<WebsocketTranscript> {
    const steps: WebsocketTranscriptStep[] = [];
    try {
      for (const step of scenario.steps) steps.push(await this.#perform(step, scenario.losesClose));
    } finally {
      for (const { client } of this.#peers.values()) client.destroy();
    }
    return { name: scenario.name, steps };
  }

  async #perform(step: WebsocketStep, losesClose: boolean): Promise<WebsocketTranscriptStep> {
    if (step.kind === 'request') return this.#request(step.connection, step.request);
    const peer = this.#peers.get(step.connection)!;
    const from = peer.operations.length;
    if (step.kind === 'closed') await peer.client.untilClosed();
    else await this.#send(peer, step.frames, step.closes);
    const found = this.#collect(peer, from, losesClose);
    return { step: describe(step), ...found };
  }

  async #request(name: string, request: Request): Promise<WebsocketTranscriptStep> {
    let peer = this.#peers.get(name);
    const port = websocketPort(this.#daemon);
    if (peer === undefined) {
      peer = new Peer(await WebsocketClient.open({ port }));
      this.#peers.set(name, peer);
    }
    const { client } = peer;
    client.expectResponse();
    client.socket.write(requestText(port, request), 'latin1');
    await client.until(() => client.head !== '' && isWhole(client), 'the response');
    const step = `${name} asks ${JSON.stringify(request)}`;
    if (client.head === '') return { step, control: ['<closed>'] };
    const response = responseLines(client);
    if (client.status !== 101) return { step, response };
    const from = peer.operations.length;
    await client.until(() => {
      peer.read();
      return peer.operations.length > from;
    }, 'INFO');
    return { step, response, ...this.#collect(peer, from, false) };
  }

  async #send(peer: Peer, frames: readonly ScriptFrame[], closes: boolean): Promise<void> {
    const { client } = peer;
    // A PING that a frame holds has its PONG in front of the round trip's.
    const isUnmasked = client.header('Nats-No-Masking') === 'true';
    const bytes = frames.map((one) => frameBytes(one, isUnmasked));
    const asked = frames.reduce((sum, { payload }) => sum + pingsIn(payload), 0);
    const before = peer.pongs;
    client.write(Buffer.concat(bytes));
    if (closes) {
      await client.untilClosed();
      return;
    }
    // Two round trips, as after a first PONG another INFO may come.
    for (let i = 1; i <= 2 && !client.closed; i++) {
      client.write(frameBytes({ payload: 'PING\r\n' }, isUnmasked));
      await client.until(() => peer.pongs >= before + asked + i, 'PONG');
    }
  }

  #collect(peer: Peer, from: number, losesClose: boolean): Pick<WebsocketTranscriptStep, 'data' | 'control'> {
    peer.read();
    const { client } = peer;
    const operations = peer.operations.slice(from).filter(({ op }) => op !== 'PONG' && op !== 'PING');
    const data = normalizeFrames(operations, this.#isReference);
    const control = peer.control.splice(0).filter((text) => !losesClose || !text.startsWith('close'));
    if (client.closed && !peer.isClosedTold) {
      control.push('<closed>');
      peer.isClosedTold = true;
    }
    return {
      ...(data.length > 0 ? { data } : {}),
      ...(control.length > 0 ? { control } : {}),
    };
  }
}

function requestText(port: number, { method, path, version, headers, behind = '' }: Request): string {
  const text = upgradeRequest({
    port,
    ...(path === undefined ? {} : { path }),
    ...(headers === undefined ? {} : { headers }),
  });
  const line = /^GET (\S+) HTTP\/1\.1/.exec(text)![0];
  const own = line.replace('GET', method ?? 'GET').replace('1.1', version ?? '1.1');
  return own + text.slice(line.length) + behind;
}

function isWhole(client: WebsocketClient): boolean {
  return client.status === 101 || client.body.length >= Number(client.header('Content-Length') ?? 0);
}

function responseLines(client: WebsocketClient): string[] {
  const [status, ...headers] = client.head.split('\r\n') as [string, ...string[]];
  const lines = headers.map((line) => line.replace(/^[^:]+/, (name) => name.toLowerCase()));
  const kept = lines.filter((line) => !VOLATILE_HEADERS.has(line.slice(0, line.indexOf(':'))));
  return [status, ...kept.toSorted(), ...(client.body === '' ? [] : [client.body])];
}

function frameBytes(
  { payload = '', deflated = false, ...options }: ScriptFrame,
  isUnmasked: boolean,
): Buffer {
  let bytes: Buffer = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : Buffer.from(payload);
  if (deflated)
    bytes = deflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -TAIL.length);
  return clientFrame(bytes, { ...(deflated ? { reserved: 0x40 } : {}), masked: !isUnmasked, ...options });
}

function pingsIn(payload: string | number[] | undefined): number {
  return typeof payload === 'string' ? payload.split('PING\r\n').length - 1 : 0;
}

const SHOWN = 120;

function describe(step: Exclude<WebsocketStep, { kind: 'request' }>): string {
  if (step.kind === 'closed') return `${step.connection} waits for the close`;
  const text = JSON.stringify(step.frames, (_key, value) =>
    typeof value === 'bigint' ? String(value) : value,
  );
  return `${step.connection} sends ${text.length <= SHOWN ? text : `${text.slice(0, SHOWN)}… (${text.length} characters)`}`;
}
