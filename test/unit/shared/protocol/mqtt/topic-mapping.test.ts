import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseFilter } from '../../../../../src/shared/protocol/mqtt/topic-filter.ts';
import { subjectOfTopic, topicOfSubject } from '../../../../../src/shared/protocol/mqtt/topic-mapping.ts';
import { isValidSubscribeSubject } from '../../../../../src/shared/subject/subject.ts';

const subject = (topic: string, isFilter = false) => subjectOfTopic(Buffer.from(topic), isFilter);
const topic = (text: string) => Buffer.from(topicOfSubject(text)).toString('utf8');
const filter = (text: string, shares = true) => parseFilter(Buffer.from(text), shares);

test.each([
  ['a/b', 'a.b'],
  ['a.b', 'a//b'],
  ['/a', '/.a'],
  ['a/.b', 'a.//b'],
  ['a/', 'a./'],
  ['.a', '//a'],
  ['a//b', 'a./.b'],
  ['a.', 'a//'],
  ['a///b', 'a././.b'],
  ['..', '////'],
  ['/', '/./'],
  ['.', '//'],
  ['//', '/././'],
  ['./', '//./'],
  ['///', '/./././'],
  ['/.', '/.//'],
  ['//a', '/./.a'],
  ['/a/', '/.a./'],
  ['a/b//', 'a.b././'],
  ['$x/y', '$x.y'],
])('topic %s is subject %s, both ways', (text, wanted) => {
  expect(subject(text)).toBe(wanted);
  expect(topic(wanted)).toBe(text);
});

test.each([
  ['+', '*'],
  ['/+', '/.*'],
  ['+/', '*./'],
  ['/#', '/.>'],
  ['a/#', 'a.>'],
  ['a//#', 'a./.>'],
  ['#', '>'],
])('filter %s is subject %s', (text, wanted) => {
  expect(subject(text, true)).toBe(wanted);
});

test.each([
  ' ',
  'a b',
  'a\tb',
  'a\nb',
  'a\rb',
  'a\fb',
  'a\x7f',
  '*',
  'a/>',
  '*/b',
  'a/*/b',
])('no subject stands for %j', (text) => {
  expect(subject(text)).toBeNull();
  expect(subject(text, true)).toBeNull();
});

test('stars and brackets inside a level are text', () => {
  expect(subject('a*/>b')).toBe('a*.>b');
});

test('every topic comes back from its subject, and no two share one', () => {
  const level = fc.constantFrom('', 'a', '.', 'ü', '..', 'x.y', '$', '.a', 'a.');
  const topics = fc.array(level, { minLength: 1, maxLength: 6 }).map((levels) => levels.join('/'));
  fc.assert(
    fc.property(
      topics.filter((text) => text !== ''),
      (text) => {
        const mapped = subject(text);
        expect(mapped).not.toBeNull();
        expect(isValidSubscribeSubject(mapped as string)).toBe(true);
        expect(topic(mapped as string)).toBe(text);
      },
    ),
    { seed: 20_166, numRuns: 3000 },
  );
});

test.each([
  ['a/b', 'ab'],
  ['a/./b', 'a/b'],
  ['/', ''],
  ['a./', 'a/'],
])('a slash that stands for nothing disappears: subject %s reads %s', (text, wanted) => {
  expect(topic(text)).toBe(wanted);
});

describe('filters', () => {
  test.each([
    'a+',
    '+a',
    'a/b+',
    'a#',
    'a/#b',
    'a/#/b',
    '#/a',
    'a/+b',
  ])('[MQTT-4.7.1-1] [MQTT-4.7.1-2] %s', (text) => {
    expect(filter(text)).toBeNull();
  });

  test.each(['+', '#', '+/+', '/+', 'a/+/b', 'a/#', '+/#'])('%s is valid', (text) => {
    expect(filter(text)).not.toBeNull();
  });

  test('[MQTT-4.7.1] # matches the parent too', () => {
    expect(filter('a/b/#')).toMatchObject({ subject: 'a.b.>', parentSubject: 'a.b' });
    expect(filter('#')).toMatchObject({ parentSubject: null });
    expect(filter('+/#')).toMatchObject({ parentSubject: '*' });
  });

  test('[MQTT-4.7.2-1] wildcards in front leave out $ topics', () => {
    expect(['#', '+', '+/a', '+/#', '$SYS/#', 'a/#'].map((text) => filter(text)?.skipsDollar)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  test('internal subjects are nobody’s', () => {
    expect(filter('$MQTT/sub/x')).toBeNull();
    expect(filter('$MQTT')).not.toBeNull();
  });

  test('[MQTT-4.8.2-1] [MQTT-4.8.2-2] shared subscriptions', () => {
    expect(filter('$share/g/a/#')).toMatchObject({ share: 'g', subject: 'a.>', parentSubject: 'a' });
    for (const text of ['$share/g', '$share//a', '$share/g/', '$share/+/a', '$share/g#/a', '$share/']) {
      expect(filter(text), text).toBeNull();
    }
    expect(filter('$share/g/a', false)).toMatchObject({ share: null, subject: '$share.g.a' });
  });
});
