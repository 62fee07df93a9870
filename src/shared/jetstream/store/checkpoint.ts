import type { BlockFile } from './block-file.ts';
import { deriveKey, NONCE_BYTES } from './cipher.ts';
import { type Disk, DiskError, type DiskFile, type PendingSync } from './disk.ts';
import { encodeEnvelope, writeEnvelope } from './envelope.ts';
import { flushStream } from './flush.ts';
import { SYNCS_IN_FLIGHT } from './limits.ts';
import { encodeManifest, MANIFEST_MAGIC } from './manifest.ts';
import { attempt, type Root, writeRoot } from './root.ts';
import type { StoreParts } from './shared.ts';
import type { StoredStream } from './stream.ts';

/**
 * Checkpoints: they bound what a restart has to replay, and give log segments back.
 *
 * ```
 *   for each changed stream                                             when all are done
 *   ┌ snapshot at position C ┐ sync blocks │ manifest.a, sync │ manifest.b, sync │   root: log needed from min(C), recycle
 *   │ write blocks, encode   │             (other streams' steps and publishes in between)
 * ```
 *
 * Invariants
 *  - A snapshot is taken when everything staged has been synced. Else a manifest could know of changes that a crash
 *    takes out of the log, and positions after the restart would lie below the manifest's.
 *  - What a durable manifest names stays on disk: files go only after the manifest without them is durable in both copies.
 *  - The log is needed from the oldest change that no durable manifest has; a stream whose files failed keeps holding it.
 *
 * Syncs of blocks run on another thread while publishes go on; `finish` does the same steps waiting for each.
 */

interface Job {
  stream: StoredStream;
  envelope: Uint8Array;
  files: BlockFile[];
  retired: { file: BlockFile; aside: boolean }[];
  phase: 'blocks' | 'first' | 'second';
  syncs: PendingSync[];
  manifest: DiskFile | null;
}

/** A stream that was dropped and whose files are still there. */
export interface DroppedStream {
  directory: string;
  /** Of the drop's record. */
  position: number;
  /** While the files are there, the log is needed from here on. */
  neededFrom: number;
}

const MANIFEST_NAMES = ['manifest.a', 'manifest.b'] as const;

const NO_PROOF = new Uint8Array(0);

export class Checkpointer {
  readonly #parts: StoreParts;
  readonly #streams: () => Iterable<StoredStream>;
  readonly #dropped: DroppedStream[];
  readonly #root: Root;
  readonly #queue: StoredStream[] = [];
  readonly #jobs: Job[] = [];
  #waiting = false;
  active = false;

  constructor(
    parts: StoreParts,
    streams: () => Iterable<StoredStream>,
    dropped: DroppedStream[],
    root: Root,
  ) {
    this.#parts = parts;
    this.#streams = streams;
    this.#dropped = dropped;
    this.#root = root;
  }

  /** Position from which the log is needed. */
  get position(): number {
    return this.#root.checkpoint;
  }

  /** Starts a round over everything that changed. */
  begin(): void {
    if (this.active) return;
    this.active = true;
    for (const stream of this.#streams()) {
      if (stream.storage === 'file' && stream.dirtyFrom >= 0 && stream.stopped === null)
        this.#queue.push(stream);
    }
  }

