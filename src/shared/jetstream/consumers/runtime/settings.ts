/** What the machine reads from a consumer's configuration again and again, in the units it works with. */
import { wireText } from '../../../subject/wire-text.ts';
import { durationMs, parseTime, splitTime, TimeError } from '../../time.ts';
import type { ConsumerConfig } from '../contract.ts';
import type { AckMode } from './consumer-state.ts';
import { deadLetterSubject } from './dead-letters.ts';

export interface ConsumerSettings {
  readonly mode: AckMode;
  /** Whether a message that isn't acknowledged in time is delivered again. */
  readonly redelivers: boolean;
  readonly ackWaitMs: number;
  /** Instead of `ackWaitMs`, by number of deliveries; null: none. */
  readonly backoffMs: readonly number[] | null;
  /** 0: no limit. */
  readonly maxDeliver: number;
  /** 0: no limit. */
  readonly maxAckPending: number;
  /** Of a hundred acknowledgements, how many are told about. */
  readonly samplePercent: number;
  /** Patterns in wire form; empty: everything. */
  readonly filters: readonly string[];
  /** 0: never. */
  readonly inactiveMs: number;
  /** Unix milliseconds, 0: not paused. */
  readonly pausedUntilMs: number;
  /** Wire form; empty: messages that are given up are not published anywhere. */
  readonly deadLetter: string;
}

const DEFAULT_ACK_WAIT_MS = 30_000;
const MODES = { none: 'none', all: 'all', explicit: 'explicit', flow_control: 'all' } as const;

export function settingsOf(config: ConsumerConfig): ConsumerSettings {
  const single = config.filterSubject === '' ? [] : [config.filterSubject];
  const filters = [...single, ...config.filterSubjects].map(wireText);
  return {
    mode: MODES[config.ackPolicy],
    redelivers: config.ackPolicy === 'explicit' || config.ackPolicy === 'all',
    ackWaitMs: durationMs(config.ackWaitNs) || DEFAULT_ACK_WAIT_MS,
    backoffMs: config.backoffNs.length === 0 ? null : config.backoffNs.map(durationMs),
    maxDeliver: Math.max(0, config.maxDeliver),
    maxAckPending: Math.max(0, config.maxAckPending),
    samplePercent: samplePercent(config.sampleFreq),
    filters: filters.includes('>') ? [] : filters,
    inactiveMs: durationMs(config.inactiveThresholdNs),
    pausedUntilMs: timeMs(config.pauseUntil),
    deadLetter: deadLetterSubject(config.metadata),
  };
}

/** `"50"` or `"50%"`. */
function samplePercent(text: string): number {
  const percent = Number.parseInt(text.replace(/%$/, ''), 10);
  return Number.isNaN(percent) ? 0 : Math.max(0, percent);
}

function timeMs(text: string): number {
  if (text === '') return 0;
  const time = parseTime(text);
  if (time instanceof TimeError) return 0;
  const { ms, nanos } = splitTime(time);
  return nanos > 0 ? ms + 1 : ms;
}
