// The optimizers of the page: their data, their rules, and what is looked at of them.

import { Program, readPool } from "./program.js";
import { Rule } from "./rule.js";
import { listOf, view } from "./view.js";

const data = JSON.parse(document.getElementById("data").textContent);
const pool = readPool(data.pool);

export const NUM_STEPS = data.num_steps;
export const subjects = data.subjects.map((subject, index) => ({
  ...subject,
  index,
  runs: new Rule(subject.rule, pool),
  linear: subject.modes.rule ? new Rule(subject.modes.rule, pool) : null,
}));
export const landscapes = Object.fromEntries(
  Object.entries(data.landscapes).map(([name, one]) => [name, { ...one, runs: new Program(one.program, pool) }]),
);

export const subject = () => subjects[view.who] ?? subjects[0];
/** What is compared with it: what was chosen, unless that is itself. */
export const other = () => {
  const isItself = view.other === subject().index || !subjects[view.other];
  return isItself ? (subjects.find(({ index }) => index !== subject().index) ?? subjects[0]) : subjects[view.other];
};

/** The largest gradient that is shown. */
export const largest = () => subject().largest_gradient * view.largest;
export const present = () => view.g * largest();
export const past = () => view.past * largest();

/** Settings that were moved, as "subject:name:value" words. */
export function moved() {
  const found = subjects.map(() => ({}));
  for (const word of view.settings.split(" ").filter(Boolean)) {
    const [index, name, value] = word.split(":");
    if (found[index] && Number.isFinite(Number(value))) found[index][name] = Number(value);
  }
  return found;
}

/** Color of the optimizer that is looked at, and those of several that are seen together. */
export const COLOR = "var(--series1)";
export const colorOf = (place) => (place < 0 ? "var(--line)" : `var(--series${place + 1})`);

/** Let rules have the settings and modes that the view says, and the view values that the page has. */
export function applyView() {
  view.n = Math.max(0, Math.min(NUM_STEPS, Math.round(view.n)));
  view.past = Math.max(-1, Math.min(1, view.past));
  view.g = Math.max(-1, Math.min(1, view.g));
  const values = moved();
  for (const one of subjects) one.runs.set(values[one.index]);
  const off = listOf(view.off);
  for (const one of subjects) {
    if (!one.linear) continue;
    const kept = one.index === subject().index ? off : [];
    one.linear.set(Object.fromEntries(kept.map((unit) => [`mode_${unit + 1}`, 0])));
  }
}

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
