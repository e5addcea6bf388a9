// Small helpers with numbers.

export const grid = (low, high, num) => Array.from({ length: num }, (_, i) => low + ((high - low) * i) / (num - 1));
export const decades = (low, high, num) => grid(Math.log(low), Math.log(high), num).map(Math.exp);
export const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
/** Values against their places. */
export const steps = (values) => values.map((y, n) => [n, y]);

/** Standard normal numbers, the same ones every time (mulberry32, Box and Muller). */
export function normal(seed) {
  let a = seed >>> 0;
  const uniform = () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Complex numbers as pairs [re, im]. */
export const C = {
  add: ([a, b], [c, d]) => [a + c, b + d],
  sub: ([a, b], [c, d]) => [a - c, b - d],
  mul: ([a, b], [c, d]) => [a * c - b * d, a * d + b * c],
  div: ([a, b], [c, d]) => {
    const size = c * c + d * d;
    return [(a * c + b * d) / size, (b * c - a * d) / size];
  },
  abs: ([a, b]) => Math.hypot(a, b),
};
