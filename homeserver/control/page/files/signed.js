// The signed object of a request: as it should be, and as the other server signed it.
// Rules: nothing is verified here; what differs comes from the hints of the server.
// Specification: Server-server API, "Request Authentication".

/** The parameters of an X-Matrix header, or null if it is none. */
export function authorization(headers) {
  for (const [name, value] of headers) {
    if (name.toLowerCase() !== "authorization" || !/^x-matrix\s/i.test(value)) continue;
    const found = {};
    for (const [, key, quoted, bare] of value.slice(9).matchAll(/([a-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^,\s]*))/gi)) {
      found[key.toLowerCase()] = quoted === undefined ? bare : quoted.replace(/\\(.)/g, "$1");
    }
    return found;
  }
  return null;
}

/** JSON with sorted members, a member on a line. */
export function sorted(value) {
  const order = (_, each) =>
    each !== null && typeof each === "object" && !Array.isArray(each)
      ? Object.fromEntries(Object.keys(each).sort().map((key) => [key, each[key]]))
      : each;
  return JSON.stringify(value, order, 2);
}

/** The object that the request should have been signed over; null if that is unknown. */
export function right(details) {
  const headers = details.request?.headers;
  const header = headers === undefined ? null : authorization(headers);
  if (header === null || details.direction !== "in" || details.request.body_cut) return null;
  const object = {
    method: details.method,
    uri: details.target ?? details.path,
    origin: header.origin ?? details.peer,
    destination: details.server,
  };
  if (details.request.body) {
    try {
      object.content = JSON.parse(details.request.body);
    } catch {
      return null;
    }
  }
  return object;
}

const MEMBER = [
  [/^uri-missing$/, "uri", () => undefined],
  [/^(uri)-/, "uri", (hint) => hint.received],
  [/^method$/, "method", (hint) => hint.received],
  [/^(origin|destination)-missing$/, null, () => undefined],
  [/^(origin|destination)$/, null, (hint) => hint.received],
  [/^content-missing$/, "content", () => undefined],
  [/^content-without-body$/, "content", (hint) => parsed(hint.received)],
  [/^content-(empty|string|members|numbers)$/, "content", (hint) => parsed(hint.received)],
];

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The object that was signed instead, as the hints say; null if they do not. */
export function signed(object, hints) {
  const changed = { ...object };
  let isKnown = false;
  for (const hint of hints) {
    if (hint.code === "names-exchanged") {
      [changed.origin, changed.destination] = [object.destination, object.origin];
      isKnown = true;
      continue;
    }
    for (const [code, member, value] of MEMBER) {
      const found = code.exec(hint.code);
      if (found === null) continue;
      const name = member ?? found[1];
      const made = value(hint);
      if (made === undefined) delete changed[name];
      else changed[name] = made;
      isKnown = true;
      break;
    }
  }
  return isKnown ? changed : null;
}
