// The rooms of our servers: each as a graph of its events.

import { get, ofServer } from "/page/api.js";
import { graph } from "/page/graph.js";
import { offer } from "/page/servers.js";
import { block, button, el, facts, moment, run, shown, table } from "/page/text.js";

const MOST = 1000; // rooms of a list
const MOST_EVENTS = 2000; // of a graph, the newest
const PAGE = 1000; // events of one answer

/** The view; `chosen` is one of our servers, `room` the ID of a room of it. */
export function rooms(_, chosen, room) {
  const ours = el("select", { "aria-label": "Our server" });
  const list = el("ul");
  const panel = el("div", { class: "panel" }, el("p", { class: "dim" }, "Choose a room to see its events."));
  ours.addEventListener("change", () => {
    location.hash = address(ours.value);
  });
  run(list, async () => {
    if (!(await offer(ours, chosen))) {
      panel.replaceChildren(el("p", { class: "dim" }, "There is no server of ours yet."));
      return;
    }
    const found = await get(ofServer(ours.value, "/rooms"), { query: { limit: MOST } });
    for (const { room_id: id } of found.rooms) {
      list.append(el("li", {}, el("a", { href: address(ours.value, id), "aria-current": id === room ? "true" : null }, shown(id, 255))));
    }
    if (found.rooms.length === 0) list.append(el("li", { class: "pad dim" }, "It is in no room yet: homeserver room create."));
    if (found.next !== null) list.append(el("li", { class: "pad dim" }, "There are more: homeserver room list."));
    if (room !== null) await show(panel, ours.value, room);
  });
  const side = el("div", { class: "list" }, el("div", { class: "bar" }, el("label", {}, "Our server ", ours)), list);
  return { node: el("div", { class: "columns" }, side, panel), leave() {} };
}

function address(server, room = null) {
  return `#/rooms/${encodeURIComponent(server)}${room === null ? "" : `/${encodeURIComponent(room)}`}`;
}

async function show(panel, server, id) {
  const path = ofServer(server, `/rooms/${encodeURIComponent(id)}`);
  const room = await get(path);
  const events = await newest(path, room.events);
  const detail = el("div", { class: "event-detail", "aria-live": "polite" }, el("p", { class: "dim" }, "Choose an event to see it whole."));
  const open = (event) => run(detail, async () => detail.replaceChildren(...(await whole(path, event.event_id))));
  panel.replaceChildren(
    el("h2", {}, shown(id, 255)),
    facts([
      ["version", room.room_version],
      ["servers", room.servers.join(", ")],
      ["events", events.length < room.events ? `${room.events}, of which the newest ${events.length} are shown` : room.events],
    ]),
    el("div", { class: "bar" }, button("Refresh", () => show(panel, server, id))),
    el("div", { class: "graph-and-event" }, graph(events, room.extremities, open), detail),
  );
}

/** The newest events of a room, the oldest of them first. */
async function newest(path, count) {
  const found = [];
  let after = Math.max(0, count - MOST_EVENTS);
  do {
    const page = await get(`${path}/graph`, { query: { after, limit: PAGE } });
    found.push(...page.events);
    after = page.next;
  } while (after !== null && found.length < MOST_EVENTS);
  return found;
}

async function whole(path, event) {
  const found = await get(`${path}/events/${encodeURIComponent(event)}`);
  const state = el("div");
  const showState = async () => {
    const { state: events } = await get(`${path}/state`, { query: { at: event } });
    const rows = events.map((each) => [each.type, each.state_key, each.sender, JSON.stringify(each.content)]);
    state.replaceChildren(el("h3", {}, "The state after it"), table(["type", "state key", "sender", "content"], rows));
  };
  return [
    el("h3", {}, shown(found.event_id, 255)),
    facts([
      ["verdict", found.verdict],
      ["reason", found.reason],
      ["rule", found.rule],
      ["redacted by", found.redacted_by],
      ["sent", moment(found.event.origin_server_ts)],
    ]),
    button("Show the state after it", showState),
    state,
    block(JSON.stringify(found.event, null, 2)),
  ];
}
