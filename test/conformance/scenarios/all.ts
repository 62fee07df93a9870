/** Every scenario, by the transcript file it is recorded in. */
import type { Scenario } from '../scenario.ts';
import { authentication } from './authentication.ts';
import { connect } from './connect.ts';
import { framing } from './framing.ts';
import { limits } from './limits.ts';
import { mappings } from './mappings.ts';
import { permissions } from './permissions.ts';
import { publish } from './publish.ts';
import { subscribe } from './subscribe.ts';
import { transports } from './transports.ts';

export const SCENARIO_GROUPS: ReadonlyMap<string, Scenario[]> = new Map([
  ['framing', framing],
  ['connect', connect],
  ['publish', publish],
  ['subscribe', subscribe],
  ['limits', limits],
  ['authentication', authentication],
  ['permissions', permissions],
  ['mappings', mappings],
  ['transports', transports],
]);
