// Two texts beside each other, with what differs. Rules: a differing line has a sign as
// well as a colour, and its differing middle is underlined.

import { el, shown } from "/page/text.js";

const MOST_LINES = 400; // compared with each other; the table takes their product

/** A table of two texts, or of two lists of lines. */
export function diff(one, other, oneHead, otherHead) {
  const rows = pairs(lines(one), lines(other)).map(([left, right]) => row(left, right));
  return el(
    "table",
    { class: "diff" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, oneHead), el("th", { scope: "col" }, otherHead))),
    el("tbody", {}, ...rows),
  );
}

const lines = (text) => String(text).split("\n");

function row(left, right) {
  if (left === right) return el("tr", { class: "same" }, side(" ", left), side(" ", right));
  const [before, after] = left === null || right === null ? [0, 0] : common(left, right);
  return el("tr", {}, side("−", left, "gone", before, after), side("+", right, "come", before, after));
}

function side(sign, text, kind = null, before = 0, after = 0) {
  if (text === null) return el("td");
  const word = { "−": "signed: ", "+": "should be: " }[sign];
  const cell = el("td", { class: kind }, el("span", { class: "sign", title: word ?? null }, `${sign} `));
  if (kind === null) cell.append(shown(text, 5000));
  else {
    const end = text.length - after;
    cell.append(
      shown(text.slice(0, before), 5000),
      el("mark", {}, shown(text.slice(before, end), 5000)),
      shown(text.slice(end), 5000),
    );
  }
  return cell;
}

/** How many characters two texts have in common at their begin, and at their end. */
export function common(one, other) {
  const most = Math.min(one.length, other.length);
  let before = 0;
  while (before < most && one[before] === other[before]) before++;
  let after = 0;
  while (after < most - before && one.at(-1 - after) === other.at(-1 - after)) after++;
  return [before, after];
}

/** Lines of two texts in pairs; null stands for a line that the other has alone. */
export function pairs(one, other) {
  if (one.length > MOST_LINES || other.length > MOST_LINES) {
    const count = Math.max(one.length, other.length);
    return Array.from({ length: count }, (_, at) => [one[at] ?? null, other[at] ?? null]);
  }
  // The longest common subsequence: `length[i][j]` is that of what follows i and j.
  const length = Array.from({ length: one.length + 1 }, () => new Uint16Array(other.length + 1));
  for (let i = one.length - 1; i >= 0; i--) {
    for (let j = other.length - 1; j >= 0; j--) {
      length[i][j] = one[i] === other[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
    }
  }
  const found = [];
  let gone = [];
  let come = [];
  const flush = () => {
    for (let at = 0; at < Math.max(gone.length, come.length); at++) found.push([gone[at] ?? null, come[at] ?? null]);
    gone = [];
    come = [];
  };
  let [i, j] = [0, 0];
  while (i < one.length || j < other.length) {
    if (i < one.length && j < other.length && one[i] === other[j]) {
      flush();
      found.push([one[i++], other[j++]]);
    } else if (j >= other.length || (i < one.length && length[i + 1][j] >= length[i][j + 1])) gone.push(one[i++]);
    else come.push(other[j++]);
  }
  flush();
  return found;
}
