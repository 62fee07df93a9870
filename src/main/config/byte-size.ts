const UNITS = ['KB', 'MB', 'GB', 'TB', 'PB'];
const STEP = 1024;

/** A size as nats-server logs it: `512 B`, `19.07 MB`; 1024-based. @param bytes not negative */
export function formatBytes(bytes: number): string {
  if (bytes < STEP) return `${bytes} B`;
  let size = bytes / STEP;
  let unit = 0;
  while (size >= STEP && unit < UNITS.length - 1) {
    size /= STEP;
    unit++;
  }
  return `${size.toFixed(2)} ${UNITS[unit]}`;
}
