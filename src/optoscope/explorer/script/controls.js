// Native form controls that show a value and change it: the keyboard and screen readers know them.

import { format } from "d3";

const digits = format(".3~r");
const exponential = format(".2~e");
export const show = (x) => {
  if (!Number.isFinite(x)) return "not finite";
  const isPlain = x === 0 || (Math.abs(x) >= 1e-3 && Math.abs(x) < 1e5);
  return isPlain ? digits(x) : exponential(x).replace("e-", "e−");
};

let count = 0;

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** From the places of a slider (0 to 1) to values and back. */
export const LINEAR = (low, high) => ({ to: (t) => low + t * (high - low), from: (x) => (x - low) / (high - low) });
export const LOGARITHMIC = (low, high) => ({
  to: (t) => low * (high / low) ** t,
  from: (x) => Math.log(Math.max(x, low) / low) / Math.log(high / low),
});
/** Shares below 1, finer the nearer they are to 1. */
export const SHARE = (high) => ({
  to: (t) => (t === 0 ? 0 : 1 - (1 - high) ** t),
  from: (x) => Math.min(1, Math.log(1 - Math.min(x, high)) / Math.log(1 - high)),
});
/** Whole numbers. */
export const WHOLE = (low, high) => ({
  to: (t) => Math.round(low + t * (high - low)),
  from: (x) => (x - low) / (high - low),
  high,
  low,
});

/** A slider: `read` gives the value, `write` takes a new one, `scale` may depend on what is looked at. */
export function slider(label, { read, write, scale, unit = (x) => show(x), steps = 200 }) {
  const id = `control${count++}`;
  const current = () => (typeof scale === "function" ? scale() : scale);
  const input = element("input", { id, type: "range", min: 0, max: steps, step: 1 });
  const output = element("span", { class: "value", "aria-hidden": true });
  input.addEventListener("input", () => write(current().to(Number(input.value) / steps)));
  const node = element("div", { class: "control" }, element("label", { for: id }, label), input, output);
  node.update = () => {
    const s = current();
    if (s.high !== undefined) steps = Math.max(1, s.high - s.low);
    input.max = steps;
    input.value = Math.round(s.from(read()) * steps);
    output.textContent = unit(read());
    input.setAttribute("aria-valuetext", unit(read()));
  };
  return node;
}

export function choice(label, { options, read, write }) {
  const id = `control${count++}`;
  const select = element("select", { id });
  select.addEventListener("change", () => write(select.value));
  const node = element("div", { class: "control" }, element("label", { for: id }, label), select);
  node.update = () => {
    const wanted = options();
    if (select.dataset.made !== JSON.stringify(wanted)) {
      select.replaceChildren(...wanted.map(([value, text]) => element("option", { value }, text)));
      select.dataset.made = JSON.stringify(wanted);
    }
    select.value = String(read());
  };
  return node;
}

export function tick(label, { read, write, color = null }) {
  const id = `control${count++}`;
  const input = element("input", { id, type: "checkbox" });
  input.addEventListener("change", () => write(input.checked));
  const text = element("label", { for: id }, label);
  const swatch = element("span", { class: "swatch", "aria-hidden": true });
  if (color) text.prepend(swatch);
  const node = element("div", { class: "tick" }, input, text);
  node.update = () => {
    input.checked = read();
    if (color) swatch.style.background = color();
  };
  return node;
}

export const button = (label, act) => element("button", { type: "button", onclick: act }, label);
