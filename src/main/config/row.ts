import type { ConfEntry } from './conf-value.ts';
import type { OptionDescription, OptionRow, Reader } from './reader.ts';
import * as value from './value.ts';

/** Builds rows of option tables: what is left out is "no alias, no default, not reloadable". */
export function row<Draft>(
  fields: Pick<OptionRow<Draft>, 'name' | 'type' | 'doc' | 'read'> & Partial<OptionRow<Draft>>,
): OptionRow<Draft> {
  return { aliases: [], default: '', reload: 'no', ...fields };
}

/** A row whose value goes into one member of the draft as it is. */
type FieldRow = Pick<OptionDescription, 'name' | 'doc'> &
  Partial<Pick<OptionDescription, 'aliases' | 'type' | 'default' | 'reload'>>;

/** Text for the member `field` of the draft; those below likewise. */
export function textRow<K extends string>(field: K, fields: FieldRow): OptionRow<Record<K, string>> {
  return row({
    type: 'string',
    ...fields,
    read: (_reader, entry, draft) => {
      draft[field] = value.text(entry.value);
    },
  });
}

/** The default is `false` unless said otherwise. */
export function booleanRow<K extends string>(field: K, fields: FieldRow): OptionRow<Record<K, boolean>> {
  return row({
    type: 'boolean',
    default: 'false',
    ...fields,
    read: (_reader, entry, draft) => {
      draft[field] = value.boolean(entry.value);
    },
  });
}

/** An integer without bounds. */
export function integerRow<K extends string>(field: K, fields: FieldRow): OptionRow<Record<K, number>> {
  return row({
    type: 'integer',
    ...fields,
    read: (_reader, entry, draft) => {
      draft[field] = value.integer(entry.value);
    },
  });
}

/** Milliseconds. */
export function durationRow<K extends string>(field: K, fields: FieldRow): OptionRow<Record<K, number>> {
  return row({
    type: 'duration',
    ...fields,
    read: (reader, entry, draft) => {
      draft[field] = value.duration(reader, entry);
    },
  });
}

/** Bytes, written as JetStream has them. */
export function sizeRow<K extends string>(field: K, fields: FieldRow): OptionRow<Record<K, number>> {
  return row({
    type: 'size',
    ...fields,
    read: (_reader, entry, draft) => {
      draft[field] = value.storageSize(entry.value, entry.key);
    },
  });
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
  more: { default?: string; reload?: string; children?: readonly OptionDescription[] } = {},
): OptionRow<unknown> {
  const [name, ...aliases] = typeof names === 'string' ? [names] : names;
  return { name: name!, aliases, type, default: '', reload: 'no', doc, read, ...more };
}
