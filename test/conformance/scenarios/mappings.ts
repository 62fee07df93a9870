/** Scenarios: subject mappings of an account (spec: auth-accounts §9). */
import { headerBlock, hpub, pub, type Scenario, scenario } from '../scenario.ts';

const VECTORS: [string, string[]][] = [
  ['literal', ['plain', 'plain.x']],
  ['numbered wildcards', ['wild.a.b', 'wild.a', 'wild.a.b.c']],
  ['named wildcards', ['curly.a.b']],
  ['blanks in braces', ['spaced.a']],
  ['full wildcard', ['rest.a', 'rest.a.b.c', 'rest']],
  ['partial and full wildcard', ['restw.a.b', 'restw.a.b.c', 'restw.a']],
  ['partition over tokens', ['part.a.b', 'part.b.a', 'part.abc.d', 'part.0.0', 'part.xyz.1234']],
  ['partition over the subject', ['partall.a.b', 'partall.b.a', 'partall.abc.d']],
  ['partition of a literal', ['partlit']],
  ['partition into none', ['partzero.a']],
  ['random of none', ['randzero.a']],
  ['split', ['split.a-b', 'split.-a-b-', 'split.a--b', 'split.ab', 'split.-']],
  ['splitFromLeft', ['left.abcdef', 'left.abc', 'left.ab', 'left.abcd']],
  ['splitFromRight', ['right.abcdefg', 'right.abc', 'right.ab', 'right.abcd']],
  ['sliceFromLeft', ['slicel.abcdefgh', 'slicel.abc', 'slicel.ab', 'slicel.abcdef']],
  ['sliceFromRight', ['slicer.abcdefgh', 'slicer.abc', 'slicer.ab', 'slicer.abcdef']],
  ['left', ['first.abc', 'first.a', 'first.ab']],
  ['right', ['last.abc', 'last.a', 'last.ab']],
  ['lower-case function', ['lower.abc']],
  ['function inside a token', ['partial.a']],
  ['dollar with letters', ['nonnum.a']],
  ['dollar zero', ['zero.a']],
  ['full weight', ['weighted']],
  ['weight in percent', ['percent']],
  ['weight 0 passes through', ['half']],
  ['source among its destinations', ['lost']],
  ['no chaining', ['chain', 'chain2']],
  ['another cluster', ['elsewhere']],
];

export const mappings: Scenario[] = [
  ...VECTORS.map(([name, subjects]) =>
    scenario(`mapping: ${name}`, 'mappings', (s) => {
      s.client('a').client('b').send('b', 'SUB > 1\r\n');
      for (const subject of subjects) s.send('a', pub(subject, subject));
    }),
  ),
  scenario('mapping: reply and headers stay', 'mappings', (s) =>
    s
      .client('a')
      .send('a', 'SUB mapped.plain 1\r\nSUB plain 2\r\n')
      .send('a', pub('plain', 'm', 'plain') + hpub('plain', headerBlock('K: v'), 'm', 'r')),
  ),
  scenario('mapping: permissions are checked on the mapped subject', 'mappings', (s) =>
    s
      .client('a', { user: 'source', pass: 'pw', verbose: true })
      .send('a', 'SUB > 1\r\n')
      .send('a', pub('plain', 'm'))
      .client('b', { user: 'target', pass: 'pw', verbose: true })
      .send('b', pub('plain', 'm'))
      .send('b', pub('mapped.plain', 'm')),
  ),
  scenario('mapping: no responders names the mapped subject', 'mappings', (s) =>
    s
      .client('a', { no_responders: true })
      .send('a', 'SUB mnr.in 1\r\n')
      .send('a', pub('curly.x.y', 'q', 'mnr.in')),
  ),
];
