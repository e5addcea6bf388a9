// The summary of an optimizer whose settings were moved, from its modes: the thresholds and words are Python's.

import { show } from "./controls.js";
import { C } from "./numbers.js";

/** Share of the response later than the present step from which on there is momentum; below the other there is none. */
const [PRESENT, ABSENT] = [0.1, 0.05];
/** Relative residual that the dominant modes may leave of the response; its length in steps. */
const [RESIDUAL, HORIZON] = [0.01, 2000];
/** Decays that vanish beside others; decays that are one. */
const [VANISHES, SAME] = [0.02, 1e-6];
/** Share of a decay by which the first step behind a gradient must depart from it where there is a direct term. */
const DIRECT = 5e-3;
/** Share of all learning rates up to which a mode has none. */
const QUIET = 1e-9;

const norm = (values) => Math.hypot(...values);
/** A decay, so that it can be told from 1. */
export const decayInWords = ([re, im]) => {
  const size = Math.hypot(re, im);
  const away = Math.abs(1 - size);
  const places = away < 1e-9 ? 2 : Math.max(2, Math.ceil(-Math.log10(away) - 1e-9));
  const wave = Math.abs(im) > 1e-6 ? `±${Math.abs(im).toFixed(places)}i` : "";
  const memory = places > 2 && size < 1 ? ` (${Math.round(1 / (1 - size)).toLocaleString("en")} steps)` : "";
  return re.toFixed(places) + wave + memory;
};

/** The momentum of a linear optimizer: `effect`, the share of its response that comes later, and a clause. */
export function momentumInWords(modes) {
  const response = modes.response(HORIZON).filter(Number.isFinite);
  const total = response.reduce((sum, x) => sum + Math.abs(x), 0);
  const effect = total ? 1 - Math.abs(response[0]) / total : 0;
  if (effect < ABSENT) return { effect, clause: "no momentum" };
  const clause =
    effect > PRESENT
      ? momentumOf(dominant(modes, response), response)
      : `momentum undecided (${(100 * effect).toFixed(1)}% of the response to a gradient comes later than the present step)`;
  return { effect, clause };
}

/** The fewest modes, conjugate pairs together, that make the response. */
function dominant(modes, response) {
  const parts = modes.units.map((unit) => ({
    decay: modes.decays[unit[0]],
    part: response.map((_, k) =>
      unit.reduce((sum, j) => {
        const size = C.abs(modes.decays[j]) ** k;
        const angle = k * Math.atan2(modes.decays[j][1], modes.decays[j][0]);
        return sum - size * (modes.rates[j][0] * Math.cos(angle) - modes.rates[j][1] * Math.sin(angle));
      }, 0),
    ),
  }));
  if (modes.direct) parts.push({ decay: [0, 0], part: response.map((_, k) => (k ? 0 : -modes.direct)) });
  const merged = [];
  for (const one of parts) {
    const same = merged.find(({ decay }) => C.abs(C.sub(decay, one.decay)) <= SAME);
    if (same) same.part = same.part.map((x, k) => x + one.part[k]);
    else merged.push(one);
  }
  const [chosen, enough] = [[], RESIDUAL * norm(response)];
  let left = response;
  while (merged.length && norm(left) > enough) {
    const sizes = merged.map(({ part }) => norm(left.map((x, k) => x - part[k])));
    const [next] = merged.splice(sizes.indexOf(Math.min(...sizes)), 1);
    left = left.map((x, k) => x - next.part[k]);
    chosen.push(next.decay);
  }
  return chosen.filter((decay) => C.abs(decay) > VANISHES).sort((a, b) => C.abs(a) - C.abs(b));
}

function momentumOf(decays, response) {
  const words = decays.map(decayInWords);
  if (!words.length) return "momentum";
  if (words.length > 4) return `momentum spread over ${words.length} timescales up to ${words.at(-1)}`;
  const number = ["", "", "two", "three", "four"][words.length];
  let head =
    words.length === 1
      ? `momentum with timescale ${words[0]}`
      : `momentum with ${number} timescales, ${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
  if (decays.length === 1) {
    const [decay] = decays[0];
    const first = response[1] / response[0];
    const nesterovs = decay ** 2 / (1 + decay);
    if (Math.abs(first - decay) > DIRECT * Math.abs(decay)) {
      head += Math.abs(first - nesterovs) < DIRECT ** 2 ? " (Nesterov's)" : " and a direct term";
    }
  }
  return head;
}
/** The whole summary: momentum and the memory of a gain from the modes; what settings do not touch, as it was found. */
export function summaryInWords(one, momentum, modes, edge) {
  const clauses = one.verdicts.flatMap(({ mechanism, verdict, summary, kind }) => {
    if (mechanism === "grouping") return [];
    if (mechanism === "momentum") return momentum ? [momentum.clause] : ["momentum undecided (no derivative)"];
    if (verdict !== "present") return verdict === "absent" ? [`no ${mechanism}`] : [];
    if (mechanism !== "adaptation" || kind !== "squared gradient" || !modes) return [summary];
    // To first order a mean square answers to no gradient: its mode has no learning rate.
    const whole = Math.abs(modes.direct) + modes.rates.reduce((sum, rate) => sum + C.abs(rate), 0);
    const quiet = modes.decays.filter((_, j) => C.abs(modes.rates[j]) <= QUIET * whole);
    const memory = quiet.map(([decay]) => `over ${show(1 / (1 - decay))} steps (decay ${Number(decay.toFixed(6))})`);
    return [["a gain driven by squared gradients", ...memory].join(" ")];
  });
  if (edge) clauses.push(`stable up to a curvature of ${show(edge)}${one.stability.is_held ? " there" : ""}`);
  return clauses.join("; ");
}
