/** Servers with a WebSocket listener, one for each transport there is. */
import { createRequire } from 'node:module';
import { Daemon, type DaemonOptions } from './daemon.ts';

/** Whether uWebSockets.js can be loaded by this Node. */
function hasUws(): boolean {
  try {
    createRequire(import.meta.url)('uWebSockets.js');
    return true;
  } catch {
    return false;
  }
}

export const TRANSPORTS: readonly ('ws' | 'uws')[] = hasUws() ? ['ws', 'uws'] : ['ws'];

/** Starts a server. @param block content of the `websocket` block, @param rest the rest of the file */
export async function startWebsocket(
  transport: 'ws' | 'uws',
  block = '',
  rest = '',
  options: DaemonOptions = {},
): Promise<Daemon> {
  const config = `websocket { listen: "127.0.0.1:-1", ${/\btls\b/.test(block) ? '' : 'no_tls: true,'} transport: ${transport}\n${block} }\n${rest}`;
  return Daemon.start({ shards: 2, ...options, config });
}

/** Port of the WebSocket listener. */
export function websocketPort(daemon: Daemon): number {
  return Number(new URL(daemon.ports.websocket?.[0] ?? 'ws://127.0.0.1:0').port);
}
