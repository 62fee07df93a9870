import { describe, expect, test } from 'vitest';
import { findReferenceServer, referenceCommand, serverUnderTest } from '../support/server-command.ts';
import { conformanceSuite } from './conformance-suite.ts';
import { SCENARIO_GROUPS } from './scenarios/all.ts';

const command = serverUnderTest();
conformanceSuite(command.isNatsd ? '1 shard' : 'reference server', command, 1);

const reference = findReferenceServer();
// Against the recorded server itself the suite proves that the recordings are right and repeatable.
if (command.isNatsd && reference !== null) {
  conformanceSuite('nats-server', referenceCommand(reference), 1);
}

describe('scenarios', () => {
  test('have names of their own', () => {
    const names = [...SCENARIO_GROUPS.values()].flat().map((scenario) => scenario.name);
    expect(new Set(names).size).toBe(names.length);
  });
});