  /** Does a portion of the round. @returns whether more can be done right away */
  step(): boolean {
    if (!this.active) return false;
    let progressed = false;
    if (this.#queue.length > 0 && this.#jobs.length < SYNCS_IN_FLIGHT) {
      if (this.#parts.log.commit(true) !== null) return this.#abort();
      this.#snapshot(this.#queue.shift()!);
      progressed = true;
    }
    for (const job of [...this.#jobs]) {
      if (this.#advance(job)) progressed = true;
    }
    if (this.#queue.length > 0 || this.#jobs.length > 0) return progressed;
    this.#complete();
    return false;
  }

  /** Runs the round to its end, waiting for the disk. */
  finish(): void {
    this.begin();
    this.#waiting = true;
    while (this.active) this.step();
    this.#waiting = false;
  }

  #abort(): false {
    for (const job of this.#jobs) this.#fail(job);
    this.#jobs.length = 0;
    this.#queue.length = 0;
    this.active = false;
    return false;
  }

  #snapshot(stream: StoredStream): void {
    if (stream.dropped || flushStream(stream, this.#parts, true) < 0) return;
    const { log, master, random, cipher } = this.#parts;
    const set = stream.messageSet;
    const body = encodeManifest(
      {
        uid: stream.uid,
        account: stream.account,
        name: stream.name,
        compression: stream.compression,
        blockBytes: stream.blockBytes,
        cipher: stream.cipher?.cipher ?? null,
        wrappedKey: stream.wrappedKey,
        position: log.written,
        firstSeq: set.firstSeq,
        lastSeq: set.lastSeq,
        lastMs: set.lastMs,
        lastNanos: set.lastNanos,
        nextBlockNumber: set.nextBlockNumber,
        metadata: stream.metadata,
        consumers: stream.consumers.states(),
      },
      set.blocks,
    );
    const protection =
      cipher === null ? null : { cipher, key: manifestKey(master, stream.uid), nonce: random(NONCE_BYTES) };
    stream.generation++;
    const job: Job = {
      stream,
      envelope: encodeEnvelope(MANIFEST_MAGIC, stream.generation, body, protection),
      files: set.blocks.map((block) => block.file!).filter((file) => file.dirty),
      retired: set.retired,
      phase: 'blocks',
      syncs: [],
      manifest: null,
    };
    set.retired = [];
    stream.writingFrom = stream.dirtyFrom;
    stream.dirtyFrom = -1;
    this.#jobs.push(job);
    this.#guard(job, () => {
      this.#parts.disk.makeDirectory(stream.directory);
      if (this.#waiting) for (const file of job.files) file.syncNow();
      else job.syncs = job.files.map((file) => file.startSync());
    });
  }

  /** @returns whether the job went on */
  #advance(job: Job): boolean {
    if (!this.#jobs.includes(job)) return false;
    return this.#guard(job, () => {
      if (job.stream.dropped) {
        this.#remove(job);
        return true;
      }
      if (!this.#synced(job)) return false;
      if (job.phase === 'blocks') this.#writeManifest(job, 'first');
      else if (job.phase === 'first') this.#writeManifest(job, 'second');
      else this.#done(job);
      return true;
    });
  }

  #synced(job: Job): boolean {
    if (this.#waiting) {
      // What was begun on the other thread may not be heard of before this call returns: sync again, here.
      for (const file of job.syncs.length > 0 && job.phase === 'blocks' ? job.files : []) file.syncNow();
      if (job.syncs.length > 0) job.manifest?.sync();
      job.syncs = [];
    }
    while (job.syncs.length > 0) {
      if (!job.syncs[0]!.poll()) return false;
      job.syncs.shift();
    }
    return true;
  }

  #writeManifest(job: Job, phase: 'first' | 'second'): void {
    const { disk } = this.#parts;
    const { directory } = job.stream;
    if (phase === 'first' && job.files.some((file) => file.fresh)) {
      disk.syncDirectory(directory);
      for (const file of job.files) file.fresh = false;
    }
    job.manifest?.close();
    job.manifest = null;
    const order = job.stream.weakCopy === 1 ? 1 : 0;
    const name = MANIFEST_NAMES[phase === 'first' ? order : 1 - order]!;
    job.manifest = writeEnvelope(disk, `${directory}/${name}`, job.envelope);
    job.phase = phase;
    if (this.#waiting) job.manifest.sync();
    else job.syncs.push(job.manifest.startSync());
  }

  #done(job: Job): void {
    const { disk, report } = this.#parts;
    const { stream } = job;
    job.manifest?.close();
    job.manifest = null;
    // Until the names are durable the log is needed.
    if (!stream.published) {
      disk.syncDirectory(stream.directory);
      disk.syncDirectory('streams');
      stream.published = true;
    }
    stream.weakCopy = -1;
    stream.writingFrom = -1;
    this.#remove(job);
    for (const { file, aside } of job.retired) {
      file.close();
      attempt(() => (aside ? disk.rename(file.path, `${file.path}.quarantine`) : disk.unlink(file.path)));
      if (!aside) continue;
      const { account, name } = stream;
      const message = `put aside as ${file.path}.quarantine`;
      report({ file: file.path, account, stream: name, firstSeq: 0, lastSeq: 0, bytes: 0, message });
    }
  }

  #remove(job: Job): void {
    this.#jobs.splice(this.#jobs.indexOf(job), 1);
  }

