// The last minutes of the time line as lanes, one for each server of ours. Rules: the
// list has everything that is drawn here, so this picture is for the eye alone; what is
// wrong is drawn as a cross, and so is told without colour.

import { outcome } from "/page/record.js";
import { el, plain } from "/page/text.js";

const LANES = 6;
const HEIGHT = 18;
const LABEL = 150;
const MOST = 2000; // exchanges, the latest
const LEAST_SPAN = 5; // seconds

/** A canvas; `show(items)` draws, `choose(item)` is called for one that is clicked. */
export function lanes(choose) {
  const node = el("canvas", { id: "lanes", "aria-hidden": "true" });
  let items = [];
  let spots = [];
  let isAsked = false;

  const draw = () => {
    isAsked = false;
    if (!node.isConnected || node.clientWidth === 0) return;
    const seen = items.slice(-MOST).filter((each) => each.started_ts !== null && each.server);
    const names = [...latest(seen)].slice(0, LANES);
    const width = node.clientWidth;
    const height = Math.max(2, names.length) * HEIGHT + 6; // as in the style sheet
    const scale = window.devicePixelRatio || 1;
    node.style.height = `${height}px`;
    node.width = width * scale;
    node.height = height * scale;
    const pen = node.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name);
    const end = Math.max(...seen.map(over), 0);
    const start = Math.min(Math.max(seen[0]?.started_ts ?? 0, end - 120_000), end - LEAST_SPAN * 1000);
    const left = Math.min(LABEL, width / 3);
    const x = (ts) => left + ((ts - start) / (end - start)) * (width - left - 10);
    spots = [];
    pen.font = "11px sans-serif";
    pen.textBaseline = "middle";
    names.forEach((name, index) => {
      const y = 3 + index * HEIGHT + HEIGHT / 2;
      pen.fillStyle = colour("--dim");
      pen.fillText(plain(name, 22), 8, y, left - 14);
      pen.fillStyle = colour("--line");
      pen.fillRect(left, y, width - left - 8, 1);
    });
    for (const each of seen) {
      const lane = names.indexOf(each.server);
      if (lane < 0 || each.started_ts < start) continue;
      const y = 3 + lane * HEIGHT + HEIGHT / 2;
      const [from, to] = [x(each.started_ts), x(over(each))];
      spots.push([from, Math.max(to, from + 3), y, each]);
      if (outcome(each) === "wrong") {
        pen.strokeStyle = colour("--bad");
        pen.lineWidth = 2;
        pen.beginPath();
        pen.moveTo(from - 4, y - 4);
        pen.lineTo(from + 4, y + 4);
        pen.moveTo(from + 4, y - 4);
        pen.lineTo(from - 4, y + 4);
        pen.stroke();
        continue;
      }
      pen.fillStyle = colour(each.direction === "in" ? "--accent" : "--good");
      // In is above the line of the lane, out is below it.
      pen.fillRect(from, each.direction === "in" ? y - 6 : y + 2, Math.max(2, to - from), 5);
    }
  };

  node.addEventListener("click", (event) => {
    const near = spots
      .filter(([from, to, y]) => Math.abs(event.offsetY - y) < HEIGHT / 2 && event.offsetX > from - 6 && event.offsetX < to + 6)
      .at(-1);
    if (near) choose(near[3]);
  });
  const ask = () => {
    if (isAsked) return;
    isAsked = true;
    setTimeout(() => requestAnimationFrame(draw), 150);
  };
  new ResizeObserver(ask).observe(node);
  return {
    node,
    show(all) {
      items = all;
      ask();
    },
  };
}

const over = (each) => each.started_ts + (each.seconds ?? 0) * 1000;

/** The servers of some exchanges, that of the latest exchange first. */
function latest(seen) {
  const names = new Set();
  for (let at = seen.length - 1; at >= 0 && names.size < LANES; at--) names.add(seen[at].server);
  return names;
}
