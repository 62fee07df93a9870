import { availableParallelism } from 'node:os';
import type { ProcessUsage } from './varz.ts';

/** Shorter samples would show the cost of the request that asks. */
const MIN_SAMPLE_MS = 500;

/** Measures the process between two requests: CPU time is a counter, a percentage needs an interval. */
export class ProcessMeter {
  private lastCpu = process.cpuUsage();
  private lastMs = performance.now();
  private cpuPercent = 0;

  /** The use since the last sample (the sample before, if that is younger than half a second). */
  sample(): ProcessUsage {
    const nowMs = performance.now();
    const elapsedMs = nowMs - this.lastMs;
    if (elapsedMs >= MIN_SAMPLE_MS) {
      const used = process.cpuUsage(this.lastCpu);
      this.cpuPercent = Math.round((used.user + used.system) / elapsedMs) / 10;
      this.lastCpu = process.cpuUsage();
      this.lastMs = nowMs;
    }
    return {
      residentBytes: process.memoryUsage.rss(),
      cpuPercent: this.cpuPercent,
      cores: availableParallelism(),
    };
  }
}
