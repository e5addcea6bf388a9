// The update function: one step, in the state in which earlier gradients left the optimizer.

import { extent } from "../chart.js";
import { show } from "../controls.js";
import { clamp, grid } from "../numbers.js";
import { Room } from "../room.js";
import { gradientSlider, pastSliders } from "../shared.js";
import { COLOR, constantRun, largest, past, present, subject } from "../subjects.js";
import { change, view } from "../view.js";

export function updateRoom() {
  const room = new Room(
    "update",
    "Update function",
    "One step: what the optimizer does with the gradient that it sees now, in the state in which earlier gradients left it. Drag in the picture.",
    ["g", "past", "n"],
  );
  room.add(gradientSlider(), ...pastSliders());
  const chart = room
    .picture("Update against gradient, its tangent (dashed), and the same at earlier steps (pale).", { height: 340 })
    .onDrag((x) => change({ g: clamp(x / largest(), -1, 1) }));
  room.draw = () => {
    const { runs } = subject();
    const { states } = constantRun(subject(), past());
    const [G, g] = [largest(), present()];
    const gradients = [...new Set([...grid(-G, G, 201), g])].sort((a, b) => a - b);
    const curve = (h) => gradients.map((x) => [x, runs.update(h, x).update]);
    const earlier = [0, 0.25, 0.5, 0.75]
      .map((share) => Math.round(share * view.n))
      .filter((n, i, all) => n < view.n && all.indexOf(n) === i);
    const h = states[view.n];
    const now = curve(h);
    const behind = earlier.map((n) => curve(states[n]));
    const { update, learningRate } = runs.update(h, g);
    const words = `At a gradient of ${show(g)} the update is ${show(update)}. The effective learning rate there is ${show(learningRate)}`;
    chart.begin({
      x: { domain: [-G, G], label: "gradient" },
      y: { domain: extent([now, ...behind].flat().map(([, y]) => y)), label: "update" },
      words,
    });
    chart.level(0).upright(0, { className: "zero" });
    behind.forEach((points, i) =>
      chart.line(points, { name: `step ${earlier[i]}`, className: "past", opacity: 0.35 + 0.12 * i }),
    );
    chart.line(now, { name: `step ${view.n}`, color: COLOR, width: 2.5 });
    chart.line(
      grid(-G, G, 2).map((x) => [x, update - learningRate * (x - g)]),
      { className: "tangent", dash: "6 4", width: 1.5 },
    );
    chart.dots([[g, update]], { name: "here", className: "handle", color: COLOR, radius: 7 });
    room.say(`${words} (minus the slope of the dashed tangent).`);
  };
  return room;
}
