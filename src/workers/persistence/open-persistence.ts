import { randomBytes } from 'node:crypto';
import { isFailure, openStore } from '../../shared/jetstream/store/open.ts';
import { poolCompressor } from './compressor.ts';
import type { FromPersistence, PersistenceStart } from './contract.ts';
import { EngineSettings } from './engine-settings.ts';
import { FileDisk } from './file-disk.ts';
import { Persistence } from './persistence.ts';
import { SyncThread } from './sync-thread.ts';
import { WriteThread } from './write-thread.ts';

/**
 * Opens the store and builds the thread around it. Nothing listens yet.
 *
 * @returns the thread, or why the store can't be opened
 */
export function openPersistence(
  start: PersistenceStart,
  post: (message: FromPersistence) => void,
): Persistence | string {
  const { jetStream } = start.options;
  if (jetStream === null) throw new Error('a persistence thread needs the JetStream options');
  // With an interval nobody waits for a sync.
  const syncThread =
    jetStream.syncIntervalMs === 'always' ? new SyncThread(start.doorbells, start.thread) : null;
  const disk = new FileDisk(jetStream.storeDir, syncThread, (pageBytes) => new WriteThread(pageBytes));
  const host = { disk, random: randomBytes, compressor: poolCompressor };
  const store = openStore(host, jetStream.encryption ?? { cipher: null, key: '', previousKey: '' });
  if (isFailure(store)) return store.message;
  const settings = new EngineSettings(start.serverName, jetStream.storeDir);
  return new Persistence(start, store, settings, () => disk.syncMicros, post);
}
