// A client for the channels of a Tramline broker: no dependencies, no build step.
//
//   import { Tramline } from "/v1/client.js";
//   const tramline = new Tramline({ client: "alice" });
//   const stop = tramline.subscribe("orders/**", (message) => console.log(message.data));
//   await tramline.publish("orders/eu", { id: 1 });
//
// It comes back by itself after a break, with growing pauses, and goes on where it was: the
// `recovered` option is told whether everything in between was there.

export class Tramline {
  #url;
  #socket = null;
  #subscriptions = new Map();
  #requests = new Map();
  #next = 1;
  #pause = 0;
  #timer = null;
  #closed = false;
  // The subscription that was answered last: last values that come are for it.
  #newest = null;

  constructor({ url = new URL("/v1/ws", import.meta.url), client } = {}) {
    this.#url = new URL(url);
    this.#url.protocol = this.#url.protocol.replace("http", "ws");
    if (client !== undefined) this.#url.searchParams.set("client", client);
    this.#open();
  }

  // Calls `onMessage` with every message of a channel or pattern; gives a function that ends it.
  // Options: `position` (go on behind it), `recovered(yes)`, `dropped(count)`, `moved(event)`,
  // `failed(error)`. A last value comes to the first one who listens to this very channel or
  // pattern; who joins him later gets what comes from then on.
  subscribe(channel, onMessage, options = {}) {
    let of = this.#subscriptions.get(channel);
    if (!of) {
      of = {
        listeners: new Set(),
        position: options.position,
        matches: matcher(channel),
        request: null,
        stands: false,
      };
      this.#subscriptions.set(channel, of);
      this.#sendSubscribe(channel, of);
    }
    const listener = { onMessage, options };
    of.listeners.add(listener);
    return () => {
      of.listeners.delete(listener);
      if (of.listeners.size === 0 && this.#subscriptions.get(channel) === of) {
        this.#subscriptions.delete(channel);
        this.#send({ type: "unsubscribe", channel });
      }
    };
  }

  // Resolves to who got it: { position, delivered, waiting, dropped, stored }.
  publish(channel, data, { key, retain } = {}) {
    return this.#request({ type: "publish", channel, data, key, retain });
  }

  // Who listens to a channel by its name: { count, members }.
  presence(channel) {
    return this.#request({ type: "presence", channel });
  }

  // The last messages that are kept: { position, messages }.
  history(channel, limit) {
    return this.#request({ type: "history", channel, limit });
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#failRequests();
  }

  #open() {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#pause = 0;
      for (const [channel, of] of this.#subscriptions) this.#sendSubscribe(channel, of);
      for (const { request } of this.#requests.values()) socket.send(JSON.stringify(request));
    };
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = () => {
      if (this.#closed) return;
      // What was asked before the break may have been done: asking again could do it twice.
      this.#failRequests();
      this.#pause = Math.min(this.#pause * 2 || 250, 15000);
      const spread = this.#pause * (0.5 + Math.random());
      this.#timer = setTimeout(() => this.#open(), spread);
    };
  }

  #sendSubscribe(channel, of) {
    of.stands = false;
    of.request = this.#next++;
    this.#send({ type: "subscribe", id: of.request, channel, position: of.position });
  }

  #send(request) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(request));
  }

  #request(fields) {
    if (this.#closed) return Promise.reject(new Error("closed"));
    const id = this.#next++;
    const request = { id, ...fields };
    return new Promise((resolve, reject) => {
      this.#requests.set(id, { request, resolve, reject });
      this.#send(request);
    });
  }

  #failRequests() {
    for (const { reject } of this.#requests.values()) reject(new Error("the connection was lost"));
    this.#requests.clear();
  }

  #receive(event) {
    if (event.type === "message") return this.#message(event);
    if (event.type === "subscribed") {
      const of = this.#subscriptions.get(event.channel);
      if (of?.request !== event.id) return;
      of.stands = true;
      this.#newest = of;
      if (!(compare(event.position, of.position) < 0)) of.position = event.position;
      for (const { options } of of.listeners) {
        if (event.recovered !== undefined) options.recovered?.(event.recovered);
      }
    } else if (event.type === "dropped") {
      this.#each((_, { options }) => options.dropped?.(event.count));
    } else if (event.type === "joined" || event.type === "left") {
      this.#each((of, { options }) => of.matches(event.channel) && options.moved?.(event));
    } else {
      const request = this.#requests.get(event.id);
      this.#requests.delete(event.id);
      if (event.type !== "error") request?.resolve(event);
      else if (request) request.reject(new Error(event.error.message));
      else this.#refused(event);
    }
  }

  #refused({ id, error }) {
    for (const [channel, of] of this.#subscriptions) {
      if (of.request !== id) continue;
      this.#subscriptions.delete(channel);
      for (const { options } of of.listeners) {
        if (options.failed) options.failed(new Error(error.message));
        else console.error(`subscribing to ${channel}: ${error.message}`);
      }
    }
  }

  #message(message) {
    for (const of of this.#subscriptions.values()) {
      // Before it stands, what comes is for others: what it missed itself has yet to come.
      if (!of.stands || !of.matches(message.channel)) continue;
      if (message.retained && of !== this.#newest) continue;
      // Recovered for another subscription, and had already by this one.
      if (compare(message.position, of.position) <= 0) continue;
      if (message.position) of.position = message.position;
      for (const { onMessage } of [...of.listeners]) onMessage(message);
    }
  }

  #each(call) {
    for (const of of this.#subscriptions.values()) for (const it of [...of.listeners]) call(of, it);
  }
}

// Negative when a position lies before another one; undefined when they cannot be compared.
function compare(position, other) {
  if (!position || !other) return undefined;
  const [epoch, offset] = position.split(":");
  const [otherEpoch, otherOffset] = other.split(":");
  return epoch === otherEpoch ? Number(offset) - Number(otherOffset) : undefined;
}

// `*` is one level, a last `**` any number of them; neither is a first level that begins with `$`.
function matcher(pattern) {
  const wanted = pattern.split("/");
  return (channel) => {
    const levels = channel.split("/");
    if (channel.startsWith("$") && wanted[0].startsWith("*")) return false;
    for (let at = 0; at < wanted.length; at++) {
      if (wanted[at] === "**") return true;
      if (at >= levels.length || (wanted[at] !== "*" && wanted[at] !== levels[at])) return false;
    }
    return wanted.length === levels.length;
  };
}
