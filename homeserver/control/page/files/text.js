// Text of others, as nodes of a document. Rules: a text becomes text nodes and nothing
// else. A character that could change how others look, or that cannot be seen, is shown
// by its number. A long text is cut; the rest is shown when it is asked for.

// Controls but line feed and tab; marks of direction; what has no width; tags;
// private and unpaired code units.
const ODD =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]|[\u{e0000}-\u{e0fff}]|[\ud800-\udfff]/gu;

const CELL = 300; // characters of a text on one line
const BLOCK = 20_000; // characters of a text on several

const number = (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`;

/** A text on one line, for what takes no nodes: an option, a title. */
export function plain(value, limit = CELL) {
  const text = String(value ?? "");
  const cut = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return cut.replace(/\n/g, "↵").replace(/\t/g, " ").replace(ODD, number);
}

/** A text as nodes: odd characters are marked. */
export function shown(value, limit = CELL) {
  const made = document.createElement("bdi");
  const text = String(value ?? "");
  const cut = text.slice(0, limit);
  let from = 0;
  for (const found of cut.matchAll(ODD)) {
    made.append(cut.slice(from, found.index), el("span", { class: "odd" }, number(found[0])));
    from = found.index + found[0].length;
  }
  made.append(cut.slice(from));
  if (text.length > limit) made.append("…");
  return made;
}

/** A text on several lines, with a button for more of it where it is long. */
export function block(value) {
  const text = String(value ?? "");
  let end = Math.min(BLOCK, text.length);
  const pre = el("pre", { tabindex: 0 }, shown(text.slice(0, end), BLOCK));
  if (end === text.length) return pre;
  const left = () => `Show more (${(text.length - end).toLocaleString("en")} characters are left)`;
  const more = el("button", { type: "button" }, left());
  more.addEventListener("click", () => {
    pre.append(shown(text.slice(end, end + BLOCK), BLOCK));
    end = Math.min(end + BLOCK, text.length);
    more.textContent = left();
    more.hidden = end === text.length;
  });
  return el("div", {}, pre, more);
}

/** An element with attributes and children; strings become text nodes. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A button that calls `act`; what that throws is shown beside it. */
export function button(label, act, attributes = {}) {
  const made = el("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", () => run(made, act));
  return made;
}

/** Run `act`; what it throws is shown after `place`, in place of the last problem. */
export async function run(place, act) {
  if (place.nextElementSibling?.classList.contains("problem")) place.nextElementSibling.remove();
  try {
    await act();
  } catch (problem) {
    place.after(el("p", { class: "problem", role: "alert" }, shown(problem.message, 2000)));
  }
}

/** Pairs as a list of definitions, without those that have no value. */
export function facts(pairs) {
  const list = el("dl");
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    list.append(el("dt", {}, name), el("dd", {}, value instanceof Node ? value : shown(value, 2000)));
  }
  return list;
}

/** A table; cells are texts or nodes. */
export function table(heads, rows) {
  const cell = (value) => el("td", {}, value instanceof Node ? value : shown(value, 1000));
  return el(
    "div",
    { class: "wide" },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell)))),
    ),
  );
}

/** Seconds in a few characters. */
export function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 1) return `${(value * 1000).toFixed(value < 0.1 ? 1 : 0)} ms`;
  return `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

/** Milliseconds since 1970 as the time of the day. */
export function time(ts) {
  if (ts === null || ts === undefined) return "";
  const at = new Date(ts);
  if (Number.isNaN(at.getTime())) return String(ts); // a peer's may be after the year 275760
  const two = (part) => String(part).padStart(2, "0");
  const rest = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${rest}`;
}

/** Milliseconds since 1970 as day and time. */
export function moment(ts) {
  if (ts === null || ts === undefined) return "";
  const at = new Date(ts);
  if (Number.isNaN(at.getTime())) return String(ts);
  return `${at.toISOString().slice(0, 10)} ${time(ts)}`;
}
