// Hyperparameters: what can be moved, and what the rule is then.

import { extent } from "../chart.js";
import { button, element, LOGARITHMIC, SHARE, show, slider } from "../controls.js";
import { known } from "../known.js";
import { steps } from "../numbers.js";
import { Room } from "../room.js";
import { COLOR, moved, subject } from "../subjects.js";
import { change } from "../view.js";

const NUM_SHOWN = 60;

/** Write the setting of the optimizer that is looked at into the view. */
function write(name, value) {
  const all = moved();
  all[subject().index][name] = value;
  const words = all.flatMap((one, i) => Object.entries(one).map(([key, x]) => `${i}:${key}:${Number(x.toPrecision(6))}`));
  change({ settings: words.join(" ") });
}

export function settingsRoom() {
  const room = new Room(
    "settings",
    "Hyperparameters",
    "Move what can be moved; the sentence, modes, edges and every room that runs the optimizer follow at once.",
  );
  const place = element("div", { class: "controls" });
  const reset = button("As it was", () => change({ settings: "" }));
  room.add(place, reset);
  const chart = room.picture("What follows a gradient of 1 at step 0, near rest: now, and as it was (pale).", {
    height: 220,
  });
  let made = null;
  place.update = () => {
    const one = subject();
    if (made !== one.index) {
      made = one.index;
      place.replaceChildren(
        ...one.runs.settings.map(({ name, low, high, kind }) =>
          slider(name.replaceAll("_", " "), {
            scale: kind === "share" ? SHARE(high) : LOGARITHMIC(low, high),
            read: () => subject().runs.values[name],
            write: (value) => write(name, value),
            unit: (x) => (x > 0.99 && x < 1 ? String(Number(x.toFixed(6))) : show(x)),
          }),
        ),
      );
    }
    for (const node of place.children) node.update();
    reset.hidden = !one.runs.settings.length;
  };
  room.draw = () => {
    const one = subject();
    const { modes, summary, isLive } = known(one);
    const now = modes.modes?.response(NUM_SHOWN);
    chart.figure.hidden = !now || !one.runs.settings.length;
    if (!one.runs.settings.length) {
      room.say(
        `${one.name} has no settings that could be moved here: its numbers are learned weights, or are fixed inside the function that made it.`,
      );
      return;
    }
    const words = isLive ? `As moved: ${summary}.` : "As it was when the page was made.";
    if (now) drawResponses(chart, now, one.linear?.response(NUM_SHOWN) ?? [], words);
    const about = isLive
      ? " Computed here, from the rule's own derivatives; mechanisms without a number are those found when the page was made."
      : "";
    room.say(words + about);
  };
  return room;
}

function drawResponses(chart, now, before, words) {
  chart.begin({
    x: { domain: [0, NUM_SHOWN], label: "step" },
    y: { domain: extent([...now, ...before]), label: "update" },
    words,
  });
  chart.level(0).line(steps(before), { name: "as it was", className: "past", width: 4, opacity: 0.5 });
  chart.line(steps(now), { name: "now", color: COLOR });
}
