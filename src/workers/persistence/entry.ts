import { parentPort, workerData } from 'node:worker_threads';
import type { FromPersistence, PersistenceStart, ToPersistence } from './contract.ts';
import { openPersistence } from './open-persistence.ts';

/** Entry of the persistence thread. The listening port keeps the thread alive: a pending `Atomics.waitAsync` would not. */
const port = parentPort;
if (port === null) throw new Error('the persistence entry must run in a worker thread');
const post = (message: FromPersistence): void => port.postMessage(message);
const persistence = openPersistence(workerData as PersistenceStart, post);
if (typeof persistence === 'string') post({ kind: 'refused', reason: persistence });
else {
  port.on('message', (message: ToPersistence) => persistence.receiveMail(message));
  persistence.start();
}
