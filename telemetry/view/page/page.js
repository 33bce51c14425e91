// The local page: asks for facts, and writes them as text. Nothing that is told is ever read as markup.
"use strict";

const at = (id) => document.getElementById(id);
const EVERY_MILLISECONDS = 1000;
const KEPT_SECONDS = 300;
const STATES = { active: "being written", sealed: "waiting", sent: "sent", local: "kept here", quarantine: "set aside", quarantined: "set aside" };
const FIGURES = { emitted: "emitted", delivered: "delivered", on_disk: "on disk", in_flight: "in flight", dropped: "dropped" };

let product = "";
let last = null; // the report before this one
let catalogs = [];
let batches = [];
let charts = {};
let rates = [[], [], [], []];

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = String(text);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// A table in `id`; a cell is a text, a number, or an element. Only what changed is written: a reader may stand in it.
function table(id, label, heads, rows, nothing) {
  const place = at(id);
  const state = JSON.stringify([heads, rows.map((row) => row.map((cell) => (cell instanceof Element ? cell.outerHTML : cell)))]);
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  if (!rows.length) {
    place.replaceChildren(element("p", nothing, { class: "note" }));
    return;
  }
  const made = element("table");
  const head = element("tr");
  heads.forEach((text, column) => head.append(element("th", text, { scope: "col", ...(typeof rows[0][column] === "number" ? { class: "number" } : {}) })));
  made.append(element("thead"), element("tbody"));
  made.tHead.append(head);
  for (const row of rows) {
    const line = element("tr");
    for (const cell of row) {
      const box = element("td", undefined, typeof cell === "number" ? { class: "number" } : {});
      if (cell instanceof Element) {
        box.append(cell);
        if (cell.dataset.share !== undefined) {
          box.className = "bar";
          cell.style.width = `${100 * Number(cell.dataset.share)}%`;
        }
      } else box.textContent = typeof cell === "number" ? number(cell) : cell ?? "";
      line.append(box);
    }
    made.tBodies[0].append(line);
  }
  const scroll = element("div", undefined, { class: "scroll", tabindex: "0", role: "region", "aria-label": label });
  scroll.append(made);
  place.replaceChildren(scroll);
}

