// The exchanges that the page knows, oldest first. Rules: as many are kept as a lab
// keeps. A daemon without a record is asked for what it received and refused, and each
// of these becomes an exchange.

import { get, has, ofServer } from "/page/api.js";

const MOST = 20_000;
const PAGE = 1000;
const WAIT_SECONDS = 25;
const PAUSE_MS = 2000;
const OURS = 50; // servers of a daemon that are asked in turn

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Exchanges {
  constructor() {
    this.all = [];
    this.problem = null;
    this.isRecord = has("GET", "/v1/exchanges");
    this._listeners = new Set();
    this._after = 0;
    this._afters = new Map();
    this._count = 0;
    this._controller = new AbortController();
  }

  /** Call `listener` after each change; returns what ends that. */
  watch(listener) {
    this._listeners.add(listener);
    return () => this._listeners.delete(listener);
  }

  /** Ask until the page is left. */
  async follow() {
    for (;;) {
      try {
        const found = this.isRecord ? await this._next() : await this._round();
        const isNews = this.problem !== null;
        this.problem = null;
        if (found.length > 0) this._add(found);
        else if (isNews) this._tell();
        if (!this.isRecord) await pause(PAUSE_MS);
      } catch (problem) {
        if (problem.name === "AbortError") continue;
        this.problem = problem;
        this._tell();
        if (problem.status === 401) return;
        await pause(PAUSE_MS);
      }
    }
  }

  /** Forget what is shown; the server's record is not asked to. */
  clear() {
    this.all = [];
    this._tell();
  }

  /** The exchange with an ID. */
  find(id) {
    return this.all.find((each) => each.id === id) ?? null;
  }

  /** Everything that is known of an exchange. */
  async details(each) {
    return this.isRecord ? get(`/v1/exchanges/${each.id}`) : each;
  }

  async _next() {
    const query = { after: this._after, limit: PAGE, wait: WAIT_SECONDS };
    const page = await get("/v1/exchanges", { query, signal: this._controller.signal });
    this._after = page.next;
    return page.exchanges;
  }

  async _round() {
    const { servers } = await get("/v1/servers", { query: { limit: OURS } });
    const found = [];
    for (const { server_name: name } of servers) {
      for (const [list, member, made] of [
        ["received", "transactions", ofReceived],
        ["refused", "refused", ofRefused],
      ]) {
        const key = `${list} ${name}`;
        const query = { after: this._afters.get(key) ?? 0, limit: PAGE };
        const page = await get(ofServer(name, `/${list}`), { query });
        this._afters.set(key, page.next);
        found.push(...page[member].map((each) => made(each, name)));
      }
    }
    found.sort((one, other) => one.started_ts - other.started_ts);
    for (const each of found) each.id = ++this._count;
    return found;
  }

  _add(found) {
    this.all.push(...found);
    // They come in the order in which they ended.
    this.all.sort((one, other) => (one.started_ts ?? 0) - (other.started_ts ?? 0) || one.id - other.id);
    if (this.all.length > MOST) this.all.splice(0, this.all.length - MOST);
    this._tell();
  }

  _tell() {
    for (const listener of this._listeners) listener();
  }
}

function ofReceived(each, server) {
  return {
    kind: "request",
    direction: "in",
    server,
    peer: each.origin,
    started_ts: each.received_ts,
    method: "PUT",
    path: `/_matrix/federation/v1/send/${each.txn_id}`,
    status: 200,
    txn_id: each.txn_id,
    remarks: each.remarks ?? [],
    hints: [],
    received: each,
  };
}

function ofRefused(each, server) {
  return {
    ...each,
    kind: "request",
    direction: "in",
    server,
    peer: each.origin,
    is_proven: each.proven,
    started_ts: each.refused_ts,
    remarks: [],
    hints: each.hints ?? [],
  };
}

/** How an exchange ended: `right`, `wrong` or `silent` (there was no answer). */
export function outcome(each) {
  // Most servers delegate to no other name.
  if (each.status === 404 && each.path === "/.well-known/matrix/server") return "right";
  if (each.kind === "request" && each.status === undefined) return each.reason ? "wrong" : "silent";
  if (each.reason !== undefined && each.reason !== null && each.reason !== "") return "wrong";
  return (each.status ?? 0) >= 400 ? "wrong" : "right";
}

/** The state of an exchange in a few words, with a sign that needs no colour. */
export function state(each) {
  const sign = { right: "✓", wrong: "✗", silent: "·" }[outcome(each)];
  const words = [each.status, each.reason ?? (each.kind === "dns" ? each.verdict : undefined)];
  return [sign, ...words.filter((word) => word !== undefined && word !== null)].join(" ");
}

/** What an exchange asks for. */
export function what(each) {
  if (each.kind === "connection") return "connection and handshake";
  return [each.method, each.path].filter((part) => part).join(" ");
}

/** Whether an exchange is what the filter says. */
export function matches(each, filter) {
  if (filter.server && each.server !== filter.server) return false;
  if (filter.direction && each.direction !== filter.direction) return false;
  if (filter.kind && each.kind !== filter.kind) return false;
  if (filter.wrong && outcome(each) === "right" && each.remarks.length === 0 && each.hints.length === 0) return false;
  if (!filter.text) return true;
  each.searched ??= [each.server, each.peer, what(each), each.status, each.reason, each.error, each.verdict, each.txn_id, each.room_id]
    .filter((part) => part !== undefined && part !== null)
    .join("\n")
    .toLowerCase();
  return each.searched.includes(filter.text);
}