  #fail(job: Job): void {
    const { stream } = job;
    job.manifest?.close();
    stream.messageSet.retired.push(...job.retired);
    for (const file of job.files) file.dirty = true;
    stream.dirtyFrom = stream.writingFrom;
    stream.writingFrom = -1;
    // The first copy may be torn now, or newer than the second.
    if (job.phase !== 'blocks' && stream.weakCopy < 0) stream.weakCopy = 0;
  }

  /** Runs a step of a job; a failure ends the job, and a failed sync the stream. */
  #guard(job: Job, step: () => unknown): boolean {
    try {
      return step() !== false;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      const { stream } = job;
      const message = `stream ${stream.account}/${stream.name}: ${error.message}`;
      if (error.code === 'no_space') stream.blocked = { code: 'no_space', message };
      else stream.stopped = { code: 'io', message };
      this.#fail(job);
      this.#remove(job);
      return true;
    }
  }

  /** Everything is in manifests: moves the root on and gives segments back. */
  #complete(): void {
    this.active = false;
    const { disk, log, report } = this.#parts;
    if (log.stopped !== null) return;
    let position = log.synced;
    log.pinned = false;
    for (const stream of this.#streams()) {
      const needed = stream.neededFrom;
      if (needed < 0) continue;
      position = Math.min(position, needed);
      if (stream.stopped !== null) log.pinned = true;
    }
    try {
      this.#removeDropped();
      for (const dropped of this.#dropped) position = Math.min(position, dropped.neededFrom);
      if (position <= this.#root.checkpoint) return;
      this.#root.checkpoint = position;
      if (position >= this.#root.keyChangedAt) this.#root.previousProof = NO_PROOF;
      this.#root.generation++;
      writeRoot(disk, this.#root);
      log.recycle(position);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      // The log is kept as it is; the next round tries again.
      const message = `a checkpoint could not be completed: ${error.message}`;
      report({ file: 'root', account: '', stream: '', firstSeq: 0, lastSeq: 0, bytes: 0, message });
    }
  }

  #removeDropped(): void {
    const { disk, log } = this.#parts;
    for (const dropped of [...this.#dropped]) {
      if (dropped.position >= log.synced) continue;
      removeStreamFiles(this.#parts.disk, dropped.directory);
      disk.syncDirectory('streams');
      this.#dropped.splice(this.#dropped.indexOf(dropped), 1);
    }
  }
}

/** Key of a stream's manifest. */
export function manifestKey(master: Uint8Array, uid: number): Uint8Array {
  return deriveKey(master, 'manifest', new TextEncoder().encode(String(uid)));
}

/** Removes the files of a dropped stream. The new name says that it was dropped, should this be interrupted. */
export function removeStreamFiles(disk: Disk, directory: string): void {
  const name = directory.slice(directory.lastIndexOf('/') + 1);
  let doomed = directory;
  if (!directory.endsWith('.dropped')) {
    if (!disk.list('streams').includes(name)) return;
    doomed = `${directory}.dropped`;
    disk.rename(directory, doomed);
    disk.syncDirectory('streams');
  }
  for (const file of disk.list(doomed)) disk.unlink(`${doomed}/${file}`);
  disk.removeDirectory(doomed);
}
