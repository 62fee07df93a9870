/** What clients of the simulated server do: configurations of streams, and messages for them, drawn from a seed. */
import type { Prng } from '../../src/shared/base/prng.ts';
import { formatTime } from '../../src/shared/jetstream/time.ts';
import type { EngineModelStream, ModelClock, Publish } from './engine-model.ts';

type Json = Record<string, unknown>;

/** Streams by name, with what they are for. Subjects are `<name>.1` and so on; `M` and `A` copy others. */
export const STREAM_NAMES = ['P', 'Q', 'T', 'C', 'B', 'S', 'I', 'V', 'M', 'A'] as const;
export type StreamName = (typeof STREAM_NAMES)[number];
const SUBJECTS = 5;
const IDS = 12;

function pick<T>(random: Prng, ...choices: readonly T[]): T {
  return choices[random.below(choices.length)]!;
}

/** Limits, which an update may draw again. */
export function randomLimits(random: Prng, name: StreamName): Json {
  if (name !== 'P' && name !== 'Q' && name !== 'V') return {};
  const perSubject = pick(random, -1, -1, 1, 3);
  const discard = pick(random, 'old', 'old', 'new');
  return {
    max_msgs: pick(random, -1, -1, 4, 12),
    max_bytes: pick(random, -1, -1, -1, 1500),
    max_msgs_per_subject: perSubject,
    max_age: pick(random, 0, 0, 0, 3e9),
    discard,
    discard_new_per_subject: discard === 'new' && perSubject > 0 && random.below(2) === 0,
  };
}

/** Configuration of a new stream. */
export function randomConfig(random: Prng, name: StreamName): Json {
  const config: Json = {
    name,
    subjects: [`${name}.*`],
    compression: pick(random, 'none', 's2'),
    duplicate_window: pick(random, 2e9, 120e9),
    ...randomLimits(random, name),
  };
  // The window may not be longer than messages live.
  if (config.max_age !== undefined && config.max_age !== 0) config.duplicate_window = 2e9;
  if (random.below(4) === 0) config.first_seq = 50;
  switch (name) {
    case 'P':
      return { ...config, allow_rollup_hdrs: true, allow_direct: true };
    case 'Q':
      return { ...config, allow_msg_ttl: true };
    case 'T':
      return {
        ...config,
        max_age: pick(random, 0, 4e9),
        duplicate_window: 2e9,
        subject_delete_marker_ttl: pick(random, 1e9, 2e9),
        allow_rollup_hdrs: true,
        allow_msg_ttl: true,
      };
    case 'C':
      return { ...config, allow_msg_counter: true };
    case 'B':
      return { ...config, allow_atomic: true, allow_batched: true };
    case 'S':
      return { ...config, allow_msg_schedules: true, allow_msg_ttl: true, allow_rollup_hdrs: true };
    case 'I':
      return { ...config, retention: 'interest' };
    case 'V':
      return { ...config, storage: 'memory', compression: 'none' };
    case 'M':
      return { name, mirror: { name: 'T' }, compression: config.compression };
    case 'A':
      return { name, sources: [{ name: 'P', filter_subject: 'P.1' }, { name: 'Q' }] };
  }
}

function randomPayload(random: Prng): string {
  const bytes = random.below(12) === 0 ? random.below(4000) : random.below(200);
  return String.fromCharCode(33 + random.below(90)).repeat(bytes);
}

/** Expectations that are met most of the time. */
function expectation(random: Prng, model: EngineModelStream, subject: string): Publish['headers'] {
  const off = random.below(5) === 0 ? 1 : 0;
  switch (random.below(5)) {
    case 0:
      return [['Nats-Expected-Stream', off === 0 ? model.config.name : 'other']];
    case 1:
      return [['Nats-Expected-Last-Sequence', String(model.lastSeq + off)]];
    case 2:
      return [['Nats-Expected-Last-Subject-Sequence', String((model.matching([subject]).at(-1) ?? 0) + off)]];
    case 3:
      return [['Nats-Expected-Last-Msg-Id', off === 0 ? model.lastMsgId || 'none' : 'other']];
    default:
      return [];
  }
}

function scheduleHeaders(random: Prng, clock: ModelClock): Publish['headers'] {
  const at = formatTime(BigInt(clock.ms + random.below(4000)) * 1_000_000n);
  const headers: Publish['headers'] = [
    ['Nats-Schedule', pick(random, `@at ${at}`, `@every ${1 + random.below(3)}s`)],
    ['Nats-Schedule-Target', `S.${4 + random.below(2)}`],
    ['Nats-Rollup', 'sub'],
  ];
  if (random.below(3) === 0) headers.push(['Nats-Schedule-TTL', '3s']);
  return headers;
}

/** A message by itself. */
export function randomPublish(random: Prng, model: EngineModelStream, clock: ModelClock): Publish {
  const { name } = model.config;
  const subject = `${name}.${1 + random.below(name === 'S' ? 3 : SUBJECTS)}`;
  if (name === 'C')
    return {
      subject,
      payload: '',
      headers: [['Nats-Incr', pick(random, '1', '+7', '-3', '0', '9007199254740993')]],
    };
  const headers: Publish['headers'] = [];
  if (name === 'S' && random.below(3) === 0)
    return { subject, payload: randomPayload(random), headers: scheduleHeaders(random, clock) };
  if (random.below(4) === 0) headers.push(['Nats-Msg-Id', `id${random.below(IDS)}`]);
  if (random.below(6) === 0) headers.push(...expectation(random, model, subject));
  if (random.below(4) === 0 && (name === 'Q' || name === 'T'))
    headers.push(['Nats-TTL', pick(random, '1', '3', '2s', 'never')]);
  else if (random.below(60) === 0) headers.push(['Nats-TTL', '5']);
  if (random.below(12) === 0)
    headers.push(['Nats-Rollup', name === 'T' ? pick(random, 'sub', 'sub', 'all') : 'sub']);
  if (name === 'T' && random.below(20) === 0) headers.push(['KV-Operation', 'PURGE']);
  if (random.below(4) === 0) headers.push(['X-Note', String(random.below(1000))]);
  return { subject, payload: randomPayload(random), headers };
}

/** Messages of an atomic batch, without the headers that make them one. */
export function randomBatch(random: Prng, model: EngineModelStream): Publish[] {
  const length = 1 + random.below(6);
  return Array.from({ length }, (_, i) => {
    const headers: Publish['headers'] = [];
    if (random.below(4) === 0) headers.push(['Nats-Msg-Id', `id${random.below(4 * IDS)}`]);
    if (i === 0 && random.below(3) === 0) {
      const off = random.below(4) === 0 ? 1 : 0;
      headers.push(['Nats-Expected-Last-Sequence', String(model.lastSeq + off)]);
    }
    return { subject: `B.${1 + random.below(SUBJECTS)}`, headers, payload: randomPayload(random) };
  });
}

/** Body of a purge request. */
export function randomPurge(random: Prng, model: EngineModelStream): Json {
  const span = Math.max(1, model.lastSeq - model.firstSeq + 4);
  const body: Json = {};
  if (random.below(2) === 0) body.filter = `${model.config.name}.${1 + random.below(SUBJECTS)}`;
  const bound = random.below(9);
  if (bound < 3) body.seq = model.firstSeq + random.below(span);
  else if (bound < 5) body.keep = 1 + random.below(4);
  return body;
}
