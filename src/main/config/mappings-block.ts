import type { MappingDestination, MappingOptions } from '../../shared/base/options.ts';
import { mappingProblem } from '../../shared/subject/mapping.ts';
import { isValidSubject } from '../../shared/subject/subject.ts';
import type { ConfEntry, ConfMap, ConfValue } from './conf-value.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { row, textRow } from './row.ts';
import { isText, map, text } from './value.ts';

/** `mappings` of the default account and of each account. Facts: auth and accounts reference §9. */

interface DestinationDraft extends MappingDestination {
  hasWeight: boolean;
}

/** Rows of a mapping's destination. */
export const DESTINATION_ROWS: OptionRow<DestinationDraft>[] = [
  textRow('subject', {
    name: 'destination',
    aliases: ['dest'],
    type: 'subject',
    reload: 'yes',
    doc: 'Subject the message goes to instead, with transform functions.',
  }),
  row({
    name: 'weight',
    type: 'integer or `"N%"`',
    reload: 'yes',
    doc: 'Share of the messages in percent; required.',
    read: (_reader, entry, draft) => {
      draft.hasWeight = true;
      draft.weight = weight(entry.value);
    },
  }),
  textRow('cluster', {
    name: 'cluster',
    reload: 'yes',
    doc: 'Only on servers of this cluster.',
  }),
];

function weight(value: ConfValue): number {
  if (value.kind === 'integer') {
    if (value.value < 0n || value.value > 100n) {
      throw new OptionError(`Invalid weight ${value.value} for mapping destination`);
    }
    return Number(value.value);
  }
  if (!isText(value)) throw new OptionError('Unknown entry type for weight of mapping destination');
  const digits = text(value).trim().replace(/%$/, '');
  if (!/^\d+$/.test(digits)) throw new OptionError(`Invalid weight ${quote(digits)} for mapping destination`);
  if (Number(digits) > 100) throw new OptionError(`Invalid weight ${digits} for mapping destination`);
  return Number(digits);
}

/** Reads a `mappings` block: `source: destination`, `source: {…}` or `source: [{…}, …]`. */
export function readMappings(reader: Reader, entry: ConfEntry): MappingOptions[] {
  const mappings: MappingOptions[] = [];
  for (const mapping of map(entry.value).entries.values()) {
    reader.attempt(mapping, () => {
      // nats-server shows the block's position for the source, the mapping's own for its destinations.
      if (!isValidSubject(mapping.key)) {
        throw new OptionError(`Subject ${quote(mapping.key)} is not a valid subject`, entry.position);
      }
      const options = readMapping(reader, mapping);
      if (options !== null) mappings.push(options);
    });
  }
  return mappings;
}

function readMapping(reader: Reader, entry: ConfEntry): MappingOptions | null {
  const { key: source, value } = entry;
  if (isText(value)) {
    const subject = text(value);
    const options = { source, destinations: [{ subject, weight: 100, cluster: '' }] };
    const problem = mappingProblem(options);
    if (problem !== null) {
      throw new OptionError(`Error adding mapping for ${quote(source)} to ${quote(subject)} : ${problem}`);
    }
    return options;
  }
  const errorsBefore = reader.errors.length;
  const elements = value.kind === 'array' ? value.values : [value];
  const destinations: MappingDestination[] = [];
  for (const element of elements) {
    reader.attempt(entry, () => {
      const block = map(element, 'Expected an entry for the mapping destination');
      destinations.push(readDestination(reader, block, source));
    });
  }
  if (reader.errors.length > errorsBefore) return null;
  const options = { source, destinations };
  const problem = mappingProblem(options);
  if (problem !== null) throw new OptionError(`Error adding mapping for ${quote(source)} : ${problem}`);
  return options;
}

function readDestination(reader: Reader, block: ConfMap, source: string): MappingDestination {
  const draft: DestinationDraft = { subject: '', weight: 0, cluster: '', hasWeight: false };
  const errorsBefore = reader.errors.length;
  reader.readBlock(block, DESTINATION_ROWS, draft, {
    path: 'mappings',
    unknown: (name) => `Unknown field ${name} for mapping destination`,
  });
  if (reader.errors.length === errorsBefore) {
    if (draft.subject === '') throw new OptionError(`Missing destination for mapping of ${quote(source)}`);
    if (!draft.hasWeight) {
      throw new OptionError(`Missing weight for mapping destination ${quote(draft.subject)}`);
    }
  }
  return { subject: draft.subject, weight: draft.weight, cluster: draft.cluster };
}
