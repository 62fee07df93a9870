/** Every JetStream scenario, by the transcript file it is recorded in. */
import type { JetStreamScenario } from '../script.ts';
import { accounts } from './accounts.ts';
import { acknowledgements } from './acknowledgements.ts';
import { advisories } from './advisories.ts';
import { batches } from './batches.ts';
import { consumers } from './consumers.ts';
import { messages } from './messages.ts';
import { origins } from './origins.ts';
import { priorityGroups } from './priority-groups.ts';
import { publishing } from './publishing.ts';
import { pulls } from './pulls.ts';
import { pushes } from './pushes.ts';
import { streamConfigs } from './stream-configs.ts';
import { streams } from './streams.ts';

export const JETSTREAM_GROUPS: ReadonlyMap<string, JetStreamScenario[]> = new Map([
  ['stream-configs', streamConfigs],
  ['streams', streams],
  ['messages', messages],
  ['publishing', publishing],
  ['batches', batches],
  ['origins', origins],
  ['advisories', advisories],
  ['consumers', consumers],
  ['pulls', pulls],
  ['acknowledgements', acknowledgements],
  ['pushes', pushes],
  ['priority-groups', priorityGroups],
  ['accounts', accounts],
]);
