// One exchange, whole: how it ended, what has to change, and all that passed.

import { diff } from "/page/diff.js";
import { outcome, state, what } from "/page/record.js";
import { right, signed, sorted } from "/page/signed.js";
import { block, button, el, facts, moment, seconds, shown, table } from "/page/text.js";

/** The pane of an exchange; `close` is called when it is to go. */
export function pane(close) {
  const title = el("h2", {}, "");
  const body = el("div");
  const node = el(
    "section",
    { class: "detail", "aria-label": "The chosen exchange", tabindex: -1 },
    el("div", { class: "bar" }, title, button("Close", close, { "aria-keyshortcuts": "Escape" })),
    body,
  );
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  return {
    node,
    show(details) {
      title.replaceChildren(`${details.id}: `, shown(what(details)));
      body.replaceChildren(...sections(details));
      node.scrollTop = 0;
    },
    fail(problem) {
      body.replaceChildren(el("p", { class: "problem", role: "alert" }, shown(problem.message, 2000)));
    },
  };
}

/** What there is to say of an exchange. */
export function* sections(details) {
  const tone = { right: "good", wrong: "bad", silent: "dim" }[outcome(details)];
  const arrow = details.direction === "in" ? "from" : "to";
  yield el("p", { class: tone }, el("b", {}, shown(state(details))), details.errcode ? ` ${details.errcode}` : "");
  if (details.error) yield el("p", { class: "problem" }, shown(details.error, 4000));
  yield* hints(details);
  for (const remark of details.remarks ?? []) {
    yield el("p", { class: "hint" }, el("b", {}, "Remark: "), shown(remark.text ?? remark, 2000));
  }
  yield facts([
    ["what", `${details.kind}, ${details.direction === "in" ? "in" : "out"}`],
    ["our server", details.server],
    [`${arrow} the other`, other(details)],
    ["address", details.address],
    ["began", moment(details.started_ts)],
    ["took", details.seconds === undefined ? "" : seconds(details.seconds)],
    ["target", details.target],
    ["route", details.route],
    ["transaction", details.txn_id],
    ["room", details.room_id],
    ["verified by", details.verified_by],
    ["reached by", details.via],
    ["connection", details.is_reused === undefined ? "" : details.is_reused ? "one that was open" : "a new one"],
    ["verdict", details.verdict],
  ]);
  if (details.tls) {
    const { tls } = details;
    yield el("h3", {}, "TLS");
    yield facts([
      ["version", tls.version],
      ["cipher", tls.cipher],
      ["server name (SNI)", tls.sni ?? "none"],
      ["ALPN", tls.alpn ?? "none"],
      ["client certificate", tls.client_certificate ?? "none"],
    ]);
  }
  yield* stages(details.stages ?? {});
  if (details.request) yield* message("Request", details.request);
  if (details.response) yield* message("Response", details.response);
  else if (details.request) yield* silence(details);
  if (details.received) yield* received(details.received);
}

function other(details) {
  if (!details.peer) return "";
  const proof = details.is_proven === false ? " (claimed, not proven)" : "";
  return el("span", {}, shown(details.peer), proof);
}

function* hints(details) {
  const all = details.hints ?? [];
  if (all.length === 0) return;
  yield el("h3", {}, "What the other server has to change");
  for (const hint of all) {
    const node = el("div", { class: "hint" }, el("p", {}, shown(hint.text, 2000), " ", el("code", { class: "dim" }, hint.code)));
    if (hint.received !== undefined && hint.expected !== undefined && hint.received !== null && hint.expected !== null) {
      node.append(diff(hint.received, hint.expected, "It has", "It should have"));
    } else if (hint.received) node.append(facts([["it has", hint.received]]));
    else if (hint.expected) node.append(facts([["expected", hint.expected]]));
    yield node;
  }
  const object = right(details);
  if (object === null) return;
  const theirs = signed(object, all);
  if (theirs === null) return;
  yield el("h3", {}, "The signed object");
  yield diff(sorted(theirs), sorted(object), "As it was signed", "As it should be");
}

function* stages(all) {
  const pairs = Object.entries(all);
  if (pairs.length === 0) return;
  yield el("h3", {}, "Stages");
  const most = Math.max(...pairs.map(([, value]) => value), 1e-9);
  yield table(
    ["stage", "time"],
    pairs.map(([name, value]) => {
      const bar = el("i");
      bar.style.width = `${Math.max(1, (value / most) * 160)}px`;
      return [name, el("span", { class: "stage" }, bar, seconds(value))];
    }),
  );
}

function* message(title, each) {
  yield el("h3", {}, `${title}: ${each.body_bytes.toLocaleString("en")} bytes of body`);
  if (each.interim?.length) yield el("p", { class: "dim" }, `Interim responses came before it: ${each.interim.join(", ")}.`);
  if (each.start_line) yield block(each.start_line);
  if (each.headers.length > 0) yield table(["header", "value"], each.headers);
  if (each.body_base64) {
    yield el("p", { class: "dim" }, "The body is not UTF-8; this is its base64.");
    yield block(each.body_base64);
  } else if (each.body) yield* content(each.body);
  if (each.body_cut) yield el("p", { class: "warn" }, "The record has only the beginning of this body.");
  if (each.is_whole === false) yield el("p", { class: "warn" }, "The headers announce more of this body than passed.");
}

function* silence(details) {
  yield el("h3", {}, "No response");
  if (details.is_gone) yield el("p", { class: "dim" }, "The client disconnected before it.");
}

function* content(body) {
  const spread = pretty(body);
  const holder = el("div", {}, block(spread ?? body));
  if (spread !== null && spread !== body) {
    const toggle = button("As sent", () => {
      const isRaw = toggle.getAttribute("aria-pressed") !== "true";
      toggle.setAttribute("aria-pressed", isRaw);
      holder.replaceChildren(block(isRaw ? body : spread));
    }, { "aria-pressed": "false" });
    yield toggle;
  }
  yield holder;
}

const LARGEST = 200_000; // characters of a body that is spread over lines

function pretty(body) {
  if (body.length > LARGEST) return null;
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return null;
  }
}

function* received(each) {
  for (const problem of each.problems ?? []) yield el("p", { class: "problem" }, shown(problem, 2000));
  yield el("h3", {}, `${each.pdus.length} PDUs, ${each.edus.length} EDUs`);
  if (each.pdus.length > 0) {
    yield table(
      ["event", "verdict"],
      each.pdus.map((pdu) => [pdu.event_id ?? "", pdu.verdict]),
    );
  }
  yield block(JSON.stringify(each, null, 2));
}
