// Reads cases from standard input and prints, for each, what the page's engine makes: updates and learning rates of a
// rule, its derivatives at a state, or the path of a whole optimizer under given gradients.
import { readFileSync } from "node:fs";

const { Rule, Whole } = await import(process.argv[2]);
const { readPool } = await import(process.argv[3]);
const { pool, cases } = JSON.parse(readFileSync(0, "utf8"));
const constants = readPool(pool);
const ofRule = ({ rule, settings, gradients, at }) => {
  const made = new Rule(rule, constants).set(settings ?? {});
  if (at) {
    const { A, B, C, D } = made.linearize(at);
    return { A: A.map(String), B: B.map(String), C: C.map(String), D: [String(D)] };
  }
  const { states, updates } = made.drive(gradients);
  const rates = gradients.map((g, n) => made.update(states[n], g).learningRate);
  return { updates: updates.map(String), rates: rates.map(String), state: Array.from(states.at(-1), String) };
};
const ofWhole = ({ whole, gradients, start }) => {
  const path = new Whole(whole, constants).descend(start, gradients.length, (_, n) => gradients[n]);
  return { path: path.flatMap((x) => Array.from(x, String)) };
};
console.log(JSON.stringify(cases.map((one) => (one.whole ? ofWhole(one) : ofRule(one)))));
