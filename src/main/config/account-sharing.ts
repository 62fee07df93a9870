import { isValidLiteralSubject } from '../../shared/subject/subject.ts';
import { type ConfEntry, type ConfMap, goTypeName, type Position } from './conf-value.ts';
import { parseDuration } from './duration.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { row, textRow } from './row.ts';
import { array, boolean, integer, isText, map, text } from './value.ts';

/** `exports`, `imports` and `msg_trace` of an account: checked in full. Facts: configuration reference §3.5. */

interface ExportDraft {
  kind: 'stream' | 'service' | null;
  subject: string;
  response: string;
  latency: { subject: string; position: Position } | null;
}

const LATENCY_ROWS: OptionRow<{ subject: string }>[] = [
  row({
    name: 'sampling',
    type: '1 to 100, `"N%"` or `headers`',
    default: '100',
    reload: 'yes',
    doc: 'Share of the requests that are measured.',
    read: (_reader, entry) => {
      const { value } = entry;
      if (isText(value) && text(value).toLowerCase() === 'headers') return;
      const sample = value.kind === 'integer' ? String(value.value) : text(value).replace(/%$/, '');
      if (!/^[+-]?\d+$/.test(sample)) {
        throw new OptionError(
          `Failed to parse latency sample: strconv.Atoi: parsing ${quote(sample)}: invalid syntax`,
        );
      }
      if (Number(sample) < 1 || Number(sample) > 100) {
        throw new OptionError('bad sampling percentage, should be 1-100');
      }
    },
  }),
  textRow('subject', {
    name: 'subject',
    type: 'subject',
    reload: 'yes',
    doc: 'Where measurements are published; required.',
  }),
];

function setKind(entry: ConfEntry, draft: ExportDraft, kind: 'stream' | 'service'): void {
  const subject = text(entry.value);
  if (draft.kind !== null && draft.kind !== kind) {
    throw new OptionError(`Detected ${kind} ${quote(subject)} but already saw a ${draft.kind}`);
  }
  draft.kind = kind;
  draft.subject = subject;
}

function serviceOnly(draft: ExportDraft, directive: string): void {
  if (draft.kind === 'stream') throw new OptionError(`Detected ${directive} directive on non-service`);
}

/** Rows of an export. */
export const EXPORT_ROWS: OptionRow<ExportDraft>[] = [
  row({
    name: 'stream',
    type: 'subject',
    reload: 'yes',
    doc: 'Subject whose messages others may receive.',
    read: (_reader, entry, draft) => setKind(entry, draft, 'stream'),
  }),
  row({
    name: 'service',
    type: 'subject',
    reload: 'yes',
    doc: 'Subject others may send requests to.',
    read: (_reader, entry, draft) => setKind(entry, draft, 'service'),
  }),
  row({
    name: 'accounts',
    type: 'array of strings',
    default: 'everyone',
    reload: 'yes',
    doc: 'Accounts that may import.',
    read: (_reader, entry) => {
      for (const element of array(entry.value).values) text(element);
    },
  }),
  row({
    name: 'response_type',
    aliases: ['response'],
    type: '`singleton`, `stream` or `chunked`',
    default: 'singleton',
    reload: 'yes',
    doc: 'Kind of answer.',
    read: (_reader, entry, draft) => {
      serviceOnly(draft, 'response');
      const type = text(entry.value);
      if (!['single', 'singleton', 'stream', 'chunk', 'chunked'].includes(type.toLowerCase())) {
        throw new OptionError(`Unknown response type: ${quote(type)}`);
      }
      draft.response = type.toLowerCase();
    },
  }),
  row({
    name: 'threshold',
    aliases: ['response_threshold', 'response_max_time', 'response_time'],
    type: 'duration',
    default: '2m',
    reload: 'yes',
    doc: 'How long an answer may take.',
    read: (_reader, entry, draft) => {
      serviceOnly(draft, 'response');
      const result = parseDuration(text(entry.value));
      if ('error' in result) {
        throw new OptionError(
          `Expected response threshold to be a parseable time duration, got ${quote(text(entry.value))}`,
        );
      }
    },
  }),
  row({
    name: 'latency',
    type: 'subject or map',
    reload: 'yes',
    doc: 'Measure how long answers take.',
    children: LATENCY_ROWS,
    read: readLatency,
  }),
  row({
    name: 'account_token_position',
    type: 'integer',
    reload: 'yes',
    doc: 'Token of the subject that must be the importing account.',
    read: (_reader, entry) => void integer(entry.value),
  }),
  row({
    name: 'allow_trace',
    type: 'boolean',
    default: 'false',
    reload: 'yes',
    doc: 'Message traces may cross.',
    read: (_reader, entry, draft) => {
      serviceOnly(draft, 'allow_trace');
      boolean(entry.value);
    },
  }),
];

