/**
 * What the engine did to its store, change by change, and which of it a recovered store shows.
 *
 * `HistoryStore` hands every call on to the real store and notes the changes; after a crash the store must be what the model
 * is after some prefix of them, one that has everything that was synced. It knows nothing of why the engine made a change,
 * so it also says whether the engine's steps are whole after a crash: a group is one change here.
 */
import {
  type MessageDraft,
  type PurgeRequest,
  type Store,
  StoredMessage,
  type StreamStore,
} from '../../src/shared/jetstream/store/contract.ts';
import { modelOf, storeDifference, textOf } from './compare.ts';
import { type ModelMessage, ModelStore, ModelStream } from './model.ts';

interface Change {
  apply: (model: ModelStore) => void;
  /** Position in the log behind it. */
  ticket: number;
  /** A crash may not come between this one and the next. */
  grouped: boolean;
}

/** The truth about the streams on disk: a state that is durable, and the changes since. */
export class History {
  readonly account: string;
  /** With everything the engine did, durable or not. */
  live = new ModelStore();
  #base = new ModelStore();
  #since: Change[] = [];
  #grouped = false;

  constructor(account: string) {
    this.account = account;
  }

  get length(): number {
    return this.#since.length;
  }

  note(apply: (model: ModelStore) => void, ticket: number): void {
    this.#since.push({ apply, ticket, grouped: this.#grouped });
    apply(this.live);
  }

  beginGroup(): void {
    this.#grouped = true;
  }

  endGroup(ticket: number): void {
    this.#grouped = false;
    const last = this.#since.at(-1);
    if (last === undefined || !last.grouped) return;
    last.grouped = false;
    last.ticket = ticket;
  }

  /** Everything up to the ticket is durable. */
  synced(ticket: number): void {
    let count = 0;
    while (count < this.#since.length && this.#since[count]!.ticket <= ticket) count++;
    for (const { apply } of this.#since.splice(0, count)) apply(this.#base);
  }

  /**
   * Finds the prefix of the changes that the store shows; it is the durable state from now on.
   *
   * @throws Error when no prefix fits
   */
  recovered(store: Store): void {
    this.#grouped = false;
    let difference = storeDifference(store, this.#base, this.account);
    const first = difference;
    for (const { apply, grouped } of this.#since) {
      if (difference === null) break;
      apply(this.#base);
      if (!grouped) difference = storeDifference(store, this.#base, this.account);
    }
    if (difference !== null)
      throw new Error(
        `no prefix of ${this.#since.length} changes fits: at the start ${first}, at the end ${difference}`,
      );
    this.#since = [];
    this.live = this.#base.clone();
  }
}

function messageOf(draft: MessageDraft): ModelMessage {
  return {
    subject: textOf(draft.subjectBytes.subarray(draft.subjectStart, draft.subjectEnd)),
    headers: textOf(draft.headerBytes.subarray(draft.headerStart, draft.headerEnd)),
    payload: textOf(draft.payloadBytes.subarray(draft.payloadStart, draft.payloadEnd)),
    timestampMs: draft.timestampMs,
    timestampNanos: draft.timestampNanos,
    ttlSeconds: draft.ttlSeconds,
  };
}

/** Changes of one stream, by the name of the store's method; each calls it and notes what it did. */
function changesOf(stream: StreamStore, store: Store, history: History): Partial<StreamStore> {
  const { name } = stream;
  const note = (apply: (model: ModelStream) => void): void =>
    history.note((model) => apply(model.streams.get(name)!), store.ticket);
  return {
    append(draft) {
      const message = messageOf(draft);
      const before = stream.lastSeq;
      const sequence = stream.append(draft);
      if (sequence > before + 1) note((model) => model.skip(sequence - 1, message.timestampMs));
      if (sequence > 0) note((model) => model.append(sequence, message));
      return sequence;
    },
    skip(through, timestampMs, timestampNanos) {
      const done = stream.skip(through, timestampMs, timestampNanos);
      if (done) note((model) => model.skip(through, timestampMs));
      return done;
    },
    remove(sequence, erase) {
      const bytes = stream.remove(sequence, erase);
      if (bytes > 0) note((model) => model.remove(sequence));
      return bytes;
    },
    purge(request: PurgeRequest) {
      const { filter, beforeSeq, keep } = request;
      const patterns = filter === null || filter.all ? null : filter.patterns;
      const removed = stream.purge(request);
      if (removed >= 0) note((model) => model.purge(patterns, beforeSeq, keep));
      return removed;
    },
    compact(sequence) {
      const removed = stream.compact(sequence);
      if (removed >= 0) note((model) => model.compact(sequence));
      return removed;
    },
    truncate(sequence) {
      const removed = stream.truncate(sequence);
      if (removed >= 0) note((model) => model.truncate(sequence));
      return removed;
    },
    putMetadata(key, value) {
      const done = stream.putMetadata(key, value);
      const text = value === null ? null : textOf(value);
      if (done)
        note((model) => {
          if (text === null) model.metadata.delete(key);
          else model.metadata.set(key, text);
        });
      return done;
    },
  };
}

/** Lets some members of an object be others. Private fields stay reachable, since functions run on the object itself. */
function overlaid<T extends object>(target: T, members: Partial<T>): T {
  const bound = new Map<PropertyKey, unknown>(Object.entries(members));
  return new Proxy(target, {
    get(_target, property) {
      if (bound.has(property)) return bound.get(property);
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      const method: unknown = value.bind(target);
      bound.set(property, method);
      return method;
    },
  });
}

/** A store that notes the changes of its streams on disk. */
export function historyStore(store: Store, history: History): Store {
  const wrapped = new Map<StreamStore, StreamStore>();
  const originals = new Map<StreamStore, StreamStore>();
  const wrap = (stream: StreamStore): StreamStore => {
    if (stream.storage === 'memory') return stream;
    let wrapper = wrapped.get(stream);
    if (wrapper === undefined) {
      wrapper = overlaid(stream, changesOf(stream, store, history));
      wrapped.set(stream, wrapper);
      originals.set(wrapper, stream);
    }
    return wrapper;
  };
  return overlaid(store, {
    streams: () => store.streams().map(wrap),
    find(account, name) {
      const stream = store.find(account, name);
      return stream === null ? null : wrap(stream);
    },
    createStream(spec) {
      const stream = store.createStream(spec);
      if (stream === null) return null;
      const { name, firstSeq } = spec;
      if (spec.storage === 'file')
        history.note((model) => {
          const fresh = new ModelStream();
          fresh.firstSeq = firstSeq;
          fresh.lastSeq = Math.max(0, firstSeq - 1);
          model.streams.set(name, fresh);
        }, store.ticket);
      return wrap(stream);
    },
    dropStream(stream) {
      const { name, storage } = stream;
      const done = store.dropStream(originals.get(stream) ?? stream);
      if (done && storage === 'file') history.note((model) => model.streams.delete(name), store.ticket);
      return done;
    },
    beginGroup() {
      history.beginGroup();
      store.beginGroup();
    },
    endGroup() {
      store.endGroup();
      history.endGroup(store.ticket);
    },
  });
}

const loadedMessage = new StoredMessage();

/** A message of a stream, or null when it isn't there. */
export function loadMessage(stream: StreamStore, sequence: number): ModelMessage | null {
  if (!stream.load(sequence, loadedMessage)) return null;
  return modelOf(loadedMessage);
}
