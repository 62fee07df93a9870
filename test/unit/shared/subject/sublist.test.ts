import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isValidSubscribeSubject, subjectMatches } from '../../../../src/shared/subject/subject.ts';
import { Sublist, type SublistItem } from '../../../../src/shared/subject/sublist.ts';

let items = 0;

/** Each is different from all others, so that comparing by value tells them apart. */
function item(subject: string, queue: string | null = null): SublistItem & { id: number } {
  items++;
  return { subject, queue, id: items };
}

function plain(list: Sublist<SublistItem>, subject: string): string[] {
  return list
    .match(subject)
    .plain.map((found) => found.subject)
    .sort();
}

function listOf(...subjects: string[]): Sublist<SublistItem> {
  const list = new Sublist<SublistItem>();
  for (const subject of subjects) expect(list.insert(item(subject))).toBe(true);
  return list;
}

describe('matching', () => {
  test('finds literals and wildcards', () => {
    const list = listOf('foo', 'foo.bar', 'foo.*', 'foo.>', '*.bar', '>', '*', 'foo.baz', 'foo.bar.x');
    expect(plain(list, 'foo.bar')).toEqual(['*.bar', '>', 'foo.*', 'foo.>', 'foo.bar']);
    expect(plain(list, 'foo')).toEqual(['*', '>', 'foo']);
    expect(plain(list, 'foo.bar.x')).toEqual(['>', 'foo.>', 'foo.bar.x']);
    expect(plain(list, 'nothing.like.it')).toEqual(['>']);
  });

  test('takes wildcards of the published subject as text', () => {
    const list = listOf('foo.*', 'foo.>', '>', 'foo.bar', 'foo.*.x');
    expect(plain(list, 'foo.*')).toEqual(['>', 'foo.*', 'foo.>']);
    expect(plain(list, 'foo.>')).toEqual(['>', 'foo.*', 'foo.>']);
  });

  test.each([
    '',
    '.',
    'foo.',
    '.foo',
    'foo..bar',
  ])('finds nothing for %j, which has an empty token', (subject) => {
    const list = listOf('>', 'foo.>', '*', 'foo.*.bar');
    expect(list.match(subject)).toEqual({ plain: [], queues: null });
    expect(list.hasInterest(subject)).toBe(false);
  });

  test('joins the members of a queue across patterns', () => {
    const list = new Sublist<SublistItem>();
    const a = item('foo.bar', 'q1');
    const b = item('foo.*', 'q1');
    const c = item('foo.bar', 'q2');
    const d = item('foo.bar', 'q3');
    for (const member of [a, b, c, d]) list.insert(member);
    const { plain: plainItems, queues } = list.match('foo.bar');
    expect(plainItems).toEqual([]);
    expect(new Set(queues?.get('q1'))).toEqual(new Set([a, b]));
    expect(queues?.get('q2')).toEqual([c]);
    expect(queues?.get('q3')).toEqual([d]);
    expect(list.match('foo.x').queues?.get('q1')).toEqual([b]);
  });

  test('takes the empty queue name for a name', () => {
    const list = new Sublist<SublistItem>();
    list.insert(item('foo', ''));
    expect(list.match('foo').plain).toEqual([]);
    expect(list.match('foo').queues?.get('')).toHaveLength(1);
  });

  test('keeps the order of insertion on one subject', () => {
    const list = new Sublist<SublistItem>();
    const added = [0, 1, 2, 3].map(() => item('foo'));
    for (const each of added) list.insert(each);
    list.remove(added[0]!);
    const found = list.match('foo').plain;
    expect(found).toHaveLength(3);
    expect(found.every((each, at) => each === added[at + 1])).toBe(true);
  });

  test('ends a visit when told to', () => {
    const list = listOf('a', '*', '>');
    const seen: string[] = [];
    list.visit('a', ({ subject }) => seen.push(subject) === 2);
    expect(seen).toHaveLength(2);
  });

  test('copes with deep subjects and many wildcard branches', () => {
    const tokens = Array.from({ length: 4000 }, () => 'a');
    const deep = tokens.join('.');
    const list = listOf(deep, tokens.map(() => '*').join('.'), `${tokens.slice(0, 3999).join('.')}.>`);
    for (let at = 0; at < 500; at++)
      list.insert(item(tokens.map((t, i) => (i % (at + 2) === 0 ? '*' : t)).join('.')));
    expect(list.match(deep).plain).toHaveLength(503);
    expect(list.match(`${deep}.a`).plain).toHaveLength(1);
  });
});

