import { describe, test } from 'vitest';
import { serverUnderTest } from '../support/server-command.ts';
import { conformanceSuite } from './conformance-suite.ts';

const command = serverUnderTest();
if (command.isNatsd) conformanceSuite('3 shards', command, 3);
else describe.skip('3 shards', () => test('the reference server has no shards', () => undefined));
