// Our servers, their rules, and what can be changed of them.

import { describe, get, has, ofServer, patch, post, remove } from "/page/api.js";
import { button, el, facts, plain, run, shown, table } from "/page/text.js";

const MOST = 200; // of a list; the filter finds the others
const MOST_OFFERED = 1000; // of a menu
const ALL = "";

const QUICK = [
  ["503 to a PUT, once", { do: { "http.status": 503 }, match: { method: "PUT" }, times: 1 }],
  ["503 to each request", { do: { "http.status": 503 } }],
  ["nothing", { do: { "http.silence": true } }],
  ["a lost reply to a PUT, once", { do: { "http.drop-reply": true }, match: { method: "PUT" }, times: 1 }],
  ["a delay of 5 s", { do: { "http.delay": 5 } }],
];

/** The view; `chosen` is the name of a server, null for the first. */
export function servers(_, chosen) {
  const list = el("ul");
  const search = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the servers" });
  const panel = el("div", { class: "panel" }, el("p", { class: "dim" }, "No server is chosen."));
  const side = el("div", { class: "list" }, el("div", { class: "bar" }, search), list);
  if (has("POST", "/v1/servers")) {
    side.firstChild.append(button("New server", () => make("shared")), button("New, with a port", () => make("own")));
  }
  let all = [];

  const draw = () => {
    const wanted = search.value.trim().toLowerCase();
    const found = all.filter((each) => each.server_name.includes(wanted));
    list.replaceChildren();
    if (has("GET", "/v1/rules")) list.append(line(ALL, "All servers: rules"));
    for (const each of found.slice(0, MOST)) list.append(line(each.server_name, each.server_name));
    if (found.length > MOST) list.append(el("li", { class: "pad dim" }, `and ${found.length - MOST} more; filter them`));
    if (all.length === 0) list.append(el("li", { class: "pad dim" }, "There is no server yet."));
  };
  const line = (name, text) =>
    el("li", {}, el("a", { href: `#/servers/${encodeURIComponent(name)}`, "aria-current": name === chosen ? "true" : null }, shown(text, 255)));
  const load = async () => {
    all = await everyone();
    draw();
  };
  async function make(listen) {
    const made = await post("/v1/servers", { listen });
    location.hash = `#/servers/${encodeURIComponent(made.servers[0].server_name)}`;
  }

  search.addEventListener("input", draw);
  run(list, async () => {
    await load();
    chosen ??= all[0]?.server_name ?? (has("GET", "/v1/rules") ? ALL : null);
    draw();
    if (chosen !== null) await show(panel, chosen);
  });
  return { node: el("div", { class: "columns" }, side, panel), leave() {} };
}

/** All our servers, page by page where there are pages. */
async function everyone() {
  const found = [];
  let after;
  do {
    const page = await get("/v1/servers", has("POST", "/v1/servers") ? {} : { query: { after, limit: 1000 } });
    found.push(...page.servers);
    after = page.next;
  } while (after);
  return found;
}

/** Offer our servers in a menu, the wanted or the first one chosen; whether there are any. */
export async function offer(menu, wanted) {
  const all = await everyone();
  for (const each of all.slice(0, MOST_OFFERED)) menu.append(el("option", { value: each.server_name }, each.server_name));
  if (all.length > 0) menu.value = wanted ?? all[0].server_name;
  return all.length > 0;
}

async function show(panel, name) {
  const parts = [];
  if (name === ALL) parts.push(el("h2", {}, "All servers"));
  else {
    const server = await get(ofServer(name));
    parts.push(
      el("h2", {}, shown(name, 255)),
      facts([
        ["listens at", server.listen],
        ["signs with", `${server.key_id} ${server.verify_key}`],
        ["certificate", server.certificate_sha256],
      ]),
    );
    if (server.dns?.length > 0) {
      parts.push(table(["name", "type", "value", "ttl"], server.dns.map((each) => [each.name, each.type, each.value, each.ttl ?? ""])));
    }
    parts.push(...(await changes(panel, name)));
    if (has("POST", "/v1/send/{destination}")) parts.push(sending(name));
  }
  if (has("GET", "/v1/rules")) parts.push(...(await rules(name)));
  panel.replaceChildren(...parts);
  panel.scrollTop = 0;
}

