// Figures to reach, and the shape of a case.

/**
 * @typedef {{ of: 'ratio' | 'natsd', better: 'more' | 'less', required: number, aim: number,
 *   aimOf?: 'ratio' | 'natsd' }} Goal `aimOf`: where the aim is on another figure than what is required
 * @typedef {{ metric: string, label: string, unit: 'rate' | 'us' | 'ms' | 'bytes' | 'ns' | 'times',
 *   goal: Goal | null, against?: string }} Row `against`: the server it is compared with, nats-server without it
 * @typedef {{ target: import('./driver.mjs').Target, server: import('./server.mjs').Server, seconds: number,
 *   warmupSeconds: number, connections: number, scale: number,
 *   restart: (how: 'stop' | 'kill') => Promise<import('./server.mjs').Server> }} Context
 *   `scale` multiplies counts of messages, subjects and consumers; `restart`: the same server again, on the same store
 * @typedef {{ referenceSyncs: boolean, fill?: (context: Context) => Promise<void> }} JetStream
 *   `referenceSyncs`: nats-server syncs every write as well, which natsd does by default; `fill`: makes the store once
 *   for all samples of a server, which add little to it
 * @typedef {(product: import('./server.mjs').Product, directory: string) => Promise<import('./server.mjs').Server>} Start
 * @typedef {{ id: string, title: string, rows: Row[], jetstream?: JetStream, websocket?: boolean, start?: Start,
 *   sample: (context: Context) => Promise<Record<string, number>> }} Case `websocket`: it wants such a listener;
 *   `start`: it starts servers in a way of its own, without users
 * @typedef {{ id: string, title: string, own: true, rows: Row[], sample: () => Promise<Record<string, number>> }} OwnCase
 *   one that concerns natsd alone and starts no server
 */

/** Server CPU time per message, beside every row of traffic: the figure that survives a busy machine. */
export const CPU_GOAL = { of: 'ratio', better: 'less', required: 0.7, aim: 0.4 };
export const CPU_METRIC = 'cpuNs';

/** @param {'more' | 'less'} better @param {number} required @param {number} aim @returns {Goal} */
export const ratio = (better, required, aim) => ({ of: 'ratio', better, required, aim });
/** @param {number} required @param {number} aim @returns {Goal} */
export const atLeast = (required, aim) => ({ of: 'natsd', better: 'more', required, aim });
/** @param {number} required @param {number} aim @returns {Goal} */
export const atMost = (required, aim) => ({ of: 'natsd', better: 'less', required, aim });
