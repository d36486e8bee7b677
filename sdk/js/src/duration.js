// Lengths of time as people write them.

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a number of milliseconds or of a text like `90s`, `1h30m`, `500ms`. */
export function milliseconds(duration) {
  if (typeof duration === 'number' && Number.isFinite(duration) && duration >= 0) return Math.round(duration);
  if (typeof duration === 'string' && /^(\d+(ms|s|m|h|d))+$/.test(duration)) {
    let total = 0;
    for (const [, count, unit] of duration.matchAll(/(\d+)(ms|s|m|h|d)/g)) total += Number(count) * UNITS[unit];
    return total;
  }
  throw new TypeError(`\`${duration}\` is no length of time: write milliseconds, or a text like 90s, 1h30m, 500ms`);
}
