// The formula: the explanation typeset, and beside the optimizer on gradients that played no part in finding it.

import { extent } from "../chart.js";
import { element } from "../controls.js";
import { normal, steps } from "../numbers.js";
import { Room } from "../room.js";
import { COLOR, largest, NUM_STEPS, subject } from "../subjects.js";

/** Share of updates below which a formula is only the best that was found. */
const EXPLAINED = 0.95;

export function formulaRoom() {
  const room = new Room(
    "formula",
    "Formula",
    "The optimizer as an equation, put together from what was found and checked on fresh gradients.",
  );
  const place = element("div", { class: "formula", tabindex: 0, role: "group", "aria-label": "The formula" });
  const parts = element("ul", { class: "parts" });
  room.controls.append(place, parts);
  const chart = room.picture("Updates on normal gradients: the optimizer (line), and its formula (dashed).", {
    height: 220,
  });
  let made = null;
  room.draw = () => {
    const one = subject();
    if (made !== one) {
      made = one;
      // Set by Python, which escapes what it does not know.
      place.innerHTML = (one.explanation.mathml ?? []).join("");
      parts.replaceChildren(...(one.explanation.parts ?? []).map((part) => element("li", {}, part)));
    }
    if (room.missing(one.explanation.reason)) return;
    const draw = normal(3);
    const gradients = Array.from({ length: NUM_STEPS }, () => 0.3 * largest() * draw());
    const own = one.runs.drive(gradients).updates;
    const given = one.explained_by.drive(gradients).updates;
    const squares = (values) => values.reduce((sum, x) => sum + x * x, 0);
    const share = 1 - squares(own.map((x, n) => x - given[n])) / squares(own);
    const percent = (x) => `${(100 * Math.max(x, 0)).toFixed(1)}%`;
    const words = `On all kinds of gradients it gives ${percent(one.explained)} of the updates, on the ones drawn here ${percent(share)}.`;
    const about =
      one.explained >= EXPLAINED
        ? ""
        : ` No rule of known parts explains this optimizer: this is the best one, worst on ${one.explanation.worst} (${percent(one.explanation.worst_share)}).`;
    const moved = one.runs.isChanged ? " It is the formula of the settings with which the page was made." : "";
    chart.begin({
      x: { domain: [0, NUM_STEPS], label: "step" },
      y: { domain: extent([...own, ...given]), label: "update" },
      words,
    });
    chart.level(0).line(steps(own), { name: "optimizer", color: COLOR, width: 3, opacity: 0.6 });
    chart.line(steps(given), { name: "formula", className: "tangent", dash: "5 3", width: 1.5 });
    room.say(words + about + moved);
  };
  return room;
}
