// How other servers behaved towards one of ours.

import { get, ofServer } from "/page/api.js";
import { offer } from "/page/servers.js";
import { el, moment, run, seconds, shown, table } from "/page/text.js";

const MOST = 1000; // peers of a list

const SIGNS = { passed: ["✓\u00a0passed", "good"], failed: ["✗\u00a0failed", "bad"], remarked: ["!\u00a0remarked", "warn"] };

/** The view; `chosen` is one of ours and a peer. */
export function reports(_, chosen, peer) {
  const ours = el("select", { "aria-label": "Our server" });
  const list = el("ul");
  const panel = el("div", { class: "panel" }, el("p", { class: "dim" }, "Choose a server to see how it behaved."));
  const name = el("input", { placeholder: "another server", "aria-label": "The name of another server", size: 18 });
  const form = el("form", { class: "bar" }, name, el("button", {}, "Report"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (name.value.trim() !== "") location.hash = address(ours.value, name.value.trim());
  });
  ours.addEventListener("change", () => {
    location.hash = address(ours.value);
  });
  const address = (server, other = null) =>
    `#/reports/${encodeURIComponent(server)}${other === null ? "" : `/${encodeURIComponent(other)}`}`;

  run(list, async () => {
    if (!(await offer(ours, chosen))) {
      panel.replaceChildren(el("p", { class: "dim" }, "There is no server of ours yet."));
      return;
    }
    const { peers } = await get(ofServer(ours.value, "/peers"), { query: { limit: MOST } });
    for (const each of peers) {
      const isHere = each.server_name === peer;
      list.append(el("li", {}, el("a", { href: address(ours.value, each.server_name), "aria-current": isHere ? "true" : null }, shown(each.server_name, 255))));
    }
    if (peers.length === 0) list.append(el("li", { class: "pad dim" }, "It has met no other server yet."));
    if (peer !== null) await show(panel, ours.value, peer);
  });
  const side = el("div", { class: "list" }, el("div", { class: "bar" }, el("label", {}, "Our server ", ours)), form, list);
  return { node: el("div", { class: "columns" }, side, panel), leave() {} };
}

async function show(panel, server, peer) {
  const report = await get(ofServer(server, `/report/${encodeURIComponent(peer)}`));
  const parts = [
    el("h2", {}, "How ", shown(peer, 255), " behaved towards ", shown(server, 255)),
    report.checks.length === 0
      ? el("p", { class: "dim" }, "Nothing is known of it.")
      : el("p", { class: report.is_wrong ? "bad" : "good" }, report.is_wrong ? "✗ Something is wrong." : "✓ Nothing is wrong."),
  ];
  if (report.checks.length > 0) {
    parts.push(
      table(
        ["result", "check", "what was seen", "first example"],
        report.checks.map((each) => {
          const [text, tone] = SIGNS[each.outcome];
          return [el("span", { class: tone }, text), each.name, each.text, each.example];
        }),
      ),
    );
  }
  if (report.attempts.length > 0) {
    parts.push(
      el("h3", {}, "Its transactions"),
      table(
        ["time", "transaction", "answer", "pause since the last try", "same content"],
        report.attempts.map((each) => [
          moment(each.ts),
          each.txn_id,
          each.status,
          each.pause === null ? "first try" : seconds(each.pause),
          each.same_content === null ? "" : each.same_content ? "✓ the same" : "✗ another",
        ]),
      ),
    );
  }
  panel.replaceChildren(...parts);
  panel.scrollTop = 0;
}
