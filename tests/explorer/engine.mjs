// Reads cases from standard input and prints, for each, the updates and learning rates that the page's engine makes.
import { readFileSync } from "node:fs";

const { Rule } = await import(process.argv[2]);
const { readPool } = await import(process.argv[3]);
const { pool, cases } = JSON.parse(readFileSync(0, "utf8"));
const constants = readPool(pool);
const found = cases.map(({ rule, settings, gradients }) => {
  const made = new Rule(rule, constants).set(settings ?? {});
  const { states, updates } = made.drive(gradients);
  const rates = gradients.map((g, n) => made.update(states[n], g).learningRate);
  return { updates: updates.map(String), rates: rates.map(String), state: Array.from(states.at(-1), String) };
});
console.log(JSON.stringify(found));
