// The ledger: claims as a matrix of claims and tasks; each cell opens to what was measured and to its figure.

import { element } from "../controls.js";
import { Room } from "../room.js";
import { ledger } from "../subjects.js";
import { change, view } from "../view.js";

export function ledgerRoom() {
  const room = new Room(
    "ledger",
    "Ledger",
    "What the paper says of its optimizers, and whether it holds for these: ✓ reproduced, ◐ partly, ✗ not; dashed where the paper does not say it about this task. Choose a cell.",
    ["claim"],
  );
  room.node.classList.add("wide");
  const cells = new Map();
  const cell = (finding) => {
    if (!finding) return element("td", {});
    const made = element(
      "button",
      {
        type: "button",
        class: `cell ${finding.css}${finding.is_beyond ? " beyond" : ""}`,
        "aria-label": `${finding.says}, ${finding.task}: ${finding.verdict}`,
        title: `${finding.task}: ${finding.verdict}`,
        onclick: () => change({ claim: finding.id === view.claim ? "" : finding.id }),
      },
      finding.sign,
    );
    cells.set(finding.id, made);
    return element("td", {}, made);
  };
  const head = element("tr", {}, element("th", { scope: "col" }, "Claim"), ...ledger.tasks.map((task) => element("th", { scope: "col" }, task)));
  const rows = ledger.claims.map(({ says, findings }) =>
    element("tr", {}, element("th", { scope: "row" }, says), ...ledger.tasks.map((task) => cell(findings[task]))),
  );
  const table = element("table", { class: "matrix" }, element("thead", {}, head), element("tbody", {}, ...rows));
  const opened = element("div", { class: "finding" });
  room.controls.append(
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Claims and tasks" }, table),
    opened,
  );
  const findings = ledger.claims.flatMap((claim) => Object.values(claim.findings));
  let shown = "";
  room.draw = () => {
    const chosen = findings.find(({ id }) => id === view.claim);
    for (const [id, node] of cells) node.setAttribute("aria-pressed", id === view.claim);
    if (shown !== view.claim) {
      shown = view.claim;
      opened.replaceChildren(...(chosen ? aboutFinding(chosen) : []));
      if (chosen && document.activeElement === cells.get(chosen.id)) opened.scrollIntoView({ block: "nearest" });
    }
    room.say(chosen ? `${chosen.says} ${chosen.task}: ${chosen.verdict}. ${chosen.sentence}` : ledger.counts);
  };
  return room;
}

function aboutFinding({ quantities, rule, figure, command }) {
  const rows = quantities.map(({ name, value, interval }) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", { class: "number" }, value), element("td", {}, interval)),
  );
  const made = [element("table", {}, element("tbody", {}, ...rows)), element("p", {}, rule)];
  const picture = ledger.pictures[figure];
  if (picture) {
    made.push(element("img", { src: picture.image, alt: `Figure ${figure}: ${picture.title}` }));
    made.push(element("p", {}, element("a", { href: `${ledger.page}#figure-${figure}` }, `Figure ${figure} in the report`)));
  }
  made.push(element("p", {}, element("code", {}, command)));
  return made;
}
