// The optimizers of the page: their data, their rules, and what is looked at of them.

import { Modes } from "./modes.js";
import { clamp } from "./numbers.js";
import { Program, readPool } from "./program.js";
import { Rule, Whole } from "./rule.js";
import { view } from "./view.js";

const data = JSON.parse(document.getElementById("data").textContent);
const pool = readPool(data.pool);
const modesOf = (found) => (found.reason ? null : new Modes(found.decays, found.learning_rates, found.direct));

export const NUM_STEPS = data.num_steps;
export const subjects = data.subjects.map((subject, index) => {
  const runs = new Rule(subject.rule, pool);
  return {
  ...subject,
  index,
  runs,
  on_matrices: subject.whole ? new Whole(subject.whole, pool) : subject.view === "own" ? runs : null,
  explained_by: subject.explanation.rule ? new Rule(subject.explanation.rule, pool) : null,
  linear: modesOf(subject.modes),
  resting: subject.stability.modes ? modesOf(subject.stability.modes) : null,
  };
});
export const landscapes = Object.fromEntries(
  Object.entries(data.landscapes).map(([name, one]) => [name, { ...one, runs: new Program(one.program, pool) }]),
);
/** What was given to the page besides: the claims of a paper, a recorded run. */
export const { ledger = null, run = null } = data;

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

/** Let rules have the settings that the view says, and the view values that the page has. */
export function applyView() {
  view.n = clamp(Math.round(view.n), 0, NUM_STEPS);
  view.past = clamp(view.past, -1, 1);
  view.g = clamp(view.g, -1, 1);
  const values = moved();
  for (const one of subjects) one.runs.set(values[one.index]);
}

/** Runs under constant gradients, kept while settings stay: several rooms draw them, most of them in every frame. */
const MOST_RUNS = 64;
const runsKept = new Map();
export function constantRun(one, gradient) {
  const key = `${one.index} ${gradient} ${Object.values(one.runs.values)}`;
  let found = runsKept.get(key);
  if (!found) {
    found = one.runs.drive(new Array(NUM_STEPS).fill(gradient));
    if (runsKept.size >= MOST_RUNS) runsKept.delete(runsKept.keys().next().value);
    runsKept.set(key, found);
  }
  return found;
}
