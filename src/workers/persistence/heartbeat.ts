import { HEARTBEAT } from './contract.ts';

const HEARTBEAT_MS = 1000;

/** Shows main each second that the thread turns, and how late its timers are. Doesn't keep the thread alive. */
export function startHeartbeat(page: SharedArrayBuffer): void {
  const slots = new Float64Array(page);
  let expectedMs = Date.now() + HEARTBEAT_MS;
  slots[HEARTBEAT.heartbeatMs] = Date.now();
  setInterval(() => {
    const nowMs = Date.now();
    slots[HEARTBEAT.loopLagMs] = Math.max(nowMs - expectedMs, 0);
    slots[HEARTBEAT.heartbeatMs] = nowMs;
    expectedMs = nowMs + HEARTBEAT_MS;
  }, HEARTBEAT_MS).unref();
}
