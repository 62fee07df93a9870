/**
 * Removes from server answers what differs from run to run: ids, keys, ports, nonces, the runtime's version.
 *
 * Two things are made equal besides: the order in which one message reaches several subscriptions of one connection
 * (unspecified in nats-server, where it follows a hash map), and the second space nats-server writes in messages of its
 * own making, which is removed from recordings only.
 */
import { type Frame, frameText } from '../support/server-frames.ts';

const VOLATILE_INFO = new Map<string, string>([
  ['server_id', '<server>'],
  ['xkey', '<xkey>'],
  ['nonce', '<nonce>'],
  ['client_id', '<client>'],
  ['port', '<port>'],
  ['go', '<runtime>'],
]);

/** One frame as it is kept in a transcript. */
function normalizeFrame(frame: Frame, isReference: boolean): string {
  if (frame.op === 'INFO') return normalizeInfo(frame.line);
  if (isReference && frame.op === 'MSG')
    return frameText({ ...frame, line: frame.line.replace(/ {2}/, ' ') });
  return frameText(frame);
}

function normalizeInfo(line: string): string {
  const trailing = line.endsWith(' ') ? ' ' : '';
  const fields = JSON.parse(line.slice('INFO '.length)) as Record<string, unknown>;
  const serverId = fields.server_id;
  const kept: [string, unknown][] = [];
  for (const [key, value] of Object.entries(fields)) {
    if (key === 'git_commit') continue;
    // An advertised port is configured and therefore kept.
    if (key === 'server_name' && value === serverId) kept.push([key, '<server>']);
    else if (key === 'port' && value === ADVERTISED_PORT) kept.push([key, value]);
    else kept.push([key, VOLATILE_INFO.get(key) ?? value]);
  }
  return `INFO ${JSON.stringify(Object.fromEntries(kept))}${trailing}`;
}

/** The port that configuration `named` advertises; below the range of random ports. */
const ADVERTISED_PORT = 7000;

/** Everything of a delivery but the sid: deliveries of one message to several subscriptions agree in it. */
function deliveryKey(frame: Frame): string | null {
  if (frame.op !== 'MSG' && frame.op !== 'HMSG') return null;
  const [op, subject, , ...rest] = frame.line.split(' ');
  return [op, subject, ...rest, frame.payload].join(' ');
}

function sid(frame: Frame): string {
  return frame.line.split(' ')[2] ?? '';
}

/** The frames of one step as transcript lines. */
export function normalizeFrames(frames: Frame[], isReference: boolean): string[] {
  const sorted: Frame[] = [];
  for (let start = 0; start < frames.length; ) {
    const key = deliveryKey(frames[start] as Frame);
    let end = start + 1;
    while (key !== null && end < frames.length && deliveryKey(frames[end] as Frame) === key) end += 1;
    sorted.push(...frames.slice(start, end).sort((a, b) => (sid(a) < sid(b) ? -1 : 1)));
    start = end;
  }
  return sorted.map((frame) => normalizeFrame(frame, isReference));
}