async function changes(panel, name) {
  if (!has("PATCH", "/v1/servers/{server}")) return [];
  const again = async () => show(panel, name);
  const schemas = (await describe()).components.schemas;
  const kinds = schemas.TlsBody?.properties?.certificate?.enum ?? [];
  const certificate = el("select", { "aria-label": "Certificate" }, el("option", { value: "" }, "Present a certificate that is ..."));
  for (const kind of kinds) certificate.append(el("option", { value: kind }, kind));
  certificate.addEventListener("change", () =>
    run(bar, async () => {
      await patch(ofServer(name), { tls: { certificate: certificate.value } });
      await again();
    }),
  );
  const bar = el(
    "div",
    { class: "bar" },
    button("Sign with a new key", async () => {
      await patch(ofServer(name), { rotate: true });
      await again();
    }),
    certificate,
    button("Delete", async () => {
      await remove(ofServer(name));
      location.hash = "#/servers";
    }, { title: "It goes on answering politely, with nothing of its own" }),
  );
  return [bar];
}

function sending(name) {
  const destination = el("input", { placeholder: "your.server", "aria-label": "Destination", required: true, size: 24 });
  const form = el("form", { class: "bar" }, el("label", {}, "Send a transaction to ", destination), el("button", {}, "Send"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(form, async () => {
      const edu = { edu_type: "lab.test", content: {} };
      await post(ofServer(name, `/send/${encodeURIComponent(destination.value.trim())}`), { edus: [edu] });
      location.hash = "#/timeline";
    });
  });
  return form;
}

async function rules(name) {
  const path = name === ALL ? "/v1/rules" : ofServer(name, "/rules");
  const holder = el("div", { "aria-live": "polite" });
  const draw = async () => {
    const found = (await get(path)).rules;
    if (found.length === 0) {
      holder.replaceChildren(el("p", { class: "dim" }, "No rule is in force."));
      return;
    }
    holder.replaceChildren(
      table(
        ["rule", "does", "to requests with", "matched", "acted", ""],
        found.map((rule) => [
          rule.id,
          JSON.stringify(rule.do),
          Object.keys(rule.match).length === 0 ? "anything" : JSON.stringify(rule.match),
          rule.matched,
          rule.times === null ? rule.acted : `${rule.acted} of ${rule.times}`,
          button("End", async () => {
            await remove(`${path}/${rule.id}`);
            await draw();
          }, { "aria-label": `End rule ${rule.id}` }),
        ]),
      ),
    );
  };
  const add = async (rule) => {
    await post(path, rule);
    await draw();
  };
  await draw();
  const quick = el("div", { class: "bar", role: "group", "aria-label": "Common faults" }, "Answer with ");
  for (const [label, rule] of QUICK) quick.append(button(label, () => add(rule)));
  const renew = button("Refresh", draw, { title: "How often each rule has matched" });
  return [el("h3", {}, "Rules: what is answered wrongly"), holder, quick, await form(add), renew];
}

async function form(add) {
  const { faults } = await get("/v1/faults");
  const fault = el("select", { id: "fault" });
  const families = new Map();
  for (const each of faults) {
    const family = each.name.split(".")[0];
    if (!families.has(family)) {
      families.set(family, el("optgroup", { label: family }));
      fault.append(families.get(family));
    }
    families.get(family).append(el("option", { value: each.name }, plain(each.name)));
  }
  const argument = el("input", { id: "argument", value: "true" });
  const about = el("p", { class: "dim" });
  const fields = { peer: "", method: "", route: "" };
  const inputs = Object.keys(fields).map((key) => el("input", { id: `match-${key}`, placeholder: "any" }));
  const times = el("input", { id: "times", type: "number", min: 1, placeholder: "always" });
  const describeFault = () => {
    const chosen = faults.find((each) => each.name === fault.value);
    about.replaceChildren(shown(`${chosen.answer} A right server: ${chosen.right}`, 1000));
    argument.value = chosen.argument === "true" ? "true" : "";
    argument.placeholder = chosen.argument;
  };
  fault.addEventListener("change", describeFault);
  const made = el(
    "form",
    { class: "fault" },
    el("label", { for: "fault" }, "Fault"),
    fault,
    about,
    el("label", { for: "argument" }, "Argument"),
    argument,
    ...Object.keys(fields).flatMap((key, at) => [el("label", { for: `match-${key}` }, `Only this ${key}`), inputs[at]]),
    el("label", { for: "times" }, "How often"),
    times,
    el("div", { class: "bar" }, el("button", { class: "main" }, "Add the rule"), el("span", { class: "dim" }, "* is any text")),
  );
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    run(made, async () => {
      const match = {};
      Object.keys(fields).forEach((key, at) => {
        if (inputs[at].value.trim() !== "") match[key] = inputs[at].value.trim();
      });
      const rule = { do: { [fault.value]: value(argument.value) }, match };
      if (times.value !== "") rule.times = Number(times.value);
      await add(rule);
    });
  });
  describeFault();
  return made;
}

/** An argument: JSON, or a text. */
function value(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
