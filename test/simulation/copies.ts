/** What ticks of the engine do to streams by themselves: expiry and markers, schedules, copies of other streams. */

import type { StreamStore } from '../../src/shared/jetstream/store/contract.ts';
import { parseDuration, parseTime } from '../../src/shared/jetstream/time.ts';
import { EngineModelStream, headerOf } from './engine-model.ts';
import { loadMessage } from './history.ts';
import type { ModelMessage } from './model.ts';

const LEFT_OUT = /^(Nats-Expected-|Nats-Batch-|Nats-Stream-Source:)/;

function fail(model: EngineModelStream, what: string): never {
  throw new Error(`${model.config.name}: ${what}`);
}

/** Markers and what schedules produce. */
export function reconcileOwn(model: EngineModelStream, store: StreamStore, nowMs: number): void {
  model.beforeTick = new Set(model.messages.keys());
  const { must, may } = model.expire(nowMs);
  for (let sequence = model.lastSeq + 1; sequence <= store.lastSeq; sequence++) {
    const message = loadMessage(store, sequence);
    if (message === null) fail(model, `message ${sequence} of the server itself is missing`);
    const scheduler = headerOf(message, 'Nats-Scheduler');
    if (scheduler !== null) {
      const schedule = model.messages.get(model.matching([scheduler]).at(-1) ?? 0);
      if (schedule === undefined || headerOf(schedule, 'Nats-Schedule') === null)
        fail(model, `no schedule on ${scheduler} that could have made ${sequence}`);
      if (schedule.payload !== message.payload) fail(model, `${sequence} has not the schedule's payload`);
      model.fired.set(scheduler, nowMs);
    } else if (!must.delete(message.subject) && !may.delete(message.subject))
      fail(model, `nothing should have made ${sequence}`);
    else if (headerOf(message, 'Nats-Marker-Reason') !== 'MaxAge') fail(model, `${sequence} is no marker`);
    model.store(message, nowMs);
  }
  if (must.size > 0) fail(model, `no marker on ${[...must]}`);
}

/** No schedule is overdue. */
export function checkSchedules(model: EngineModelStream, nowMs: number): void {
  for (const sequence of model.lastPerSubject(null, 0)) {
    const message = model.messages.get(sequence)!;
    const pattern = headerOf(message, 'Nats-Schedule');
    if (pattern === null || model.ended.has(sequence)) continue;
    const [kind, argument = ''] = pattern.split(' ');
    if (kind === '@at') {
      const at = parseTime(argument);
      if (typeof at === 'bigint' && Number(at / 1_000_000n) <= nowMs)
        fail(model, `the schedule in ${sequence} should have fired`);
      continue;
    }
    const everyMs = Number(parseDuration(argument)! / 1_000_000n);
    const last = Math.max(message.timestampMs, model.fired.get(message.subject) ?? 0);
    if (nowMs - last > everyMs + 1000) fail(model, `the schedule in ${sequence} is overdue`);
  }
}

function copyOf(message: ModelMessage): ModelMessage {
  const [version, ...lines] = message.headers.split('\r\n');
  const kept = lines.filter((line) => line !== '' && !LEFT_OUT.test(line));
  const headers = kept.length === 0 ? '' : `${[version, ...kept].join('\r\n')}\r\n\r\n`;
  return { ...message, headers };
}

/** Messages that a mirror or an aggregate got. */
export function reconcileCopies(
  model: EngineModelStream,
  store: StreamStore,
  models: ReadonlyMap<string, EngineModelStream>,
  nowMs: number,
): void {
  if (model.config.mirror !== null) {
    const origin = models.get(model.config.mirror.name);
    if (origin !== undefined) mirrored(model, store, origin, nowMs);
    else if (store.lastSeq !== model.lastSeq) fail(model, 'it grew without an origin');
  } else sourced(model, store, models, nowMs);
  model.expire(nowMs);
}

