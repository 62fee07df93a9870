import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { noFlags } from '../../../../src/main/config/command-line.ts';
import { loadOptions } from '../../../../src/main/config/load.ts';
import { NOT_YET, NOT_YET_FLAGS } from '../../../../src/main/config/not-yet.ts';
import { optionsDocument } from '../../../../src/main/config/options-document.ts';
import { TOP_LEVEL_ROWS } from '../../../../src/main/config/top-level.ts';

const DEPLOY = new URL('../../../../deploy/', import.meta.url);

// `npm run options` runs this file with `--update`, which writes the document anew.
test('deploy/OPTIONS.md is what the tables say', async () => {
  await expect(optionsDocument()).toMatchFileSnapshot(fileURLToPath(new URL('OPTIONS.md', DEPLOY)));
});

test('deploy/natsd.conf loads, without a warning', () => {
  const path = fileURLToPath(new URL('natsd.conf', DEPLOY));
  const result = loadOptions({ ...noFlags(), configFile: path }, {}, (file) => readFileSync(file));
  expect(result).toMatchObject({ warnings: [], notices: [], options: { serverName: 'natsd-1' } });
});

test('deploy/natsd.conf loads with every comment of an option taken away', () => {
  const text = readFileSync(new URL('natsd.conf', DEPLOY), 'utf8');
  const accounts = text.slice(text.indexOf('# accounts {')).replaceAll(/^# ?/gm, '');
  const env = { SHOP_PASSWORD: '12345', ADMIN_PASSWORD: 'x' };
  const result = loadOptions({ ...noFlags(), configFile: 'x' }, env, () => Buffer.from(accounts));
  expect(result).toMatchObject({ warnings: [], notices: [], options: { systemAccount: '$SYS' } });
});

test('deploy/jetstream-mqtt-websocket.conf loads, with every comment of an option taken away too', () => {
  const text = readFileSync(new URL('jetstream-mqtt-websocket.conf', DEPLOY), 'utf8');
  const env = {
    SERVICE_PASSWORD: 's',
    DEVICE_PASSWORD: 'd',
    PAGE_PASSWORD: 'p',
    ADMIN_PASSWORD: 'a',
    STORE_KEY: 'k',
  };
  const load = (config: string) =>
    loadOptions({ ...noFlags(), configFile: 'x' }, env, () => Buffer.from(config));
  const options = { jetStream: { encryption: null }, mqtt: { port: 1883 } };
  expect(load(text)).toMatchObject({ warnings: [], notices: [], options });
  const encrypted = text.replace(/^ {2}# (key|cipher): /gm, '  $1: ');
  expect(load(encrypted)).toMatchObject({ options: { jetStream: { encryption: { key: 'k' } } } });
});

test('README.md lists every option that is not supported yet', () => {
  const readme = readFileSync(new URL('../README.md', DEPLOY), 'utf8');
  const start = readme.indexOf('### Options of features that do not exist yet');
  const section = readme.slice(start, readme.indexOf('## Command line', start));
  const named = [...section.matchAll(/`([^`]+)`/g)].map((match) => match[1]!.split('.').at(-1)!);
  const isNamed = (name: string) =>
    named.some((text) => (text.endsWith('…') ? name.startsWith(text.slice(0, -1)) : text === name));
  const missing = [...NOT_YET.keys()].filter((path) => !isNamed(path.split('.').at(-1)!));
  expect(missing).toEqual([]);
});

test('what is not supported yet is an option that exists', () => {
  interface Row {
    name: string;
    children?: readonly Row[];
  }
  const find = (rows: readonly Row[], names: string[]): boolean => {
    const row = rows.find(({ name }) => name === names[0]);
    return row !== undefined && (names.length === 1 || find(row.children ?? [], names.slice(1)));
  };
  const missing = [...NOT_YET.keys()].filter((path) => !find(TOP_LEVEL_ROWS, path.split('.')));
  expect(missing).toEqual([]);
  for (const option of NOT_YET_FLAGS.values()) expect(find(TOP_LEVEL_ROWS, [option])).toBe(true);
});

test('no two options of a block share a name', () => {
  interface Row {
    name: string;
    aliases: readonly string[];
    children?: readonly Row[];
  }
  const check = (rows: readonly Row[]) => {
    const names = rows.flatMap((row) => [row.name, ...row.aliases]);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    for (const row of rows) check(row.children ?? []);
  };
  check(TOP_LEVEL_ROWS);
});
