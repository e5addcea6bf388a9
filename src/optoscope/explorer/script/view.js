// What is looked at: one object, kept in the page's address, that all rooms read and change.

/** Values of a fresh page. Gradients are shares of the largest one that is shown, so that they fit every optimizer; null
 * and a curvature of 0 stand for what the page chooses. `room` is scrolled to; `only` names rooms shown by themselves. */
const FRESH = {
  who: 0,
  other: 1,
  largest: 1,
  g: 0.4,
  past: 0,
  n: 0,
  mode: 0,
  off: "",
  curvature: 0,
  push: 0.1,
  noise: 0,
  clip: 0,
  decay: 0,
  steps: 200,
  landscape: "quadratic",
  condition: 10,
  sharpness: 1,
  x: null,
  y: null,
  jitter: null,
  race: 200,
  racers: "",
  signal: "normal",
  size: 0.3,
  settings: "",
  sweep: 0,
  claim: "",
  moment: 0,
  room: "",
  only: "",
};

export const view = { ...FRESH };
const watchers = [];
let isWaiting = false;
let waitingForRest;

/** Call a function whenever the view changes, once a frame at most. */
export function watch(watcher) {
  watchers.push(watcher);
}

export function change(values) {
  Object.assign(view, values);
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    for (const watcher of watchers) watcher();
    clearTimeout(waitingForRest);
    waitingForRest = setTimeout(writeAddress, 200);
  });
}

/** The fragment that brings this view back, or one that differs in a few values. */
export function address(other = {}) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...view, ...other })) {
    if (value !== FRESH[name]) words.set(name, typeof value === "number" ? Number(value.toPrecision(8)) : value);
  }
  return `#${words}`;
}

function writeAddress() {
  try {
    history.replaceState(null, "", address());
  } catch {
    // A frame inside another page has no address of its own.
  }
}

export function readAddress() {
  if (location.hash && !location.hash.includes("=")) return; // the address of a room
  const words = new URLSearchParams(location.hash.slice(1));
  const found = { ...FRESH };
  for (const [name, text] of words) {
    if (!(name in FRESH)) continue;
    const isNumber = typeof FRESH[name] === "number" || FRESH[name] === null;
    if (!isNumber) found[name] = text;
    else if (text !== "" && Number.isFinite(Number(text))) found[name] = Number(text);
  }
  Object.assign(view, found);
}

/** Lists are kept as text in the view, such as "0 3". */
export const listOf = (text) => (text ? text.split(" ").map(Number) : []);
export const textOf = (list) => list.join(" ");
