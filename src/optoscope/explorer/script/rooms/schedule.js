// The schedule: what changes by itself as time goes by.

import { extent } from "../chart.js";
import { show } from "../controls.js";
import { clamp, steps } from "../numbers.js";
import { Room } from "../room.js";
import { pastSliders } from "../shared.js";
import { COLOR, constantRun, NUM_STEPS, past, subject } from "../subjects.js";
import { change, view } from "../view.js";

export function scheduleRoom() {
  const room = new Room(
    "schedule",
    "Schedule and time",
    "Left alone, does it change? The learning rate that a small gradient would meet at each step of a run without gradients, and of one under the gradient before. Drag to move in time.",
    ["past", "n"],
  );
  room.add(...pastSliders());
  const toStep = (x) => change({ n: clamp(Math.round(x), 0, NUM_STEPS) });
  const rates = room.picture("Effective learning rate against step.", { height: 260 }).onDrag(toStep);
  const drift = room.picture("Update of every step.", { height: 220 }).onDrag(toStep);
  room.draw = () => {
    const { runs, schedule } = subject();
    const { states, updates } = constantRun(subject(), past());
    const met = states.map((h) => runs.update(h, 0).learningRate);
    const alone = (schedule.learning_rates ?? []).map((x) => x ?? NaN);
    const words =
      `Before step ${view.n} the learning rate is ${show(alone[view.n] ?? NaN)} without gradients` +
      (view.past ? `, and ${show(met[view.n])} after gradients of ${show(past())}` : "") +
      ".";
    rates.begin({
      x: { domain: [0, NUM_STEPS], label: "step" },
      y: { domain: extent([...alone, ...(view.past ? met : [])]), label: "learning rate" },
      words,
    });
    rates.level(0).line(steps(alone), { name: "without gradients", color: COLOR });
    if (view.past) rates.line(steps(met), { name: "under the gradient before", className: "past", dash: "6 4" });
    rates.upright(view.n, { text: `step ${view.n}` });
    drift.begin({
      x: { domain: [0, NUM_STEPS], label: "step" },
      y: { domain: extent(updates), label: "update" },
      words,
    });
    drift.level(0).line(steps(updates), { name: "update", color: COLOR }).upright(view.n);
    const measured = schedule.magnitude
      ? ` Measured with gradients of ${show(schedule.magnitude)}, because there is no slope at 0.`
      : "";
    room.say(words + measured);
  };
  return room;
}
