// Sums up V8's .cpuprofile files: where the time of a thread went, by function and by line.
//
// A profile is a tree of call sites (`nodes`, children by id) and a list of samples, each naming the node that was on
// top and, in `timeDeltas`, the microseconds since the sample before. A function called from several places has
// several nodes; they are added up here by name, file and line.

/**
 * @typedef {{ functionName: string, url: string, lineNumber: number, columnNumber: number }} CallFrame
 * @typedef {{ id: number, callFrame: CallFrame, children?: number[], positionTicks?: { line: number, ticks: number }[] }} ProfileNode
 * @typedef {{ nodes: ProfileNode[], samples: number[], timeDeltas: number[] }} CpuProfile
 * @typedef {{ name: string, place: string, selfMs: number, totalMs: number }} FunctionTime
 * @typedef {{ place: string, name: string, ticks: number }} LineTicks
 * @typedef {{ activeMs: number, idleMs: number, functions: FunctionTime[], lines: LineTicks[] }} ProfileSummary
 */

/** Not work: the thread waits in the kernel. */
const IDLE = '(idle)';

/** @param {string} url */
const fileName = (url) => url.slice(url.lastIndexOf('/') + 1);

/** @param {CallFrame} frame */
function placeOf({ url, lineNumber, columnNumber }) {
  return url ? `${fileName(url)}:${lineNumber + 1}:${columnNumber + 1}` : '';
}

/** @param {CpuProfile} profile @returns {Map<number, number>} microseconds by node */
function selfTimes(profile) {
  const self = new Map();
  for (const [index, node] of profile.samples.entries()) {
    // The delta in front of a sample is the time until it was taken; V8's clock may step back by a little.
    const micros = Math.max(0, profile.timeDeltas[index] ?? 0);
    self.set(node, (self.get(node) ?? 0) + micros);
  }
  return self;
}

/** @param {CpuProfile} profile @returns {Map<number, ProfileNode>} parent by node id */
function parents(profile) {
  const byChild = new Map();
  for (const node of profile.nodes) for (const child of node.children ?? []) byChild.set(child, node);
  return byChild;
}

/** Line ticks of every function, most first. @param {CpuProfile} profile @returns {LineTicks[]} */
function lineTicks(profile) {
  /** @type {Map<string, LineTicks>} */
  const lines = new Map();
  for (const { callFrame, positionTicks } of profile.nodes) {
    if (!callFrame.url) continue;
    for (const { line, ticks } of positionTicks ?? []) {
      const place = `${fileName(callFrame.url)}:${line}`;
      const known = lines.get(place);
      if (known) known.ticks += ticks;
      else lines.set(place, { place, name: callFrame.functionName || '(anonymous)', ticks });
    }
  }
  return [...lines.values()].sort((a, b) => b.ticks - a.ticks);
}

/**
 * @param {CpuProfile} profile
 * @returns {ProfileSummary} functions by self time, most first; `totalMs` counts a recursive function once
 */
export function summarise(profile) {
  const self = selfTimes(profile);
  const parentOf = parents(profile);
  /** @type {Map<string, FunctionTime>} */
  const functions = new Map();
  let idleMs = 0;
  let activeMs = 0;
  for (const node of profile.nodes) {
    const selfMs = (self.get(node.id) ?? 0) / 1000;
    if (node.callFrame.functionName === IDLE) {
      idleMs += selfMs;
      continue;
    }
    activeMs += selfMs;
    if (selfMs > 0) charge(functions, node, parentOf, selfMs);
  }
  const ordered = [...functions.values()]
    .filter(({ selfMs }) => selfMs > 0)
    .sort((a, b) => b.selfMs - a.selfMs);
  return { activeMs, idleMs, functions: ordered, lines: lineTicks(profile) };
}

/**
 * Self time to the node's function, total time to every function on its stack.
 *
 * @param {Map<string, FunctionTime>} functions
 * @param {ProfileNode} node
 * @param {Map<number, ProfileNode>} parentOf
 * @param {number} selfMs
 */
function charge(functions, node, parentOf, selfMs) {
  const seen = new Set();
  /** @type {ProfileNode | undefined} */
  let current = node;
  for (; current; current = parentOf.get(current.id)) {
    const name = current.callFrame.functionName || '(anonymous)';
    const place = placeOf(current.callFrame);
    const key = `${name} ${place}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const entry = functions.get(key) ?? { name, place, selfMs: 0, totalMs: 0 };
    if (current === node) entry.selfMs += selfMs;
    entry.totalMs += selfMs;
    functions.set(key, entry);
  }
}

/**
 * @param {ProfileSummary} summary
 * @param {{ top: number, lines: boolean }} options
 * @returns {string} a table; percentages are of the time the thread was not idle
 */
export function summaryText(summary, { top, lines }) {
  const percent = (/** @type {number} */ part, /** @type {number} */ whole) =>
    `${((100 * part) / (whole || 1)).toFixed(1)} %`.padStart(8);
  const all = [`active ${summary.activeMs.toFixed(0)} ms, idle ${summary.idleMs.toFixed(0)} ms`];
  all.push(`${'self'.padStart(8)}${'total'.padStart(10)}  function`);
  for (const { name, place, selfMs, totalMs } of summary.functions.slice(0, top)) {
    all.push(
      `${percent(selfMs, summary.activeMs)}  ${percent(totalMs, summary.activeMs)}  ${name}  ${place}`.trimEnd(),
    );
  }
  if (!lines) return all.join('\n');
  const ticks = summary.lines.reduce((sum, line) => sum + line.ticks, 0);
  all.push('', `${'ticks'.padStart(8)}  line`);
  for (const line of summary.lines.slice(0, top))
    all.push(`${percent(line.ticks, ticks)}  ${line.place}  ${line.name}`);
  return all.join('\n');
}
