/** A consumer as it is stored beside its stream, and as a snapshot of the stream holds it (jetstream-streams §9.2). */
import { textBytes } from '../../effects.ts';
import {
  decodeJson,
  fieldReaders,
  type JsonPath,
  readInteger,
  readInto,
  readTime,
  typeMismatch,
} from '../../json-fields.ts';
import { JsonObject } from '../../json-object.ts';
import type { JsonNode } from '../../json-text.ts';
import { joinTime, NANOS_PER_MILLI } from '../../time.ts';
import { consumerConfigJson, emptyConsumerConfig, readConsumerConfig } from '../consumer-config.ts';
import type { ConsumerConfig } from '../contract.ts';
import { ConsumerState } from './consumer-state.ts';
import { settingsOf } from './settings.ts';

/** Of the keys of consumers in a stream's store. */
export const KEY_PREFIX = 'consumer.';

interface StoredConsumer {
  createdNs: bigint;
  config: ConsumerConfig;
}

const STORED_READERS = fieldReaders<StoredConsumer>({
  created: (stored, node, at) => {
    stored.createdNs = readTime(node, at) ?? 0n;
  },
  config: (stored, node, at) => {
    stored.config = readConsumerConfig(node, at);
  },
});

/** What the store keeps of a consumer besides its state. */
export function configBytes(config: ConsumerConfig, createdNs: bigint): Uint8Array {
  const json = new JsonObject()
    .time('created', createdNs)
    .raw('config', consumerConfigJson(config, config.metadata));
  return textBytes(json.end());
}

/** @returns null when it can't be read */
export function readConfigBytes(bytes: Uint8Array): StoredConsumer | null {
  const target = { createdNs: 0n, config: emptyConsumerConfig() };
  const decoding = { target, readers: STORED_READERS, type: 'StoredConsumer', strict: false };
  return decodeJson(bytes, decoding) === null ? target : null;
}

interface ArchivedPending {
  sequence: number;
  timeNs: number;
}

interface ArchivedState {
  deliveredConsumer: number;
  deliveredStream: number;
  floorConsumer: number;
  floorStream: number;
  pending: Map<number, ArchivedPending>;
  redelivered: Map<number, number>;
}

interface Archived {
  config: ConsumerConfig;
  state: ArchivedState;
}

interface Pair {
  consumer: number;
  stream: number;
}

const PAIR_READERS = fieldReaders<Pair>({
  consumer_seq: (pair, node, at) => {
    pair.consumer = readInteger(node, at, 'uint64');
  },
  stream_seq: (pair, node, at) => {
    pair.stream = readInteger(node, at, 'uint64');
  },
});

const PENDING_READERS = fieldReaders<ArchivedPending>({
  sequence: (pending, node, at) => {
    pending.sequence = readInteger(node, at, 'uint64');
  },
  timestamp: (pending, node, at) => {
    pending.timeNs = readInteger(node, at, 'int64');
  },
});

function readPair(node: JsonNode, at: JsonPath): Pair {
  const pair = { consumer: 0, stream: 0 };
  readInto(pair, node, at, PAIR_READERS, 'SequencePair');
  return pair;
}

/** Members of a map whose names are sequences. */
function eachSequence(node: JsonNode, at: JsonPath, read: (sequence: number, value: JsonNode) => void): void {
  if (node.kind === 'null') return;
  if (node.kind !== 'object') throw typeMismatch(node, at, 'map[uint64]');
  for (const [name, value] of node.members) if (/^\d{1,16}$/.test(name)) read(Number(name), value);
}

