import { parentPort, workerData } from 'node:worker_threads';
import type { FromShard, ShardStart, ToShard } from './contract.ts';
import { handleMail } from './mail-handler.ts';
import { Shard } from './shard.ts';

/** Entry of a shard thread. The listening port keeps the thread alive: a pending `Atomics.waitAsync` would not. */
const port = parentPort;
if (port === null) throw new Error('the shard entry must run in a worker thread');
const shard = new Shard(workerData as ShardStart, (message: FromShard) => port.postMessage(message));
port.on('message', (message: ToShard) => handleMail(shard, message));
shard.startHeartbeat();
port.postMessage({ kind: 'ready' } satisfies FromShard);
