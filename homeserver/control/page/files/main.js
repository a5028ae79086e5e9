// The page: the token, the views, and what the address says. Rules: a view is shown
// where the control API has its routes.

import { describe, forgetToken, has, keepToken, takeToken } from "/page/api.js";
import { conformance } from "/page/conformance.js";
import { Exchanges } from "/page/record.js";
import { reports } from "/page/reports.js";
import { rooms } from "/page/rooms.js";
import { servers } from "/page/servers.js";
import { el, shown } from "/page/text.js";
import { timeline } from "/page/timeline.js";

const view = document.getElementById("view");
const tabs = document.getElementById("tabs");
const status = document.getElementById("status");

const VIEWS = {
  timeline: ["Time line", () => true, (exchanges, id) => timeline(exchanges, id === null ? null : Number(id))],
  servers: ["Servers", () => has("GET", "/v1/servers"), servers],
  rooms: ["Rooms", () => has("GET", "/v1/servers/{server}/rooms"), rooms],
  reports: ["Reports", () => has("GET", "/v1/servers/{server}/report/{name}"), reports],
  conformance: ["Conformance", () => true, conformance],
};

let exchanges = null;
let leave = () => {};

function tell(text, isBad = false) {
  status.textContent = text;
  status.classList.toggle("bad", isBad);
}

function show() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const chosen = name in VIEWS ? name : "timeline";
  const steps = rest.map((step) => {
    try {
      return decodeURIComponent(step);
    } catch {
      return step;
    }
  });
  leave();
  tabs.replaceChildren(
    ...Object.entries(VIEWS)
      .filter(([, [, isThere]]) => isThere())
      .map(([key, [title]]) => el("a", { href: `#/${key}`, "aria-current": key === chosen ? "page" : null }, title)),
  );
  document.title = `${VIEWS[chosen][0]} - homeserver`;
  const made = VIEWS[chosen][2](exchanges, steps[0] ?? null, steps[1] ?? null);
  leave = made.leave;
  view.replaceChildren(made.node);
}

function askForToken(why) {
  tell("");
  tabs.replaceChildren();
  const token = el("input", { type: "password", "aria-label": "Token", autocomplete: "off", required: true });
  const form = el("form", {}, token, el("button", { class: "main" }, "Open"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keepToken(token.value.trim());
    begin();
  });
  view.replaceChildren(
    el(
      "div",
      { class: "gate" },
      el("h2", {}, "The token of the control API"),
      el("p", {}, "homeserver lab prints it, with an address of this page that has it already; of homeserver run, it is in control.token. This tab keeps it until it is closed."),
      form,
      why === null ? null : el("p", { class: "problem", role: "alert" }, shown(why)),
    ),
  );
  token.focus();
}

async function begin() {
  try {
    await describe();
  } catch (problem) {
    if (problem.status === 401) {
      forgetToken();
      askForToken(problem.message);
    } else {
      tell("no connection", true);
      view.replaceChildren(el("p", { class: "problem pad", role: "alert" }, shown(problem.message, 1000)));
      setTimeout(begin, 3000);
    }
    return;
  }
  exchanges = new Exchanges();
  exchanges.watch(() => tell(exchanges.problem === null ? "live" : exchanges.problem.message, exchanges.problem !== null));
  tell("live");
  show();
  await exchanges.follow();
  // It has ended, because the token is another one now.
  forgetToken();
  askForToken("the server has another token now");
}

function theme() {
  const button = document.getElementById("theme");
  const names = { "": "as the system", light: "light", dark: "dark" };
  const set = (value) => {
    if (value === "") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = value;
    localStorage.setItem("homeserver-theme", value);
    button.textContent = `Theme: ${names[value]}`;
  };
  const order = Object.keys(names);
  const kept = localStorage.getItem("homeserver-theme") ?? "";
  set(order.includes(kept) ? kept : "");
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? "";
    set(order[(order.indexOf(now) + 1) % order.length]);
  });
}

theme();
window.addEventListener("hashchange", () => {
  // Another token may be given to a page that is open.
  if (new URLSearchParams(location.hash.slice(1)).has("token")) location.reload();
  else if (exchanges !== null) show();
});
if (takeToken() === null) askForToken(null);
else begin();
