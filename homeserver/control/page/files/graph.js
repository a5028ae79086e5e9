// The events of a room as a graph: a row for each, the oldest at the top, and edges to
// those that it comes after. Branches run side by side in lanes.

import { el, shown, time } from "/page/text.js";

const ROW = 26; // pixels from one event to the next
const LANE = 14; // and from one branch to the next
const MOST_LANES = 24; // a flood of branches shares the last one
const SVG = "http://www.w3.org/2000/svg";

// A shape and a word for each verdict: nothing is told by colour alone.
const SIGNS = {
  accepted: ["M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z", "good"],
  "soft-failed": ["M0,-6L6,0L0,6L-6,0z", "warn"],
  rejected: ["M-5,-5L5,5M5,-5L-5,5", "bad"],
};
const OTHER = ["M-5,-5h10v10h-10z", "dim"];

/** The lane of each event, and the rows of those that it comes after. */
export function lay(events) {
  const rows = new Map(events.map((each, row) => [each.event_id, row]));
  const earlier = events.map((each, row) => each.prev_events.map((id) => rows.get(id)).filter((prev) => prev < row));
  const left = events.map(() => 0); // how many events to come come after it
  for (const prev of earlier) for (const row of prev) left[row] += 1;
  const ends = []; // by lane: the row that the lane waits to lead on from, or null
  const lanes = events.map((_, row) => {
    for (const prev of earlier[row]) left[prev] -= 1;
    let lane = ends.findIndex((end) => end !== null && earlier[row].includes(end));
    ends.forEach((end, at) => {
      if (end !== null && earlier[row].includes(end) && left[end] === 0 && at !== lane) ends[at] = null;
    });
    if (lane === -1) lane = ends.indexOf(null);
    if (lane === -1) lane = ends.length;
    if (lane >= MOST_LANES) return MOST_LANES - 1;
    ends[lane] = left[row] > 0 ? row : null;
    return lane;
  });
  return { lanes, earlier };
}

/** The graph; `choose` is called with the event of the row that is clicked. */
export function graph(events, extremities, choose) {
  const { lanes, earlier } = lay(events);
  const width = LANE * (Math.max(0, ...lanes) + 2);
  const drawing = node("svg", { width, height: ROW * events.length, "aria-hidden": "true" });
  const x = (row) => LANE * (lanes[row] + 1);
  const y = (row) => ROW * (row + 0.5);
  earlier.forEach((prev, row) => {
    for (const from of prev) {
      const bend = lanes[from] < lanes[row] ? y(from) + ROW : y(row) - ROW;
      const way = lanes[from] === lanes[row] ? "" : `L${lanes[from] < lanes[row] ? x(row) : x(from)},${bend}`;
      drawing.append(node("path", { class: "edge", d: `M${x(from)},${y(from)}${way}L${x(row)},${y(row)}` }));
    }
  });
  events.forEach((event, row) => {
    const [d, tone] = SIGNS[event.verdict] ?? OTHER;
    drawing.append(node("path", { class: `event ${tone}`, d, transform: `translate(${x(row)},${y(row)})` }));
  });
  const ends = new Set(extremities);
  const lines = el("ol", { "aria-label": "Events, the oldest first" }, ...events.map((each) => line(each, ends.has(each.event_id), choose)));
  return el("div", { class: "graph" }, drawing, lines);
}

function line(event, isEnd, choose) {
  const [, tone] = SIGNS[event.verdict] ?? OTHER;
  const made = el(
    "button",
    { type: "button", title: event.event_id },
    el("span", { class: "dim" }, `${time(event.origin_server_ts)} ${event.depth} `),
    shown(event.type, 60),
    event.state_key ? el("span", {}, " ", shown(event.state_key, 60)) : null,
    event.verdict === "accepted" ? null : el("span", { class: tone }, ` ${event.verdict}`),
    isEnd ? el("span", { class: "dim" }, " (an end)") : null,
  );
  made.addEventListener("click", () => {
    made.closest("ol").querySelector("[aria-current]")?.removeAttribute("aria-current");
    made.setAttribute("aria-current", "true");
    choose(event);
  });
  return el("li", {}, made);
}

function node(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
