import { assert } from '../../base/assert.ts';
import { Checkpointer, type DroppedStream } from './checkpoint.ts';
import { newStreamKey } from './cipher.ts';
import type { DamageReport, Store, StoreFailure, StreamSpec, StreamStore } from './contract.ts';
import { BodyReader, BodyWriter } from './envelope.ts';
import { flushStream, wantsFlush } from './flush.ts';
import { CHECKPOINT_INTERVAL_MS } from './limits.ts';
import {
  FLAG_GROUP,
  paddedBytes,
  RECORD_DROP,
  RECORD_GROUP_END,
  RECORD_HEADER_BYTES,
  recordLength,
} from './record.ts';
import { BlockRewrite, wantsRewrite } from './rewrite.ts';
import { attempt, type Root } from './root.ts';
import type { StoreParts } from './shared.ts';
import { stageChange } from './stage.ts';
import { StoredStream } from './stream.ts';

/**
 * The store: streams, the log they share, and the work in the background. Made by `openStore` (open.ts).
 */

const NO_BYTES = new Uint8Array(0);

export class JetStreamStore implements Store {
  failure: StoreFailure | null = null;
  readonly #parts: StoreParts;
  readonly #root: Root;
  readonly #byUid: Map<number, StoredStream>;
  readonly #byName = new Map<string, StoredStream>();
  readonly #dropped: DroppedStream[];
  readonly #checkpointer: Checkpointer;
  readonly #checkpointBytes: number;
  readonly #reports: DamageReport[];
  #checkpointMs = -1;
  #triedLean = false;
  #crowdedBytes = 0;
  #rewrite: BlockRewrite | null = null;
  #rewriteTurn = 0;
  #closed = false;

  /** @param reports what opening found; the store adds to it */
  constructor(
    parts: StoreParts,
    root: Root,
    streams: Map<number, StoredStream>,
    dropped: DroppedStream[],
    checkpointBytes: number,
    reports: DamageReport[],
  ) {
    this.#parts = parts;
    this.#root = root;
    this.#byUid = streams;
    this.#dropped = dropped;
    this.#checkpointBytes = checkpointBytes;
    this.#reports = reports;
    for (const stream of streams.values()) this.#byName.set(nameKey(stream.account, stream.name), stream);
    this.#checkpointer = new Checkpointer(parts, () => this.#byUid.values(), dropped, root);
  }

  get stopped(): StoreFailure | null {
    return this.#parts.log.stopped;
  }

  get ticket(): number {
    return this.#parts.log.ticket;
  }

  get writtenTicket(): number {
    return this.#parts.log.written;
  }

  get syncedTicket(): number {
    return this.#parts.log.synced;
  }

