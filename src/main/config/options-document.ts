import { dashed, FLAG_GROUPS } from './flag-table.ts';
import { NOT_YET, NOT_YET_FLAGS } from './not-yet.ts';
import type { OptionDescription } from './reader.ts';
import { TOP_LEVEL_ROWS } from './top-level.ts';

/** Writes deploy/OPTIONS.md from the tables the server reads its configuration by. */

const INTRODUCTION = `# Options of natsd

This file is generated from the option tables of the server (\`npm run options\`); a test keeps it up to date.

Every option of nats-server 2.15 is known and checked. What natsd does with it: **works**; **warns**, the option is
checked and ignored with a warning, the rest works; **stops**, the server doesn't start, because going on without the
option would weaken security or lose data. "reload" says whether SIGHUP may change it.

Durations are written \`"2s"\`, \`"1h30m"\`; sizes are integers with suffixes, \`8MB\` is 1024-based and \`8M\` 1000-based.
`;

/** The whole document, with a final new line. */
export function optionsDocument(): string {
  const parts = [INTRODUCTION, '## Configuration file\n', '### Top level\n', table(TOP_LEVEL_ROWS, '', null)];
  const seen = new Map<string, string>();
  for (const row of TOP_LEVEL_ROWS) parts.push(...sections(row, row.name, stateOf(row.name, null), seen));
  parts.push('## Command line\n', flagTable());
  return `${parts.join('\n')}`;
}

type State = 'works' | 'warns' | 'stops';

/** An option of a block that is ignored or refused as a whole shares the block's state. */
function stateOf(path: string, inherited: State | null): State {
  if (inherited !== null && inherited !== 'works') return inherited;
  const notYet = NOT_YET.get(path);
  if (notYet === undefined) return 'works';
  return notYet.action === 'stop' ? 'stops' : 'warns';
}

function sections(row: OptionDescription, path: string, state: State, seen: Map<string, string>): string[] {
  if (row.children === undefined) return [];
  const body = table(row.children, path, state);
  const title = `### \`${path}\`\n`;
  const same = seen.get(body);
  if (same !== undefined) return [title, `The options of \`${same}\`.\n`];
  seen.set(body, path);
  const inner = row.children.flatMap((child) => {
    const childPath = `${path}.${child.name}`;
    return sections(child, childPath, stateOf(childPath, state), seen);
  });
  return [title, body, ...inner];
}

function table(rows: readonly OptionDescription[], path: string, inherited: State | null): string {
  const lines = rows.map((row) => {
    const names = [row.name, ...row.aliases].map((name) => `\`${name}\``).join(', ');
    const rowPath = path === '' ? row.name : `${path}.${row.name}`;
    const state = stateOf(rowPath, inherited);
    const reason = state === 'works' ? undefined : NOT_YET.get(rowPath)?.reason;
    const meaning = reason === undefined ? row.doc : `${row.doc} Not yet: ${reason}.`;
    const facts = [row.type, row.default === '' ? 'no default' : `default ${row.default}`];
    facts.push(`reload: ${row.reload}`, `**${state}**`);
    return `- ${names}: ${facts.join('; ')}. ${meaning}`;
  });
  return `${lines.join('\n')}\n`;
}

function flagTable(): string {
  const lines = FLAG_GROUPS.flatMap((group) => group.flags).map((flag) => {
    const argument = flag.argument === '' ? '' : ` ${flag.argument}`;
    const names = flag.names.map((name) => `\`${dashed(name)}${argument}\``).join(', ');
    const option = NOT_YET_FLAGS.get(flag.names.at(-1)!);
    const state = option === undefined ? 'works' : stateOf(option, null);
    return `- ${names}: **${state}**. ${flag.help}.`;
  });
  return `${lines.join('\n')}\n`;
}
