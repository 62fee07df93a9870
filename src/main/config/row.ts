import type { ConfEntry } from './conf-value.ts';
import type { OptionRow, Reader } from './reader.ts';
import * as value from './value.ts';

/** Builds rows of option tables: what is left out is "no alias, no default, not reloadable". */
export function row<Draft>(
  fields: Pick<OptionRow<Draft>, 'name' | 'type' | 'doc' | 'read'> & Partial<OptionRow<Draft>>,
): OptionRow<Draft> {
  return { aliases: [], default: '', reload: 'no', ...fields };
}

type Check = (reader: Reader, entry: ConfEntry) => void;

const CHECKS = {
  string: (_reader, entry) => void value.text(entry.value),
  integer: (_reader, entry) => void value.integer(entry.value),
  boolean: (_reader, entry) => void value.boolean(entry.value),
  duration: (reader, entry) => void value.duration(reader, entry),
  size: (_reader, entry) => void value.storageSize(entry.value, entry.key),
  address: (_reader, entry) => void value.address(entry.value),
  port: (_reader, entry) => void value.port(value.integer(entry.value)),
} satisfies Record<string, Check>;

/**
 * A row whose value is only checked: it belongs to a block that natsd doesn't act on yet.
 *
 * @param names the name, then its aliases
 */
export function checked(
  names: string | readonly [string, ...string[]],
  type: keyof typeof CHECKS,
  doc: string,
  defaultText = '',
  reload = 'no',
): OptionRow<unknown> {
  const [name, ...aliases] = typeof names === 'string' ? [names] : names;
  return { name: name!, aliases, type, default: defaultText, reload, doc, read: CHECKS[type] };
}

/** Like `checked`, with a check of its own. */
export function checkedBy(
  names: string | readonly [string, ...string[]],
  type: string,
  doc: string,
  read: Check,
  more: { default?: string; reload?: string; children?: readonly Omit<OptionRow<never>, 'read'>[] } = {},
): OptionRow<unknown> {
  const [name, ...aliases] = typeof names === 'string' ? [names] : names;
  return { name: name!, aliases, type, default: '', reload: 'no', doc, read, ...more };
}