  streams(): readonly StreamStore[] {
    return [...this.#byUid.values()];
  }

  find(account: string, name: string): StreamStore | null {
    return this.#byName.get(nameKey(account, name)) ?? null;
  }

  createStream(spec: StreamSpec): StreamStore | null {
    if (this.#closed) return this.#refuse({ code: 'closed', message: 'the store is closed' });
    if (this.find(spec.account, spec.name) !== null) {
      return this.#refuse({ code: 'exists', message: `stream ${spec.account}/${spec.name} exists` });
    }
    const uid = this.#root.nextUid;
    const { cipher: name, master, random } = this.#parts;
    const { cipher, wrapped } = newStreamKey(spec.storage === 'file' ? name : null, master, random);
    const value = encodeSpec(spec, wrapped);
    if (spec.storage === 'file') {
      const failure = this.#parts.log.reserve(2 * paddedBytes(recordLength(0, 0, value.length)), true);
      if (failure !== null) return this.#refuse(failure);
    }
    this.#root.nextUid++;
    const stream = new StoredStream(this.#parts, spec, uid, cipher, wrapped);
    stream.stageCreate(value);
    this.#byUid.set(uid, stream);
    this.#byName.set(nameKey(spec.account, spec.name), stream);
    this.failure = null;
    return stream;
  }

  dropStream(stream: StreamStore): boolean {
    const stored = this.#byUid.get(stream.uid);
    if (stored === undefined || stored !== stream || this.#closed) {
      this.#refuse({ code: 'closed', message: `stream ${stream.account}/${stream.name} is gone` });
      return false;
    }
    if (stored.storage === 'file') {
      const failure = this.#parts.log.reserve(RECORD_HEADER_BYTES, true);
      if (failure !== null) {
        this.#refuse(failure);
        return false;
      }
      const position = stageChange(this.#parts, stored.uid, RECORD_DROP, 0, NO_BYTES, NO_BYTES, {});
      const neededFrom = stored.neededFrom < 0 ? position : stored.neededFrom;
      this.#dropped.push({ directory: stored.directory, position, neededFrom });
    }
    stored.dropped = true;
    this.#byUid.delete(stored.uid);
    this.#byName.delete(nameKey(stored.account, stored.name));
    for (const block of stored.messageSet.blocks) {
      this.#parts.cache.forget(block);
      block.file?.close();
    }
    for (const { file } of stored.messageSet.retired) file.close();
    this.failure = null;
    return true;
  }

  commit(sync: boolean): StoreFailure | null {
    return this.#parts.log.commit(sync) ?? this.#afterWriting();
  }

  beginCommit(): StoreFailure | null {
    const { log } = this.#parts;
    if (log.syncing) return log.stopped;
    return log.beginSync() ?? this.#afterWriting();
  }

  pollCommit(): StoreFailure | null {
    return this.#parts.log.poll();
  }

  get committing(): boolean {
    return this.#parts.log.syncing;
  }

  #afterWriting(): StoreFailure | null {
    const { log } = this.#parts;
    this.#flushQueued();
    if (log.crowded && log.usedBytes > this.#crowdedBytes && !this.#parts.group.open) {
      this.#checkpointer.finish();
      // When that gave nothing back, it is tried again only after the log has grown further.
      this.#crowdedBytes = log.crowded ? log.usedBytes : 0;
    }
    return log.stopped;
  }

  beginGroup(): void {
    const { group } = this.#parts;
    assert(!group.open, 'groups do not nest');
    group.open = true;
    group.first = true;
  }

  endGroup(): void {
    const { group } = this.#parts;
    assert(group.open, 'no group is open');
    group.open = false;
    // Nothing was staged: nothing to end.
    if (group.first || this.#parts.log.reserve(RECORD_HEADER_BYTES, true) !== null) return;
    stageChange(this.#parts, 0, RECORD_GROUP_END, FLAG_GROUP, NO_BYTES, NO_BYTES, {});
  }

  tick(nowMs: number): boolean {
    if (this.#closed) return false;
    assert(!this.#parts.group.open, 'no group may be open');
    const { log } = this.#parts;
    this.reuseMemory();
    let more = log.tick();
    this.#flushQueued();
    if (this.#checkpointer.active) more = this.#checkpointer.step() || more;
    else if (this.#checkpointDue(nowMs)) {
      this.#checkpointMs = nowMs;
      this.#checkpointer.begin();
      more = this.#checkpointer.step() || more;
    }
    return this.#rewriteStep() || more;
  }

  reuseMemory(): void {
    this.#parts.cache.pool.reuse();
  }

  takeReports(): DamageReport[] {
    return this.#reports.splice(0);
  }

  usage(): { fileBytes: number; memoryBytes: number; logBytes: number } {
    const { cache, log } = this.#parts;
    let fileBytes = log.fileBytes;
    let memoryBytes = cache.chunkBytes + cache.pool.bytes + cache.indexBytes + log.bufferBytes;
    for (const stream of this.#byUid.values()) {
      memoryBytes += stream.messageSet.unwritten + stream.messageSet.table.memoryBytes;
      for (const block of stream.messageSet.blocks) fileBytes += block.file?.end ?? 0;
    }
    return { fileBytes, memoryBytes, logBytes: log.usedBytes };
  }

  close(): StoreFailure | null {
    if (this.#closed) return null;
    const { log, disk } = this.#parts;
    this.#rewrite = null;
    if (log.commit(true) === null) {
      this.#checkpointer.finish();
      // A round that was under way may have begun before the last changes.
      this.#checkpointer.finish();
    }
    this.#closed = true;
    for (const stream of this.#byUid.values()) {
      stream.dropped = true;
      for (const block of stream.messageSet.blocks) block.file?.close();
    }
    attempt(() => log.close());
    disk.unlock(false);
    return log.stopped;
  }

  #refuse(failure: StoreFailure): null {
    this.failure = failure;
    return null;
  }

  /** Write-behind: only of what was written to the log, or a block could be ahead of it after a crash. */
  #flushQueued(): void {
    const queue = this.#parts.flushQueue;
    for (let left = queue.length; left > 0; left--) {
      const stream = queue.shift()!;
      stream.flushQueued = false;
      flushStream(stream, this.#parts, false);
      if (stream.blocked !== null && wantsFlush(stream) && !stream.dropped) {
        stream.flushQueued = true;
        queue.push(stream);
      }
    }
  }

  #checkpointDue(nowMs: number): boolean {
    const { log } = this.#parts;
    if (this.#checkpointMs < 0) this.#checkpointMs = nowMs;
    const behind = log.written - this.#checkpointer.position;
    if (behind >= this.#checkpointBytes) return true;
    // After a start on a nearly full disk: what that start went on from may be all that is in the way.
    if (log.lean && !this.#triedLean) {
      this.#triedLean = true;
      return true;
    }
    if (nowMs - this.#checkpointMs < CHECKPOINT_INTERVAL_MS) return false;
    this.#checkpointMs = nowMs;
    if (this.#dropped.length > 0) return true;
    for (const stream of this.#byUid.values()) if (stream.dirtyFrom >= 0) return true;
    return false;
  }

  #rewriteStep(): boolean {
    if (this.#rewrite !== null) {
      if (this.#rewrite.step()) this.#rewrite = null;
      return true;
    }
    const streams = [...this.#byUid.values()];
    if (streams.length === 0) return false;
    this.#rewriteTurn = (this.#rewriteTurn + 1) % streams.length;
    const stream = streams[this.#rewriteTurn]!;
    if (stream.stopped !== null || stream.blocked !== null || this.stopped !== null) return false;
    for (const block of stream.messageSet.blocks) {
      if (block.erasing && !block.closed) stream.messageSet.close(block);
      if (!wantsRewrite(stream, block)) continue;
      this.#rewrite = new BlockRewrite(stream, block, this.#parts);
      return true;
    }
    return false;
  }
}

/** Neither names of accounts nor of streams have line breaks. */
function nameKey(account: string, name: string): string {
  return `${account}\n${name}`;
}

/** A stream's specification as the log keeps it. */
function encodeSpec(spec: StreamSpec, wrappedKey: Uint8Array): Uint8Array {
  const writer = new BodyWriter();
  writer.text(spec.account);
  writer.text(spec.name);
  writer.number(spec.compression ? 1 : 0);
  writer.number(spec.firstSeq);
  writer.number(spec.blockBytes);
  writer.bytes(wrappedKey);
  return writer.finish();
}

export function decodeSpec(bytes: Uint8Array): { spec: StreamSpec; wrappedKey: Uint8Array } {
  const reader = new BodyReader(bytes);
  const spec: StreamSpec = {
    account: reader.text(),
    name: reader.text(),
    storage: 'file',
    compression: reader.number() === 1,
    firstSeq: reader.number(),
    blockBytes: reader.number(),
  };
  return { spec, wrappedKey: reader.bytes() };
}
