/** Plays a JetStream scenario against a listening server and answers its transcript. */
import type { Daemon } from '../../support/daemon.ts';
import { RawClient } from '../../support/raw-client.ts';
import type { Frame } from '../../support/server-frames.ts';
import { type Answer, normalizeAnswer } from './normalize.ts';
import type { JetStreamScenario, Replies, RequestStep } from './script.ts';

export interface JetStreamTranscriptStep {
  step: string;
  replies: Answer[];
  events?: Answer[];
}

export interface JetStreamTranscript {
  name: string;
  steps: JetStreamTranscriptStep[];
}

const REPLY_SID = '1';
/** Subject and sid. */
const FENCE = 'F';
const SHOWN_BYTES = 160;

interface User {
  readonly client: RawClient;
  /** Frames that are in the transcript. */
  taken: number;
  listens: number;
}

function isMessage(frame: Frame): boolean {
  return frame.op === 'MSG' || frame.op === 'HMSG';
}

function sidOf(frame: Frame): string {
  return frame.line.split(' ').filter((token) => token !== '')[2] ?? '';
}

function isFence(frame: Frame): boolean {
  return isMessage(frame) && sidOf(frame) === FENCE;
}

function isReply(frame: Frame): boolean {
  return isMessage(frame) && sidOf(frame) === REPLY_SID;
}

function isEnd(frame: Frame): boolean {
  return frame.payload === '' || /^NATS\/1\.0 \d/.test(frame.payload ?? '');
}

function isAnswered(frames: readonly Frame[], replies: Replies): boolean {
  if (replies === 'nothing') return true;
  const answers = frames.filter(isReply);
  return replies === 'batch' ? answers.some(isEnd) : answers.length >= replies;
}

function requestBytes(step: RequestStep, reply: string): string {
  const { subject, headers, payload } = step;
  const body = Buffer.from(payload, 'utf8').toString('latin1');
  if (headers.length === 0) return `PUB ${subject} ${reply} ${body.length}\r\n${body}\r\n`;
  const block = `NATS/1.0\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n`;
  return `HPUB ${subject} ${reply} ${block.length} ${block.length + body.length}\r\n${block}${body}\r\n`;
}

function shorten(text: string): string {
  return text.length <= SHOWN_BYTES ? text : `${text.slice(0, SHOWN_BYTES)}… (${text.length} characters)`;
}

export class JetStreamRunner {
  readonly #daemon: Daemon;
  readonly #users = new Map<string, User>();

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  /** Runs all steps in accounts without streams. */
  async run(scenario: JetStreamScenario): Promise<JetStreamTranscript> {
    const transcript: JetStreamTranscript = { name: scenario.name, steps: [] };
    const users = new Set(scenario.steps.map(({ user }) => user));
    try {
      for (const user of users) await this.#deleteStreams(user);
      for (const [index, step] of scenario.steps.entries()) {
        const user = await this.#user(step.user);
        if (step.kind === 'listen') {
          user.listens++;
          await user.client.sync(`SUB ${step.subject} ${step.queue} ${1 + user.listens}\r\n`);
          user.taken = user.client.frames.length;
        } else transcript.steps.push(await this.#request(step, user, step.reply ?? `R.${index}`));
      }
    } finally {
      for (const { client } of this.#users.values()) await client.end();
    }
    return transcript;
  }

  async #user(name: string): Promise<User> {
    const known = this.#users.get(name);
    if (known !== undefined) return known;
    const client = await RawClient.connect({ port: this.#daemon.port });
    const who = { user: name, pass: 'pw', name: 'conformance', lang: 'raw', version: '1' };
    await client.handshake({ ...who, no_responders: true });
    await client.sync(`SUB R.> ${REPLY_SID}\r\nSUB ${FENCE} ${FENCE}\r\n`);
    const user: User = { client, taken: client.frames.length, listens: 0 };
    this.#users.set(name, user);
    return user;
  }

  async #request(step: RequestStep, user: User, reply: string): Promise<JetStreamTranscriptStep> {
    const { client } = user;
    client.send(requestBytes(step, reply));
    const heads = step.headers.length === 0 ? '' : ` [${step.headers.join(', ')}]`;
    const text = shorten(`${step.user}: ${step.subject}${heads} ${step.payload}`.trimEnd());
    const start = user.taken;
    const isDone = (): boolean => {
      const frames = client.frames.slice(start);
      const events = frames.filter((frame) => isMessage(frame) && !isReply(frame));
      return isAnswered(frames, step.replies) && events.length >= step.events;
    };
    await client.until(isDone, text);
    if (step.replies === 'nothing') await this.#fence(client);
    await client.sync();
    const frames = client.frames.slice(start).filter((frame) => isMessage(frame) && !isFence(frame));
    user.taken = client.frames.length;
    // In nats-server the order of an advisory and the audit differs from run to run.
    const events = frames
      .filter((frame) => !isReply(frame))
      .map(normalizeAnswer)
      .sort((a, b) => (a.subject < b.subject ? -1 : a.subject > b.subject ? 1 : 0));
    return {
      step: text,
      replies: frames.filter(isReply).map(normalizeAnswer),
      ...(events.length === 0 ? {} : { events }),
    };
  }

  /** Requests are answered in their order: after this nothing more comes of those before. */
  async #fence(client: RawClient): Promise<void> {
    const from = client.frames.length;
    client.send(`PUB $JS.API.INFO ${FENCE} 0\r\n\r\n`);
    await client.until((frames) => frames.slice(from).some(isFence), 'the fence');
  }

  /** A scenario begins with no streams; the connection is its own so that it leaves no trace. */
  async #deleteStreams(user: string): Promise<void> {
    const client = await RawClient.connect({ port: this.#daemon.port });
    await client.handshake({ user, pass: 'pw', no_responders: true });
    await client.sync('SUB D 1\r\n');
    const ask = async (subject: string): Promise<string> => {
      const from = client.frames.length;
      client.send(`PUB $JS.API.${subject} D 0\r\n\r\n`);
      await client.until((frames) => frames.slice(from).some(isMessage), subject);
      return client.frames.slice(from).find(isMessage)?.payload ?? '{}';
    };
    const { streams } = JSON.parse(await ask('STREAM.NAMES')) as { streams?: string[] | null };
    for (const stream of streams ?? []) await ask(`STREAM.DELETE.${stream}`);
    await client.end();
  }
}
