// Two optimizers on the same gradients, over each other, and where they part.

import { extent } from "../chart.js";
import { choice, LOGARITHMIC, show, slider } from "../controls.js";
import { normal, steps } from "../numbers.js";
import { Room } from "../room.js";
import { colorOf, largest, NUM_STEPS, other, subject, subjects } from "../subjects.js";
import { change, view } from "../view.js";

export const SIGNALS = {
  constant: ["a constant gradient", (size) => () => size],
  alternating: ["an alternating gradient", (size) => (n) => (n % 2 ? -size : size)],
  impulse: ["one gradient, then none", (size) => (n) => (n ? 0 : size)],
  turn: ["a gradient that turns halfway", (size) => (n) => (n < NUM_STEPS / 2 ? size : -size)],
  ramp: ["a gradient that grows from nothing", (size) => (n) => (size * n) / NUM_STEPS],
  normal: [
    "normal gradients",
    (size) => {
      const draw = normal(5);
      return () => size * draw();
    },
  ],
};
/** Share of the largest update by which two must differ to have parted. */
const PARTED = 0.01;

export function compareRoom() {
  const room = new Room(
    "compare",
    "Compare",
    "Two optimizers on the same gradients, over each other, and where they part.",
    ["other", "signal", "size"],
  );
  room.add(
    choice("Other optimizer", {
      options: () => subjects.map(({ name, index }) => [index, name]),
      read: () => other().index,
      write: (i) => change({ other: Number(i) }),
    }),
    choice("Gradients", {
      options: () => Object.entries(SIGNALS).map(([name, [label]]) => [name, label]),
      read: () => view.signal,
      write: (signal) => change({ signal }),
    }),
    slider("Their size", {
      scale: LOGARITHMIC(1e-4, 1),
      read: () => view.size,
      write: (size) => change({ size }),
      unit: () => show(view.size * largest()),
    }),
  );
  const chart = room.picture("Updates of both; below, the difference.", { height: 300 });
  const rest = room.picture("Difference.", { height: 160 });
  room.draw = () => {
    const [first, second] = [subject(), other()];
    const [label, make] = SIGNALS[view.signal] ?? SIGNALS.normal;
    const gradient = make(view.size * largest());
    const gradients = Array.from({ length: NUM_STEPS }, (_, n) => gradient(n));
    const [a, b] = [first, second].map(({ runs }) => runs.drive(gradients).updates);
    const difference = a.map((x, n) => x - b[n]);
    const top = Math.max(...a.map(Math.abs), ...b.map(Math.abs));
    const parting = difference.findIndex((x) => !(Math.abs(x) <= PARTED * top));
    const words =
      first === second
        ? "This is one optimizer, twice; choose another one."
        : parting < 0
          ? `On ${label} they stay within ${100 * PARTED}% of the largest update.`
          : `On ${label} they part at step ${parting}: ${first.name} ${show(a[parting])}, ${second.name} ${show(b[parting])}.`;
    const x = { domain: [0, NUM_STEPS], label: "step" };
    chart.begin({ x, y: { domain: extent([...a, ...b]), label: "update" }, words });
    chart.level(0).line(steps(a), { name: first.name, color: colorOf(0), width: 3, opacity: 0.7 });
    chart.line(steps(b), { name: second.name, color: colorOf(1), dash: "5 3", width: 1.8 });
    if (parting >= 0) chart.upright(parting, { text: "they part" });
    rest.begin({ x, y: { domain: extent(difference), label: "difference" }, words });
    rest.level(0).line(steps(difference), { name: "difference", className: "past" });
    room.say(words);
  };
  return room;
}
