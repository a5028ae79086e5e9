// The report of `homeserver conform --format json`, opened from a file. Rules: the file
// is read here and goes nowhere.

import { sections } from "/page/detail.js";
import { state, what } from "/page/record.js";
import { block, button, el, facts, run, shown } from "/page/text.js";

const RESULTS = {
  fail: ["✗", "bad"],
  warn: ["!", "warn"],
  error: ["‼", "warn"],
  "not-testable": ["–", "dim"],
  info: ["i", "dim"],
  pass: ["✓", "good"],
};
const LARGEST = 100 * 2 ** 20;

let report = null; // stays while the page is open
const filter = { text: "", result: "" };

/** The view. */
export function conformance() {
  const holder = el("div");
  const file = el("input", { type: "file", accept: ".json,application/json", id: "report" });
  const form = el("div", { class: "bar" }, el("label", { for: "report" }, "A report of homeserver conform --format json: "), file);
  file.addEventListener("change", () =>
    run(form, async () => {
      const [chosen] = file.files;
      if (chosen === undefined) return;
      report = read(await text(chosen).finally(() => {
        file.value = ""; // so that the same file can be chosen again
      }));
      draw();
    }),
  );
  const draw = () => holder.replaceChildren(...(report === null ? [usage()] : whole()));
  draw();
  return { node: el("div", { class: "panel" }, form, holder), leave() {} };
}

const usage = () =>
  el("div", {}, el("p", {}, "Make one, then open it here:"), el("pre", {}, "homeserver conform YOUR.SERVER --format json --output report.json"));

async function text(file) {
  if (file.size > LARGEST) throw new Error("the file is larger than 100 MB; it is no report");
  return file.text();
}

/** A report; throws a sentence for what is none. */
export function read(source) {
  let found;
  try {
    found = JSON.parse(source);
  } catch (problem) {
    throw new Error(`the file is not JSON: ${problem.message}`);
  }
  if (!Array.isArray(found?.checks)) throw new Error("the file has no list `checks`; open the output of `homeserver conform --format json`");
  found.checks.forEach((check, at) => {
    if (typeof check?.id !== "string") throw new Error(`\`checks[${at}]\` has no text \`id\``);
    if (!(check.result in RESULTS)) throw new Error(`\`checks[${at}].result\` is none of ${Object.keys(RESULTS).join(", ")}`);
  });
  return found;
}

function* whole() {
  yield el("h2", {}, "Conformance of ", shown(report.target, 255));
  yield facts([
    ["version", typeof report.version === "object" ? JSON.stringify(report.version) : report.version],
    ["specification", report.spec],
  ]);
  const list = el("div");
  const redraw = () => list.replaceChildren(...areas());
  const tiles = el("div", { class: "tiles", role: "group", "aria-label": "Results" });
  for (const [result, [sign, tone]] of Object.entries(RESULTS)) {
    const count = report.checks.filter((each) => each.result === result).length;
    if (count === 0) continue;
    const tile = button("", () => {
      filter.result = filter.result === result ? "" : result;
      for (const each of tiles.children) each.setAttribute("aria-pressed", each === tile && filter.result !== "");
      redraw();
    }, { "aria-pressed": String(filter.result === result) });
    tile.append(el("span", { class: tone }, el("b", {}, count), ` ${sign} ${result.replace("-", " ")}`));
    tiles.append(tile);
  }
  yield tiles;
  const search = el("input", { type: "search", placeholder: "Filter: an ID, a rule, a section", "aria-label": "Filter the checks", value: filter.text });
  search.addEventListener("input", () => {
    filter.text = search.value.trim().toLowerCase();
    redraw();
  });
  yield search;
  redraw();
  yield list;
}

function* areas() {
  const found = new Map();
  for (const check of report.checks) {
    if (filter.result !== "" && check.result !== filter.result) continue;
    const words = `${check.id} ${check.area} ${check.rule} ${check.section} ${check.observed}`.toLowerCase();
    if (!words.includes(filter.text)) continue;
    const area = String(check.area ?? "");
    if (!found.has(area)) found.set(area, []);
    found.get(area).push(check);
  }
  if (found.size === 0) yield el("p", { class: "dim" }, "No check is like this.");
  for (const [area, checks] of found) {
    yield el("h3", {}, shown(area, 100), ` (${checks.length})`);
    for (const check of checks) yield one(check);
  }
}

function one(check) {
  const [sign, tone] = RESULTS[check.result];
  const made = el(
    "details",
    {},
    el("summary", {}, el("b", { class: tone }, `${sign} `), shown(`${check.id}: ${check.rule ?? ""}`, 500), el("span", { class: "dim" }, ` ${check.result}`)),
  );
  // What is closed costs nothing.
  made.addEventListener("toggle", () => {
    if (!made.open || made.children.length > 1) return;
    made.append(
      facts([
        ["section", check.section],
        ["severity", check.severity],
        ["expected", long(check.expected)],
        ["observed", long(check.observed)],
        ["took", check.seconds === undefined ? "" : `${check.seconds} s`],
        ["again", `homeserver conform ${report.target} --only ${check.id}`],
      ]),
    );
    made.append(...passed(check.exchange));
  });
  return made;
}

/** All that went over the wire in a check, each exchange closed at first. */
function* passed(exchanges) {
  if (!Array.isArray(exchanges)) {
    if (exchanges !== null && exchanges !== undefined) yield block(long(exchanges));
    return;
  }
  for (const each of exchanges.filter((one) => one !== null && typeof one === "object")) {
    const made = el("details", {}, el("summary", {}, shown(`${what(each)} ${state(each)}`, 300)));
    made.addEventListener("toggle", () => {
      if (!made.open || made.children.length > 1) return;
      try {
        made.append(...sections(each));
      } catch {
        // A file may have anything here.
        made.append(block(long(each)));
      }
    });
    yield made;
  }
}

const long = (value) => (value === null || value === undefined || typeof value === "string" ? value : JSON.stringify(value, null, 2));