const number = (value) => value.toLocaleString("en");
const size = (bytes) => (bytes < 1024 ? `${bytes} B` : bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`);
const sum = (counts) => Object.values(counts).reduce((one, two) => one + two, 0);
const falling = (counts) => Object.entries(counts).sort((one, two) => two[1] - one[1]);

async function ask(path, more = {}) {
  const query = new URLSearchParams({ product, ...more });
  return answer(await fetch(`/api/${path}?${query}`));
}

async function answer(response) {
  if (!response.ok) {
    const text = await response.text();
    let said = text;
    try { said = JSON.parse(text).fault ?? text; } catch { /* it is the text itself */ }
    throw new Error(said);
  }
  return response.json();
}

function complain(fault) {
  at("fault").hidden = !fault;
  const text = fault ? (fault instanceof TypeError ? "The command `telemetry view` has ended: run it again." : fault.message) : "";
  if (at("fault").textContent !== text) at("fault").textContent = text;
}

// Now.

function showNow(now) {
  const ledger = { ...now.ledger, dropped: sum(now.ledger.dropped) };
  at("ledger").replaceChildren(...Object.entries(FIGURES).map(([name, label]) => {
    const box = element("div");
    box.append(element("dt", label), element("dd", number(ledger[name]), { "data-figure": name }));
    return box;
  }));
  at("balance").textContent = now.ledger.balance ? `; ${number(now.ledger.balance)} are unaccounted for, which is a bug` : "";
  const runs = [now.shipper, ...now.shipper.others].filter((run) => run.running);
  const hosts = runs.flatMap((run) => run.hosts ?? []);
  const told = new Map();
  for (const host of hosts) {
    const ground = `${host.consent} by ${host.basis}`;
    told.set(ground, (told.get(ground) ?? 0) + 1);
  }
  const collecting = hosts.length
    ? [...told].map(([ground, many]) => `${ground} in ${many} running ${many === 1 ? "program" : "programs"}`).join(", ")
    : "no program that collects runs now";
  at("consent").textContent = `Consent: ${collecting}. For a program that says nothing itself: ${now.consent.state}, by ${now.consent.rule}.`;

  const most = Math.max(1, ...Object.values(now.kept.names));
  table("names", "Events by name", ["event", "number", "share"], falling(now.kept.names).map(([name, many]) => [name, many, element("div", "", { "data-share": many / most })]), "none");
  const undeclared = {};
  for (const run of runs) for (const [name, many] of Object.entries(run.undeclared ?? {})) undeclared[name] = (undeclared[name] ?? 0) + many;
  table("undeclared", "Emitted, and not in the catalog", ["event or field", "times"], falling(undeclared), "none since the shipper started");
  table("dropped", "Dropped events", ["reason", "events", "what to do"], falling(now.ledger.dropped).map(([reason, many]) => [reason, many, now.remedies[reason] ?? ""]), "none");
  const removed = Object.entries(now.touched).flatMap(([field, each]) => falling(each.dropped).map(([reason, many]) => [field, reason, many, now.remedies[reason] ?? ""]));
  table("fields", "Fields removed", ["field", "reason", "values", "what to do"], removed, "none");
  const redacted = Object.entries(now.touched).flatMap(([field, each]) => falling(each.redacted).map(([rule, many]) => [rule, field, many]));
  table("redacted", "Redactions", ["rule", "field", "values"], redacted, "none");
  const lanes = runs.map((run) => run.fault
    ? [`pid ${run.pid}`, run.starting ? "starts" : "does not answer", "", "", "", run.endpoint ?? ""]
    : [`pid ${run.pid}`, run.upload + (run.cause ? `: ${run.cause}` : ""), run.producers, size(run.memory_bytes), `${run.cpu_seconds.toFixed(1)} s`, run.endpoint ?? ""]);
  table("shippers", "Shippers", ["shipper", "uploads", "producers", "memory", "CPU", "endpoint"], lanes, now.shipper.refused ? `none runs; it could not start: ${now.shipper.refused}` : "none runs");
  const disk = Object.entries(now.spool.segments).map(([folder, many]) => [STATES[folder] ?? folder, many, size(now.spool.bytes[folder])]);
  table("spool", "Batches on disk", ["batches", "number", "size"], disk, "none");
  const oldest = now.spool.oldest_sealed_seconds;
  table("errors", "Errors", ["line"], now.errors.map((line) => [line]), "none");
  at("live").textContent = oldest ? `live; the oldest batch waits for ${Math.round(oldest)} s` : "live";

  const choice = now.consent.stored.choice;
  at("chosen").textContent = choice ? `You chose ${choice} on ${now.consent.stored.since}.` : "You have chosen nothing yet.";
  document.querySelectorAll("[data-choice]").forEach((button) => {
    if (button.dataset.choice !== "erase") button.setAttribute("aria-pressed", String(button.dataset.choice === choice));
  });
  table("sessions", "Sessions", ["session", "events that lie here", "ask"], falling(now.kept.sessions).map(([session, many]) => [session, many, element("button", "Ask to be forgotten", { "data-forget": session, "aria-label": `Ask to be forgotten: session ${session}` })]), "none");
  draw(now, ledger);
  last = { time: now.time, ledger };
}

function draw(now, ledger) {
  if (last && now.time > last.time) {
    const seconds = now.time - last.time;
    rates[0].push(now.time);
    ["emitted", "delivered", "dropped"].forEach((name, series) => rates[series + 1].push(Math.max(0, (ledger[name] - last.ledger[name]) / seconds)));
    while (rates[0][0] < now.time - KEPT_SECONDS) rates.forEach((series) => series.shift());
    charts.rate?.setData(rates);
    const latest = rates.map((series) => Math.round(series.at(-1)));
    at("rate").setAttribute("aria-label", `In the last second ${latest[1]} emitted, ${latest[2]} delivered, ${latest[3]} dropped`);
  }
  const times = Object.entries(now.kept.times).map(([time, many]) => [Date.parse(time) / 1000, many]).filter(([time]) => !Number.isNaN(time));
  // uPlot makes years of a single time: with nothing on both sides it is a quarter of an hour at least.
  const padded = times.length ? [[times[0][0] - 450, null], ...times, [times.at(-1)[0] + 450, null]] : [];
  charts.times?.setData([padded.map(([time]) => time), padded.map(([, many]) => many)]);
  at("times").setAttribute("aria-label", `${number(times.reduce((all, [, many]) => all + many, 0))} events at ${number(times.length)} times`);
}

function makeCharts() {
  Object.values(charts).forEach((chart) => chart.destroy());
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const clock = (seconds, more) => new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...more });
  const time = (more) => ({ ...axis, space: 80, values: (_, splits) => splits.map((seconds) => clock(seconds, more)) });
  const told = (more) => ({ label: "time", value: (_, seconds) => (seconds === null || seconds === undefined ? "" : clock(seconds, more)) });
  const seconds = { second: "2-digit" };
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  const width = Math.max(240, at("rate").clientWidth);
  const scales = { y: { range: (_, __, most) => [0, Math.max(1, most * 1.1)] } };
  const values = (_, given) => (given === null || given === undefined ? "" : number(Math.round(given)));
  const series = (label, name, more = {}) => ({ label, stroke: colour(name), width: 2, value: values, ...more });
  charts = {
    rate: new uPlot({ width, height: 220, scales, axes: [time(seconds), axis], series: [told(seconds), series("emitted", "--one"), series("delivered", "--two", { dash: [8, 4] }), series("dropped", "--three", { dash: [2, 4] })] }, rates, at("rate")),
    times: new uPlot({ width, height: 160, scales, axes: [time(), axis], series: [told(), series("events", "--one", { fill: colour("--one"), paths: uPlot.paths.bars({ size: [0.6, 40, 2] }), points: { show: false } })] }, [[], []], at("times")),
  };
}

// What is collected.

function showCatalogs() {
  const wanted = at("find").value.trim().toLowerCase();
  const open = new Set([...document.querySelectorAll("#catalogs details[open]")].map((each) => each.dataset.event));
  let many = 0;
  const parts = catalogs.map((catalog) => {
    const part = element("div");
    part.append(element("h3", `${catalog.product}, version ${catalog.version}`));
    for (const [name, event] of Object.entries(catalog.events)) {
      const said = [name, event.purpose, ...Object.entries(event.fields).flatMap(([field, each]) => [field, each.purpose, each.type])];
      if (wanted && !said.some((text) => String(text ?? "").toLowerCase().includes(wanted))) continue;
      many += 1;
      const key = `${catalog.version}/${name}`;
      const box = element("details", undefined, { "data-event": key });
      box.open = open.has(key) || Boolean(wanted);
      const summary = element("summary", `${name} `);
      summary.append(element("span", `to ${event.purpose}; ${event.sensitivity}`));
      box.append(summary, element("p", `Kind: ${event.kind}. Owner: ${event.owner}. Until ${event.expires}.`, { class: "note" }));
      const fields = element("div", undefined, { id: `fields-${key}` });
      box.append(fields);
      part.append(box);
      queueMicrotask(() => table(fields.id, `Fields of ${name}`, ["field", "what for", "what leaves"], Object.entries(event.fields).map(([field, each]) => [field, each.purpose ?? "", each.leaves_as]), "no fields"));
    }
    return part;
  });
  at("catalogs").replaceChildren(...parts);
  at("found").textContent = catalogs.length ? `${many} ${many === 1 ? "event" : "events"}` : "No catalog of this product is known here: no program that collects has run yet.";
  const policy = catalogs.map((catalog) => catalog.policy_url).find(Boolean);
  at("policy").textContent = policy ? ` They are found at ${policy}` : "";
}

// What left.

function showBatches() {
  const wanted = at("state").value;
  const shown = batches.filter((batch) => !wanted || batch.state === wanted);
  table("batches", "Batches", ["batch", "state", "begun", "events", "size", "what"], shown.map((batch) => [
    element("button", batch.id, { class: "link", "data-batch": batch.id }),
    (STATES[batch.state] ?? batch.state) + (batch.state === "sealed" && !batch.leaves ? ", but your choice does not let it leave" : ""),
    batch.began, batch.events, size(batch.bytes), batch.sensitivity ?? "",
  ]), "none");
  at("batch-count").textContent = `${number(shown.length)} of ${number(batches.length)}`;
}

async function openBatch(id) {
  const batch = await ask("batch", { id });
  at("batch").hidden = false;
  at("batch-title").textContent = batch ? `Batch ${id}, ${STATES[batch.state] ?? batch.state}` : `Batch ${id} is gone by now`;
  at("batch-head").textContent = batch ? [batch.line, ...batch.headers.map(([name, value]) => `${name}: ${value}`), ...(batch.envelope ? ["", batch.envelope] : [])].join("\n") : "";
  const more = batch ? batch.events - batch.lines.length : 0;
  at("batch-lines").textContent = batch ? batch.lines.join("\n") + (more > 0 ? `\nand ${more} more: telemetry preview --all --batch ${id}` : "") : "";
  const rows = batch ? Object.entries(batch.touched).flatMap(([field, each]) => [
    ...falling(each.redacted).map(([rule, many]) => [field, rule, many]),
    ...falling(each.dropped).map(([reason, many]) => [field, `removed: ${reason}`, many]),
  ]) : [];
  table("batch-touched", "Rules that touched a field", ["field", "rule", "values"], rows, "No rule touched a field.");
  at("batch").focus();
  at("batch").scrollIntoView();
}

async function search(event) {
  event.preventDefault();
  const text = at("text").value;
  const hits = text ? await ask("search", { text }) : [];
  at("hit-count").textContent = text ? `${number(hits.length)} ${hits.length === 1 ? "event" : "events"} found` : "";
  table("hits", "Events found", ["batch", "state", "event"], hits.map((hit) => [element("button", hit.batch, { class: "link", "data-batch": hit.batch }), STATES[hit.state] ?? hit.state, hit.line]), "");
}

function askToForget(session) {
  at("request").value = `Please erase all that you have collected in this session of ${product}, and take none of it again:\n\n${session}\n\nWith telemetry-shipper: telemetry forget ${session} --store DIRECTORY\n`;
  const policy = catalogs.map((catalog) => catalog.policy_url).find(Boolean);
  at("forget-policy").textContent = policy ? `, who are found at ${policy}` : "";
  at("forget-done").textContent = "";
  at("forget").showModal();
}

async function copyRequest() {
  at("request").select();
  try {
    await navigator.clipboard.writeText(at("request").value);
    at("forget-done").textContent = "Copied.";
  } catch { at("forget-done").textContent = "Not copied: the browser does not allow it. It is selected."; }
}

// Your choice.

async function choose(choice) {
  at("done").textContent = "…";
  try {
    const now = await answer(await fetch("/api/choice", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ product, choice }) }));
    last = null;
    showNow(now);
    await refreshRest();
    const here = now.ledger.on_disk + now.ledger.in_flight;
    const rest = `${number(here)} ${here === 1 ? "event lies" : "events lie"} on this machine.`;
    at("done").textContent = choice === "erase" ? `Everything is erased: ${rest}` : `Stored: ${now.consent.stored.choice}. ${rest}`;
    complain(null);
  } catch (fault) {
    at("done").textContent = "It was not done.";
    complain(fault);
  }
}

// All of it.

let restState = "";

async function refreshRest() {
  [catalogs, batches] = await Promise.all([ask("catalogs"), ask("batches")]);
  const state = JSON.stringify(catalogs);
  if (state !== restState) showCatalogs();
  restState = state;
  showBatches();
}

async function refresh() {
  try {
    const names = await ask("products");
    if (JSON.stringify(names) !== at("product").dataset.names) {
      at("product").dataset.names = JSON.stringify(names);
      const wanted = decodeURIComponent(location.hash.slice(1));
      if (!names.includes(product)) product = names.includes(wanted) ? wanted : names[0] ?? "";
      at("product").replaceChildren(...names.map((name) => element("option", name)));
      at("product").value = product;
    }
    if (product) {
      showNow(await ask("now"));
      await refreshRest();
    } else at("live").textContent = "no product has a choice or data on this machine";
    complain(null);
  } catch (fault) {
    complain(fault);
  }
}

async function live() {
  if (!document.hidden) await refresh();
  setTimeout(live, EVERY_MILLISECONDS);
}

at("product").addEventListener("change", () => {
  product = at("product").value;
  last = null;
  rates = [[], [], [], []];
  at("batch").hidden = true;
  refresh();
});
at("find").addEventListener("input", showCatalogs);
at("state").addEventListener("change", showBatches);
at("search").addEventListener("submit", (event) => search(event).catch(complain));
document.addEventListener("click", (event) => {
  const { batch, choice, forget } = event.target.dataset ?? {};
  if (forget) askToForget(forget);
  if (batch) openBatch(batch).catch(complain);
  if (choice === "erase") {
    at("sure-product").textContent = product;
    at("sure").showModal();
  } else if (choice) choose(choice);
});
at("forget-copy").addEventListener("click", copyRequest);
at("forget-close").addEventListener("click", () => at("forget").close());
at("sure-yes").addEventListener("click", () => { at("sure").close(); choose("erase"); });
at("sure-no").addEventListener("click", () => at("sure").close());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", makeCharts);
addEventListener("resize", () => Object.values(charts).forEach((chart) => chart.setSize({ width: Math.max(240, at("rate").clientWidth), height: chart.height })));

makeCharts();
live();
