/** Faults of the disk for a server under test, by a shim around system calls that is compiled when a C compiler is there. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type Fault = 'sync' | 'hang' | 'read' | 'short' | 'full' | 'slow';

const SOURCE = fileURLToPath(new URL('./fault-shim.c', import.meta.url));

export class Faults {
  readonly #directory: string;
  readonly #library: string;

  private constructor(directory: string, library: string) {
    this.#directory = directory;
    this.#library = library;
  }

  /** Compiles the shim. @returns null where that is not possible */
  static make(): Faults | null {
    if (process.platform !== 'linux') return null;
    const directory = mkdtempSync(join(tmpdir(), 'natsd-faults-'));
    const library = join(directory, 'shim.so');
    try {
      execFileSync('cc', ['-shared', '-fPIC', '-o', library, SOURCE, '-ldl'], { stdio: 'pipe' });
    } catch {
      rmSync(directory, { recursive: true });
      return null;
    }
    mkdirSync(join(directory, 'on'));
    return new Faults(directory, library);
  }

  /** For the server's environment. */
  get environment(): Record<string, string> {
    return { LD_PRELOAD: this.#library, NATSD_FAULTS: join(this.#directory, 'on') };
  }

  set(fault: Fault): void {
    writeFileSync(join(this.#directory, 'on', fault), '');
  }

  clear(): void {
    rmSync(join(this.#directory, 'on'), { recursive: true });
    mkdirSync(join(this.#directory, 'on'));
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true });
  }
}

export interface SmallDisk {
  setReadOnly(readOnly: boolean): void;
  unmount(): void;
}

/** A small file system in memory. @returns null where mounting is not permitted */
export function mountSmall(directory: string, megabytes: number): SmallDisk | null {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'natsd-test', directory], {
      stdio: 'pipe',
    });
  } catch {
    return null;
  }
  return {
    setReadOnly: (readOnly) =>
      void execFileSync('mount', ['-o', `remount,${readOnly ? 'ro' : 'rw'}`, directory], { stdio: 'pipe' }),
    unmount: () => void execFileSync('umount', [directory], { stdio: 'pipe' }),
  };
}