describe('changes', () => {
  test.each(['', 'foo.', '.foo', 'foo..bar', '>.foo', 'foo.>.bar'])('refuses %j', (subject) => {
    const list = new Sublist<SublistItem>();
    expect(list.insert(item(subject))).toBe(false);
    expect(list.count).toBe(0);
    expect(list.inserts).toBe(0);
  });

  test('refuses the same item twice as a programming error', () => {
    const list = new Sublist<SublistItem>();
    const twice = item('foo');
    list.insert(twice);
    expect(() => list.insert(twice)).toThrow('already in the list');
    expect(list.count).toBe(1);
  });

  test('removes exactly what was asked for', () => {
    const list = new Sublist<SublistItem>();
    const one = item('foo');
    const same = item('foo');
    const queued = item('foo', 'q');
    for (const each of [one, same, queued]) list.insert(each);
    expect(list.remove(item('foo'))).toBe(false);
    expect(list.remove(item('foo', 'q'))).toBe(false);
    expect(list.remove(item('foo', 'other'))).toBe(false);
    expect(list.remove(item('foo.bar'))).toBe(false);
    expect(list.remove(item(''))).toBe(false);
    expect(list.remove(one)).toBe(true);
    expect(list.remove(one)).toBe(false);
    expect(list.match('foo').plain[0]).toBe(same);
    expect(list.remove(queued)).toBe(true);
    expect(list.match('foo').queues).toBeNull();
    expect(list.count).toBe(1);
    expect(list.removes).toBe(2);
  });

  test('counts', () => {
    const list = listOf('a', 'b.*');
    list.match('a');
    list.hasInterest('b.c');
    list.match('');
    expect({
      count: list.count,
      inserts: list.inserts,
      removes: list.removes,
      matches: list.matches,
    }).toEqual({
      count: 2,
      inserts: 2,
      removes: 0,
      matches: 3,
    });
  });

  test('holds and releases many items on one subject', () => {
    const list = new Sublist<SublistItem>();
    const many = Array.from({ length: 20_000 }, (_, at) =>
      item('foo.bar', at % 2 === 0 ? null : `q${at % 7}`),
    );
    for (const each of many) list.insert(each);
    expect(list.match('foo.bar').plain).toHaveLength(10_000);
    for (const each of many) expect(list.remove(each)).toBe(true);
    expect(list.count).toBe(0);
    expect(list.match('foo.bar')).toEqual({ plain: [], queues: null });
  });
});

test('agrees with a plain list through any sequence of changes', () => {
  const token = fc.constantFrom('a', 'b', 'c', '*', '>', 'a*', '');
  const subject = fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join('.'));
  const queue = fc.option(fc.constantFrom('q', 'r', 's'), { nil: null, freq: 2 });
  const insert = fc.record({ kind: fc.constant('insert' as const), subject, queue });
  const remove = fc.record({ kind: fc.constant('remove' as const), at: fc.nat(50) });
  const match = fc.record({ kind: fc.constant('match' as const), subject });
  fc.assert(
    fc.property(fc.array(fc.oneof(insert, remove, match), { maxLength: 80 }), (steps) => {
      const list = new Sublist<SublistItem>();
      const model: SublistItem[] = [];
      for (const step of steps) {
        if (step.kind === 'insert') {
          const added = item(step.subject, step.queue);
          const valid = isValidSubscribeSubject(step.subject);
          expect(list.insert(added)).toBe(valid);
          if (valid) model.push(added);
        } else if (step.kind === 'remove') {
          const [removed] = model.splice(step.at % Math.max(1, model.length), 1);
          if (removed !== undefined) expect(list.remove(removed)).toBe(true);
        } else {
          const expected = model.filter((each) => subjectMatches(step.subject, each.subject));
          const { plain: found, queues } = list.match(step.subject);
          expect(new Set(found)).toEqual(new Set(expected.filter((each) => each.queue === null)));
          const members = [...(queues ?? [])].flatMap(([name, group]) => {
            expect(group.every((each) => each.queue === name)).toBe(true);
            return group;
          });
          expect(found.length + members.length).toBe(expected.length);
          expect(new Set([...found, ...members])).toEqual(new Set(expected));
          expect(list.hasInterest(step.subject)).toBe(expected.length > 0);
        }
      }
      const all = new Set<SublistItem>();
      list.forEach((each) => {
        all.add(each);
      });
      expect(all).toEqual(new Set(model));
      expect(list.count).toBe(model.length);
    }),
    { seed: 20_151, numRuns: 800 },
  );
});
