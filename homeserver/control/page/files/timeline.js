// The live time line: a filter, lanes, a list, and the exchange that is chosen.

import { has, remove, save } from "/page/api.js";
import { pane } from "/page/detail.js";
import { lanes } from "/page/lanes.js";
import { matches, outcome, state, what } from "/page/record.js";
import { Rows } from "/page/rows.js";
import { button, el, plain, run, seconds, shown, time } from "/page/text.js";

const BAR = 60; // pixels of a second or more

const filter = { text: "", server: "", direction: "", kind: "", wrong: false };

/** The view; `id` is that of the exchange to show at first. */
export function timeline(exchanges, id) {
  const count = el("span", { class: "dim", role: "status" });
  const detail = pane(() => choose(null));
  const rows = new Rows({ label: "Exchanges, oldest first", make, fill, choose: (item, isAct) => choose(item, isAct) });
  const picture = lanes((item) => choose(item, true));
  const server = select("Server", "all servers", [], "server");
  const left = el("div", { class: "left" }, picture.node, head(), rows.node);
  const split = el("div", { class: "split" }, left);
  let isPaused = false;
  let isAsked = false;

  const refresh = () => {
    isAsked = false;
    const found = exchanges.all.filter((each) => matches(each, filter));
    count.textContent = `${found.length.toLocaleString("en")} of ${exchanges.all.length.toLocaleString("en")} exchanges`;
    rows.show(found);
    picture.show(found);
    options(server, exchanges.all);
  };
  // Many exchanges may come at once; the list is filtered ten times a second at most.
  const ask = () => {
    if (isAsked || isPaused) return;
    isAsked = true;
    setTimeout(refresh, 100);
  };

  async function choose(item, isAct = false) {
    rows.mark(item);
    if (item === null) {
      detail.node.remove();
      split.classList.remove("narrow");
      history.replaceState(null, "", "#/timeline");
      rows.node.focus();
      return;
    }
    if (!detail.node.isConnected && !isAct) return;
    if (!detail.node.isConnected) {
      split.append(detail.node);
      split.classList.add("narrow");
    }
    history.replaceState(null, "", `#/timeline/${item.id}`);
    try {
      const details = await exchanges.details(item);
      if (rows.chosen !== item) return;
      Object.assign(item, { hints: details.hints, searched: undefined });
      detail.show(details);
    } catch (problem) {
      detail.fail(problem);
    }
    if (isAct && matchMedia("(max-width: 760px)").matches) detail.node.focus();
  }

  const search = el("input", { type: "search", placeholder: "Filter: a name, a path, a status, a reason", "aria-label": "Filter", value: filter.text });
  search.addEventListener("input", () => {
    filter.text = search.value.trim().toLowerCase();
    refresh();
  });
  const wrong = button("Only with remarks", () => {
    filter.wrong = !filter.wrong;
    wrong.setAttribute("aria-pressed", filter.wrong);
    refresh();
  }, { "aria-pressed": String(filter.wrong), title: "What was refused or failed, or has a remark or a hint" });
  const stop = button("Pause", () => {
    isPaused = !isPaused;
    stop.setAttribute("aria-pressed", isPaused);
    if (!isPaused) refresh();
  }, { "aria-pressed": "false" });
  const bar = el(
    "div",
    { class: "bar", role: "toolbar", "aria-label": "Filter and export" },
    search,
    server,
    select("Direction", "in and out", [["in", "← in"], ["out", "→ out"]], "direction"),
    select("Kind", "every kind", [["request", "requests"], ["connection", "connections"], ["dns", "DNS questions"]], "kind"),
    wrong,
    stop,
    ...exports(),
    count,
  );

  function select(label, none, choices, member) {
    const made = el("select", { "aria-label": label }, el("option", { value: "" }, none));
    for (const [value, text] of choices) made.append(el("option", { value }, text));
    made.value = filter[member];
    made.addEventListener("change", () => {
      filter[member] = made.value;
      refresh();
    });
    return made;
  }

  function* exports() {
    if (!has("GET", "/v1/exchanges.har")) return;
    const chosen = () => ({ server: filter.server, direction: filter.direction, kind: filter.kind });
    const note = "With the chosen server, direction and kind";
    yield button("HAR", () => save("/v1/exchanges.har", chosen(), "exchanges.har"), { title: note });
    yield button("JSON lines", () => save("/v1/exchanges.jsonl", chosen(), "exchanges.jsonl"), { title: note });
    yield button("Clear", async () => {
      await remove("/v1/exchanges");
      exchanges.clear();
      choose(null);
    }, { title: "Forget all exchanges, on the server as well" });
  }

  const end = exchanges.watch(ask);
  const node = el("div", { class: "left" }, bar, split);
  refresh();
  queueMicrotask(() => {
    refresh();
    rows.node.scrollTop = rows.node.scrollHeight;
    if (id !== null) open(id);
  });

  function open(wanted) {
    const found = exchanges.find(wanted);
    if (found !== null) choose(found, true);
    else if (exchanges.isRecord) {
      run(bar, async () => choose(await exchanges.details({ id: wanted }), true));
    }
  }

  return { node, leave: end };
}

function options(select, all) {
  const names = new Set();
  for (const each of all) if (each.server) names.add(each.server);
  // A menu of thousands is of no use; the filter finds them.
  const wanted = [...names].slice(0, 200);
  if (wanted.length === select.options.length - 1) return;
  const chosen = select.value;
  select.replaceChildren(el("option", { value: "" }, "all servers"));
  for (const name of wanted) select.append(el("option", { value: name }, plain(name, 80)));
  select.value = wanted.includes(chosen) ? chosen : "";
}

const COLUMNS = [
  ["when", "time"],
  ["way", "way"],
  ["ours", "our server"],
  ["peer", "other server"],
  ["what", "request"],
  ["state", "result"],
  ["took", "took"],
];

const head = () => el("div", { class: "head", "aria-hidden": "true" }, ...COLUMNS.map(([name, title]) => el("span", { class: name }, title)));

function make() {
  const row = el("div");
  row.cells = COLUMNS.map(([name]) => el("span", { class: name }));
  row.append(...row.cells);
  return row;
}

function fill(row, each) {
  const [when, way, ours, peer, asked, ended, took] = row.cells;
  when.textContent = time(each.started_ts);
  way.textContent = each.direction === "in" ? "← in" : "→ out";
  ours.replaceChildren(shown(each.server ?? "?", 120));
  peer.replaceChildren(shown(each.peer ?? each.address ?? "", 120));
  asked.replaceChildren(shown((each.kind === "dns" ? "DNS " : "") + what(each), 200));
  const hints = each.hints.length > 0 ? " hint" : each.remarks.length > 0 ? " remark" : "";
  ended.replaceChildren(shown(state(each), 80), hints);
  const bar = document.createElement("i");
  bar.style.width = `${Math.max(1, Math.min(1, each.seconds ?? 0) * BAR)}px`;
  took.replaceChildren(...(each.seconds === undefined ? [] : [bar, seconds(each.seconds)]));
  const how = outcome(each);
  row.classList.toggle("wrong", how === "wrong");
  row.classList.toggle("silent", how === "silent");
}