const STATE_READERS = fieldReaders<ArchivedState>({
  delivered: (state, node, at) => {
    const pair = readPair(node, at);
    state.deliveredConsumer = pair.consumer;
    state.deliveredStream = pair.stream;
  },
  ack_floor: (state, node, at) => {
    const pair = readPair(node, at);
    state.floorConsumer = pair.consumer;
    state.floorStream = pair.stream;
  },
  pending: (state, node, at) => {
    eachSequence(node, at, (sequence, value) => {
      const pending = { sequence: 0, timeNs: 0 };
      readInto(pending, value, at, PENDING_READERS, 'Pending');
      state.pending.set(sequence, pending);
    });
  },
  redelivered: (state, node, at) => {
    eachSequence(node, at, (sequence, value) => {
      state.redelivered.set(sequence, readInteger(value, at, 'uint64'));
    });
  },
});

const ARCHIVE_READERS = fieldReaders<Archived>({
  config: (archived, node, at) => {
    archived.config = readConsumerConfig(node, at);
  },
  state: (archived, node, at) => {
    readInto(archived.state, node, at, STATE_READERS, 'ConsumerState');
  },
});

/** `{"config":ConsumerConfig,"state":ConsumerState}` */
export function archiveText(config: ConsumerConfig, state: ConsumerState): string {
  const { pending, exhausted } = state;
  const pendingJson = new JsonObject();
  const redelivered = new JsonObject();
  for (let at = pending.first; at < pending.end; at = pending.next(at)) {
    const sequence = String(pending.sequence(at));
    const entry = new JsonObject()
      .integer('Sequence', pending.consumerSeq(at))
      .integer('Timestamp', joinTime(pending.timeMs(at), 0));
    pendingJson.raw(sequence, entry.end());
    if (pending.deliveries(at) > 1) redelivered.integer(sequence, pending.deliveries(at) - 1);
  }
  for (const [sequence, deliveries] of exhausted ?? []) redelivered.integer(String(sequence), deliveries);
  const json = new JsonObject()
    .raw('delivered', pairJson(state.consumerSeq - 1, state.streamSeq - 1))
    .raw('ack_floor', pairJson(state.floorConsumerSeq, state.floorStreamSeq));
  if (pending.size > 0) json.raw('pending', pendingJson.end());
  if (state.redelivered > 0) json.raw('redelivered', redelivered.end());
  return new JsonObject()
    .raw('config', consumerConfigJson(config, config.metadata))
    .raw('state', json.end())
    .end();
}

function pairJson(consumerSeq: number, streamSeq: number): string {
  return new JsonObject().integer('consumer_seq', consumerSeq).integer('stream_seq', streamSeq).end();
}

/** @returns null when it can't be read */
export function readArchive(json: string): { config: ConsumerConfig; state: ConsumerState } | null {
  const target: Archived = {
    config: emptyConsumerConfig(),
    state: {
      deliveredConsumer: 0,
      deliveredStream: 0,
      floorConsumer: 0,
      floorStream: 0,
      pending: new Map(),
      redelivered: new Map(),
    },
  };
  const decoding = { target, readers: ARCHIVE_READERS, type: 'ArchivedConsumer', strict: false };
  if (decodeJson(textBytes(json), decoding) !== null) return null;
  return { config: target.config, state: stateOf(target) };
}

function stateOf({ config, state: archived }: Archived): ConsumerState {
  const state = new ConsumerState(settingsOf(config).mode, archived.deliveredStream + 1);
  state.consumerSeq = archived.deliveredConsumer + 1;
  state.floorConsumerSeq = archived.floorConsumer;
  state.floorStreamSeq = archived.floorStream;
  const { pending, redelivered } = archived;
  for (const sequence of [...pending.keys()].sort((a, b) => a - b)) {
    const { sequence: consumerSeq, timeNs } = pending.get(sequence)!;
    const deliveries = (redelivered.get(sequence) ?? 0) + 1;
    const timeMs = Math.max(0, Math.floor(timeNs / Number(NANOS_PER_MILLI)));
    state.pending.add(sequence, consumerSeq, timeMs, deliveries);
    redelivered.delete(sequence);
  }
  if (redelivered.size > 0) state.exhausted = redelivered;
  return state;
}