/** The sequences a mirror would have once it had stored these too. */
function afterCopies(model: EngineModelStream, copies: ReadonlyMap<number, ModelMessage>): Set<number> {
  const trial = new EngineModelStream(model.uid, model.config);
  trial.messages = new Map(model.messages);
  for (const [sequence, copy] of copies) trial.store(copy, copy.timestampMs, sequence);
  return new Set(trial.messages.keys());
}

/**
 * Takes out of the copies those that the mirror did not get. What left the origin in this very tick may have come over before,
 * and since then be rolled up. The mirror goes in order, so it got the first of those or none: what else is gone from it tells
 * how many.
 */
function withoutMissed(
  model: EngineModelStream,
  store: StreamStore,
  copies: ReadonlyMap<number, ModelMessage>,
  doubtful: readonly number[],
): ReadonlyMap<number, ModelMessage> {
  for (let got = doubtful.length; got >= 0; got--) {
    const missed = new Set(doubtful.slice(got));
    const some = new Map([...copies].filter(([sequence]) => !missed.has(sequence)));
    const left = afterCopies(model, some);
    if (left.size === store.messages && [...left].every((sequence) => loadMessage(store, sequence) !== null))
      return some;
  }
  return copies;
}

function mirrored(
  model: EngineModelStream,
  store: StreamStore,
  origin: EngineModelStream,
  nowMs: number,
): void {
  const copies = new Map<number, ModelMessage>();
  const doubtful: number[] = [];
  for (let sequence = model.lastSeq + 1; sequence <= store.lastSeq; sequence++) {
    const found = loadMessage(store, sequence);
    const original = origin.stored.get(sequence);
    const isThere = origin.messages.has(sequence);
    const wasThere = isThere || origin.beforeTick.has(sequence);
    if (found === null && !wasThere) continue;
    if (original === undefined || !wasThere) fail(model, `${sequence} is not the origin's`);
    const copy = copyOf(original);
    if (found !== null && JSON.stringify(found) !== JSON.stringify(copy))
      fail(model, `${sequence} is ${JSON.stringify(found)}, should be ${JSON.stringify(copy)}`);
    // What the origin still has must have been copied; if it is gone here, the model knows why.
    if (found === null && !isThere) doubtful.push(sequence);
    copies.set(sequence, copy);
  }
  for (const [sequence, copy] of withoutMissed(model, store, copies, doubtful))
    model.store(copy, nowMs, sequence);
}

/** Origin and its sequence of a copied message. */
function sourceOf(message: ModelMessage): { name: string; sequence: number } {
  const [name = '', sequence] = (headerOf(message, 'Nats-Stream-Source') ?? '').split(' ');
  return { name, sequence: Number(sequence) };
}

function sourced(
  model: EngineModelStream,
  store: StreamStore,
  models: ReadonlyMap<string, EngineModelStream>,
  nowMs: number,
): void {
  const missing: number[] = [];
  for (let sequence = model.lastSeq + 1; sequence <= store.lastSeq; sequence++) {
    const message = loadMessage(store, sequence);
    if (message === null) {
      missing.push(sequence);
      model.skip(sequence, nowMs);
      continue;
    }
    const source = sourceOf(message);
    const origin = models.get(source.name);
    const original = origin?.stored.get(source.sequence);
    if (origin === undefined || original === undefined) fail(model, `${sequence} is from nowhere`);
    const position = model.positions.get(origin.uid) ?? 0;
    if (source.sequence <= position)
      fail(model, `${sequence} is ${source.name} ${source.sequence} again, after ${position}`);
    const same = message.payload === original.payload && message.subject === original.subject;
    if (!same || copyOf(message).headers !== copyOf(original).headers)
      fail(model, `${sequence} is not ${source.name} ${source.sequence}`);
    model.positions.set(origin.uid, source.sequence);
    model.store(message, nowMs);
    if (headerOf(message, 'Nats-Rollup') !== null) missing.length = 0;
  }
  if (missing.length > 0) fail(model, `${missing} are missing`);
}
