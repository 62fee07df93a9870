import { type ConfEntry, goTypeName } from './conf-value.ts';
import { parseDuration } from './duration.ts';
import { OptionError } from './option-error.ts';
import type { OptionRow, Reader } from './reader.ts';
import { checked, checkedBy } from './row.ts';
import { array, boolean, isText, text } from './value.ts';

/** Rows that the blocks of further listeners (cluster, gateway, leaf nodes, WebSocket, MQTT) have in common. */

export const COMPRESSION_MODES = [
  'not_supported',
  'off',
  'disabled',
  'accept',
  'on',
  'enabled',
  'auto',
  's2_auto',
  's2_fast',
  'fast',
  's2_better',
  'better',
  's2_best',
  'best',
  's2_uncompressed',
];

/** `listen`, `port`, `host`. */
export const LISTEN_ROWS: readonly OptionRow<unknown>[] = [
  checked('listen', 'address', 'Address of the listener, `host:port` or a port; -1 is a random port.', 'off'),
  checked('port', 'port', 'Port of the listener; -1 is a random one.', 'off'),
  checked(['host', 'net'], 'string', 'Host of the listener.', '0.0.0.0'),
];

/** `write_timeout`: what becomes of a connection whose write deadline passed. */
export function writeTimeoutRow(defaultText: string): OptionRow<unknown> {
  return checkedBy(
    'write_timeout',
    '`default`, `close` or `retry`',
    'What happens when `write_deadline` passes.',
    (_reader, entry) => void writeTimeout(entry),
    { default: defaultText },
  );
}

/** @throws OptionError unless `default`, `close` or `retry` */
export function writeTimeout(entry: ConfEntry): 'default' | 'close' | 'retry' {
  const policy = text(entry.value);
  if (policy === 'default' || policy === 'close' || policy === 'retry') return policy;
  throw new OptionError(`${entry.key} must be 'default', 'close' or 'retry'`);
}

const COMPRESSION_ROWS: readonly OptionRow<unknown>[] = [
  checked('mode', 'string', `One of ${COMPRESSION_MODES.map((mode) => `\`${mode}\``).join(', ')}.`),
  checkedBy(
    ['rtt_thresholds', 'thresholds', 'rtts', 'rtt'],
    'array of durations',
    'Round trip times from which `s2_auto` compresses harder.',
    (reader, entry) => {
      for (const element of array(entry.value).values) {
        reader.attempt(entry, () => {
          const result = parseDuration(text(element));
          if ('error' in result) throw new OptionError(result.error);
        });
      }
    },
  ),
];

/** `compression` of routes and leaf nodes. @param note takes the mode, which is checked at the start only, as nats-server does */
export function compressionRow<Draft>(
  defaultText: string,
  reload: string,
  note: (draft: Draft, mode: string) => void,
): OptionRow<Draft> {
  return {
    name: 'compression',
    aliases: [],
    type: 'boolean, mode or map',
    default: defaultText,
    reload,
    doc: 'Compression of the connections.',
    children: COMPRESSION_ROWS,
    read: (reader: Reader, entry: ConfEntry, draft: Draft) => {
      const { value } = entry;
      if (value.kind === 'boolean') return;
      if (isText(value)) {
        note(draft, text(value));
        return;
      }
      if (value.kind !== 'map') {
        throw new OptionError(
          `field ${JSON.stringify(entry.key)} should be a boolean or a structure, got ${goTypeName(value)}`,
        );
      }
      reader.readBlock(value, COMPRESSION_ROWS, null, { path: 'compression' });
      for (const inner of value.entries.values()) {
        if (inner.key.toLowerCase() === 'mode' && isText(inner.value)) note(draft, text(inner.value));
      }
    },
  };
}

/** @throws OptionError `<label> cannot contain spaces` */
export function spaceless(entry: ConfEntry, label: string): string {
  const name = text(entry.value);
  if (name.includes(' ')) throw new OptionError(`${label} cannot contain spaces`);
  return name;
}

/** @throws OptionError for a text that is no URL with host */
export function checkUrl(source: string, what: string): URL {
  const url = URL.canParse(source) ? new URL(source) : null;
  if (url === null || /\s/.test(source))
    throw new OptionError(`error parsing ${what} url [${JSON.stringify(source)}]`);
  return url;
}

/** A boolean row, which most blocks have plenty of. */
export function flagRow(
  names: string | readonly [string, ...string[]],
  doc: string,
  reload = 'no',
): OptionRow<unknown> {
  return checkedBy(names, 'boolean', doc, (_reader, entry) => void boolean(entry.value), {
    default: 'false',
    reload,
  });
}