function readLatency(reader: Reader, entry: ConfEntry, draft: ExportDraft): void {
  serviceOnly(draft, 'latency');
  if (isText(entry.value)) {
    draft.latency = { subject: text(entry.value), position: entry.position };
    return;
  }
  const block = map(
    entry.value,
    `Expected latency entry to be a map/struct or string, got ${goTypeName(entry.value)}`,
  );
  const latency = { subject: '' };
  const errorsBefore = reader.errors.length;
  reader.readBlock(block, LATENCY_ROWS, latency, { path: 'accounts.exports.latency' });
  if (reader.errors.length > errorsBefore) return;
  if (latency.subject === '') throw new OptionError('Latency subject required, but missing');
  draft.latency = { subject: latency.subject, position: entry.position };
}

/** Checks an `exports` array. */
export function readExports(reader: Reader, entry: ConfEntry): void {
  const list = array(entry.value, `Exports should be an array, got ${goTypeName(entry.value)}`);
  for (const element of list.values) {
    reader.attempt(element, () => {
      const block = map(element, `Export Items should be a map with type entry, got ${goTypeName(element)}`);
      const draft: ExportDraft = { kind: null, subject: '', response: 'singleton', latency: null };
      reader.readBlock(block, EXPORT_ROWS, draft, { path: 'accounts.exports' });
      if (draft.latency !== null && !draft.response.startsWith('single')) {
        throw new OptionError(
          `Error adding service latency sampling for ${quote(draft.subject)} on subject ${quote(draft.latency.subject)}: bad service response type`,
        );
      }
    });
  }
}

interface ImportDraft {
  kind: 'stream' | 'service' | null;
  account: string;
  subject: string;
  prefix: ConfEntry | null;
  to: ConfEntry | null;
}

const SOURCE_ROWS: OptionRow<ImportDraft>[] = [
  textRow('account', {
    name: 'account',
    reload: 'yes',
    doc: 'Account that exports.',
  }),
  textRow('subject', {
    name: 'subject',
    type: 'subject',
    reload: 'yes',
    doc: 'Subject there.',
  }),
];

function importRow(kind: 'stream' | 'service', label: string): OptionRow<ImportDraft> {
  return row({
    name: kind,
    type: '`{account, subject}`',
    reload: 'yes',
    doc: `The ${kind} to import.`,
    children: SOURCE_ROWS,
    read: (reader, entry, draft) => {
      if (draft.kind !== null && draft.kind !== kind) {
        throw new OptionError(`Detected ${kind} but already saw a ${draft.kind}`);
      }
      draft.kind = kind;
      const block = map(
        entry.value,
        `${label} entry should be an account map, got ${goTypeName(entry.value)}`,
      );
      reader.readBlock(block, SOURCE_ROWS, draft, { path: 'accounts.imports' });
      if (draft.account === '' || draft.subject === '') {
        throw new OptionError('Expect an account name and a subject');
      }
    },
  });
}

/** What an import is called here. */
function localFormRow(name: 'prefix' | 'to', type: string, doc: string): OptionRow<ImportDraft> {
  return row({
    name,
    type,
    reload: 'yes',
    doc,
    read: (_reader, entry, draft) => {
      text(entry.value);
      draft[name] = entry;
      if (draft.prefix !== null && draft.to !== null) {
        throw new OptionError("Stream import can not have a 'prefix' and a 'to' property");
      }
    },
  });
}

