// Controls that several rooms have: what is moved in one moves in all.

import { LINEAR, show, slider, WHOLE } from "./controls.js";
import { NUM_STEPS, past, present } from "./subjects.js";
import { change, view } from "./view.js";

const SHARES = LINEAR(-1, 1);

export const gradientSlider = () =>
  slider("Gradient now", {
    scale: SHARES,
    read: () => view.g,
    write: (g) => change({ g }),
    unit: () => show(present()),
  });

export const pastSliders = () => [
  slider("Gradient before", {
    scale: SHARES,
    read: () => view.past,
    write: (x) => change({ past: x }),
    unit: () => show(past()),
  }),
  slider("for so many steps", { scale: WHOLE(0, NUM_STEPS), read: () => view.n, write: (n) => change({ n }) }),
];
