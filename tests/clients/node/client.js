// A client for Node.js, complete but small: what ../README.md asks of one, step by step.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { createInterface } from "node:readline";
import { decode, encode } from "@msgpack/msgpack";
import { Dealer, Push } from "zeromq";

const PROTOCOL = 1;
const FRAME_EVENTS = 500;
const SOCKET_FRAMES = 16; // what ZeroMQ holds for a shipper that is slow, and loses with one that dies
const QUEUE_FRAMES = 128; // what waits here; beyond it the newest events are dropped, and counted
const SOCKET = { linger: 0, reconnectInterval: 10 };
const pause = (ms) => new Promise((resume) => setTimeout(resume, ms));

class Client {
  constructor(options) {
    this.options = options;
    this.producer = randomBytes(16); // of this process, new in the next; it never leaves the machine
    this.first = 0; // number of the next event that gets one
    this.dropped = {};
    this.events = [];
    this.frames = [];
    this.decide();
    if (this.consent.state === "off") return; // no socket, and nothing else
    this.place = this.ask("place", "--catalog", options.catalog, "--endpoint", options.endpoint);
    this.push = new Push({ ...SOCKET, sendHighWaterMark: SOCKET_FRAMES, sendTimeout: 0 });
    this.push.connect(this.place.data);
  }

  ask(command, ...rest) {
    const [program, ...words] = this.options.telemetry;
    const { product } = this.options;
    return JSON.parse(execFileSync(program, [...words, command, "--product", product, ...rest, "--json"]));
  }

  decide() {
    this.consent = this.ask("consent", "--catalog", this.options.catalog, "--host", "on");
    this.decidedAt = this.stamp();
    if (this.consent.state === "off") [this.events, this.frames] = [[], []];
  }

  stamp() {
    const found = statSync(this.consent.watch, { throwIfNoEntry: false, bigint: true });
    return found ? `${found.ino} ${found.mtimeNs}` : "";
  }

  emit(name, fields) {
    if (this.consent.state === "off") return;
    this.events.push([name, BigInt(Date.now()) * 1_000_000n, fields]);
    if (this.events.length >= FRAME_EVENTS) this.close_frame();
  }

  close_frame() {
    if (this.frames.length >= QUEUE_FRAMES) {
      this.dropped.queue_full = (this.dropped.queue_full ?? 0) + this.events.length;
    } else {
      const { state, basis, notice, deployment } = this.consent;
      const context = { pid: process.pid, catalog: this.place.catalog, consent: state, basis, notice, deployment };
      const frame = [PROTOCOL, this.producer, context, this.first, this.dropped, this.events];
      this.frames.push(encode(frame, { useBigInt64: true }));
      this.first += this.events.length; // only what is in a frame has a number
    }
    this.events = [];
  }

  drain() {
    this.draining ??= this.send().finally(() => (this.draining = undefined)); // a socket takes one send at a time
    return this.draining;
  }

  async send() {
    if (this.stamp() !== this.decidedAt) this.decide(); // a withdrawal acts within a second
    if (this.events.length) this.close_frame();
    try {
      for (; this.frames.length; this.frames.shift()) await this.push.send(this.frames[0]);
    } catch (fault) {
      if (fault.code !== "EAGAIN") throw fault; // full: it is tried again
    }
  }

  async flush(timeoutMs) {
    const deadline = Date.now() + timeoutMs;
    while (Date.now() < deadline && this.consent.state !== "off") {
      await this.drain();
      const told = await this.control({ op: "confirm", producer: this.producer });
      if (!this.frames.length && told?.accepted >= this.first) return true;
      this.hello();
      await pause(20);
    }
    return this.consent.state === "off";
  }

  hello() {
    // Without events: how far we have come. What was lost with a shipper that died is noticed by the next frame only.
    if (!this.frames.length) this.close_frame();
  }

  async control(request) {
    const socket = new Dealer({ ...SOCKET, receiveTimeout: 500, sendTimeout: 0 });
    try {
      socket.connect(this.place.control);
      await socket.send(encode(request));
      return decode((await socket.receive())[0]);
    } catch {
      return undefined; // none runs at this moment
    } finally {
      socket.close();
    }
  }

  async close() {
    const confirmed = await this.flush(60_000);
    if (this.consent.state !== "off") await this.control({ op: "leave", producer: this.producer });
    this.push.close();
    return confirmed;
  }
}

const [telemetry, product, catalog, endpoint] = process.argv.slice(2);
const client = new Client({ telemetry: telemetry.split(" "), product, catalog, endpoint });
console.log(client.consent.state);
if (client.consent.state === "off") process.exit(0);
const timer = setInterval(() => client.drain(), 50);
for await (const line of createInterface({ input: process.stdin })) {
  for (let number = 0; number < Number(line); number++) {
    client.emit("query_finished", { engine: number % 2 ? "batch" : "stream", rows: number, duration_ms: number / 2 });
    if (number % FRAME_EVENTS === FRAME_EVENTS - 1) await client.drain();
  }
  console.log(client.consent.state, await client.flush(60_000), JSON.stringify(client.dropped));
}
clearInterval(timer);
console.log(client.consent.state, await client.close(), JSON.stringify(client.dropped));