/** Rows of an import. */
export const IMPORT_ROWS: OptionRow<ImportDraft>[] = [
  importRow('stream', 'Stream'),
  importRow('service', 'Service'),
  localFormRow('prefix', 'string', 'Prefix of the local subject; exclusive with `to`.'),
  localFormRow('to', 'subject', 'Local subject.'),
  row({
    name: 'share',
    type: 'boolean',
    default: 'false',
    reload: 'yes',
    doc: 'Share client information with the service.',
    read: (_reader, entry) => void boolean(entry.value),
  }),
  row({
    name: 'allow_trace',
    type: 'boolean',
    default: 'false',
    reload: 'yes',
    doc: 'Message traces may cross.',
    read: (_reader, entry) => void boolean(entry.value),
  }),
];

/** What an import refers to, checked once all accounts are known. */
export interface ImportReference {
  kind: 'stream' | 'service';
  account: string;
}

/** Checks an `imports` array. @returns the accounts it refers to */
export function readImports(reader: Reader, entry: ConfEntry): ImportReference[] {
  const list = array(entry.value, `Imports should be an array, got ${goTypeName(entry.value)}`);
  const references: ImportReference[] = [];
  const services = new Map<string, ImportDraft>();
  for (const element of list.values) {
    reader.attempt(element, () => {
      const block: ConfMap = map(
        element,
        `Import Items should be a map with type entry, got ${goTypeName(element)}`,
      );
      const draft: ImportDraft = { kind: null, account: '', subject: '', prefix: null, to: null };
      reader.readBlock(block, IMPORT_ROWS, draft, { path: 'accounts.imports' });
      if (draft.kind === null) return;
      references.push({ kind: draft.kind, account: draft.account });
      if (draft.kind !== 'service') return;
      const local = draft.to === null ? draft.subject : text(draft.to.value);
      const earlier = services.get(local);
      if (earlier !== undefined) {
        throw new OptionError(
          `Duplicate service import subject ${quote(local)}, previously used in import for account ${quote(earlier.account)}, subject ${quote(earlier.subject)}`,
        );
      }
      services.set(local, draft);
    });
  }
  return references;
}

interface TraceDraft {
  destination: string;
  hasSampling: boolean;
}

/** Rows of `msg_trace`. */
export const TRACE_ROWS: OptionRow<TraceDraft>[] = [
  row({
    name: 'dest',
    type: 'subject',
    reload: 'yes',
    doc: 'Where traces are published.',
    read: (_reader, entry, draft) => {
      draft.destination = traceDestination(text(entry.value));
    },
  }),
  row({
    name: 'sampling',
    type: '1 to 100 or `"N%"`',
    default: '100',
    reload: 'yes',
    doc: 'Share of the messages that are traced.',
    read: (_reader, entry, draft) => {
      draft.hasSampling = true;
      const { value } = entry;
      const sample = value.kind === 'integer' ? String(value.value) : text(value).replace(/%$/, '');
      if (!/^\d+$/.test(sample))
        throw new OptionError(`Invalid trace destination sampling value ${quote(sample)}`);
      if (Number(sample) < 1 || Number(sample) > 100) {
        throw new OptionError(`Ttrace destination sampling value ${sample} is invalid, needs to be [1..100]`);
      }
    },
  }),
];

function traceDestination(subject: string): string {
  if (isValidLiteralSubject(subject)) return subject;
  throw new OptionError(`Trace destination ${quote(subject)} is not valid`);
}

/** Checks `msg_trace`. */
export function readMessageTrace(reader: Reader, entry: ConfEntry): void {
  if (isText(entry.value)) {
    traceDestination(text(entry.value));
    return;
  }
  const block = map(
    entry.value,
    `Expected account message trace ${quote(entry.key)} to be a string or a map/struct, got ${goTypeName(entry.value)}`,
  );
  const draft: TraceDraft = { destination: '', hasSampling: false };
  reader.readBlock(block, TRACE_ROWS, draft, { path: 'accounts.msg_trace' });
  if (draft.hasSampling && draft.destination === '') {
    reader.warn(entry.position, 'Trace destination sampling ignored since no destination was set');
  }
}
