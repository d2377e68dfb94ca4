"use strict";
// Draws the cases, the timeline and the traces from the data in the page.
// Rules: text is set as text, never as markup; nothing is fetched; every control works by keyboard.
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const STATES = ["passed", "failed", "unmeasured"];
const SVG = "http://www.w3.org/2000/svg";

function el(tag, attrs, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs || {})) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== ""));
  return node;
}
function shape(tag, attrs, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attrs)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
const mark = (state) => shape("svg", { class: "mark " + state, "aria-hidden": "true" },
  shape("use", { href: "#m-" + state }));

// Words
const percent = (share) => (share == null ? "–" : (100 * share).toFixed(1) + " %");
const money = (micro) => (micro === 0 ? "$0" : micro >= 1e6 ? "$" + (micro / 1e6).toFixed(2) : "$" + (micro / 1e6).toFixed(4));
function time(ns) {
  const s = ns / 1e9;
  if (s < 0.0995) return (s * 1000).toFixed(1) + " ms";
  if (s < 0.9995) return (s * 1000).toFixed(0) + " ms";
  if (s < 99.95) return s.toFixed(s >= 9.995 ? 1 : 2) + " s";
  const minutes = Math.floor(Math.round(s) / 60);
  return minutes < 60 ? `${minutes} min ${String(Math.round(s) % 60).padStart(2, "0")} s`
    : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
const many = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

// Trials and cases
const trials = data.trials.map(([id, place, repeat, role, state, failure, usd, tokens, ticks, llm, tools, denied, retries, why]) =>
  ({ id, place, repeat, role, state: STATES[state], failure, usd, tokens, ns: ticks * data.tick_ns, llm, tools, denied, retries, why }));
const trialOf = new Map(trials.map((trial) => [trial.id, trial]));
const cases = data.cases.map((given) => ({ ...given, trials: [], baselines: [] }));
for (const trial of trials) {
  const held = cases[trial.place];
  if (held) (trial.role ? held.baselines : held.trials).push(trial);
}
for (const held of cases) {
  const measured = held.trials.filter((trial) => trial.state !== "unmeasured");
  held.trials.sort((a, b) => a.repeat - b.repeat);
  held.measured = measured.length;
  held.passed = measured.filter((trial) => trial.state === "passed").length;
  held.rate = measured.length ? held.passed / measured.length : null;
  held.flaky = held.passed > 0 && held.passed < held.measured;
  const missed = held.trials.filter((trial) => trial.state !== "passed");
  held.first = missed.find((trial) => trial.state === "failed") || missed[0];
  held.usd = held.trials.reduce((sum, trial) => sum + trial.usd, 0) / (held.trials.length || 1);
  const sorted = measured.map((trial) => trial.ns).sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  held.ns = !sorted.length ? null : sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  held.search = (held.id + " " + held.tags.join(" ") + " " + held.trials.map((trial) => trial.why).join(" ")).toLowerCase();
}

// The table of cases
const unknownLast = (value) => (value == null ? 2 : value);
const COLUMNS = [
  { name: "Case", key: (c) => c.id },
  { name: "Repeats", key: (c) => c.trials.length, cell: "wide" },
  { name: "Pass rate", key: (c) => unknownLast(c.rate), cell: "r" },
  { name: "Null", key: (c) => unknownLast(c.null), cell: "r" },
  { name: "Ref.", key: (c) => unknownLast(c.reference), cell: "r" },
  { name: "Cost", key: (c) => c.usd, cell: "r" },
  { name: "Time", key: (c) => c.ns || 0, cell: "r" },
  { name: "First failure", key: (c) => (c.first ? c.first.why : ""), cell: "reason" },
];
const PAGE = 60;
let order = { column: 2, up: true }, shown = PAGE;

function dot(trial) {
  const said = `repeat ${trial.repeat}: ${trial.state === "unmeasured" ? "not measured" : trial.state}` +
    (trial.failure ? ` (${trial.failure})` : "");
  return el("button", { type: "button", class: "dot", "aria-label": said, title: said, "data-trial": trial.id }, mark(trial.state));
}
function baselineMark(c, role) {
  const trial = c.baselines.find((one) => one.role === role);
  if (!trial) return el("span", { class: "none", title: "did not run" }, "–");
  const button = dot(trial), wanted = role === "null" ? "failed" : "passed";
  button.classList.add(trial.state === wanted ? "quiet" : "loud");
  const said = `${role} agent: ${trial.state}, ${trial.state === wanted ? "as it should" : `should be ${wanted}`}`;
  button.title = said;
  button.setAttribute("aria-label", said);
  return button;
}
function rowOf(c) {
  const rate = c.rate == null ? el("span", { class: "none" }, "not measured")
    : el("span", { title: `95 % interval ${percent(c.low)} to ${percent(c.high)}` }, `${c.passed}/${c.measured}`);
  const tags = [c.difficulty, ...c.tags].filter(Boolean).map((tag) => el("span", { class: "tag" }, tag));
  return el("tr", {},
    el("td", { class: "name" }, c.id, c.flaky ? [" ", el("span", { class: "tag flaky" }, "flaky")] : "", tags.length ? el("div", {}, tags) : ""),
    el("td", { class: "wide" }, el("div", { class: "dots", style: `min-width:${Math.min(8, c.trials.length) * 21}px` }, c.trials.map(dot))),
    el("td", { class: "r", "data-label": "passed" }, rate),
    el("td", { class: "r", "data-label": "null" }, baselineMark(c, "null")),
    el("td", { class: "r", "data-label": "reference" }, baselineMark(c, "reference")),
    el("td", { class: "r", "data-label": "cost" }, money(c.usd)),
    el("td", { class: "r", "data-label": "time" }, c.ns == null ? "–" : time(c.ns)),
    el("td", { class: "reason" }, c.first ? c.first.why : ""));
}
function chosenCases() {
  const text = byId("f-text").value.trim().toLowerCase(), state = byId("f-state").value;
  const difficulty = byId("f-difficulty").value, tag = byId("f-tag").value;
  const fits = {
    "": () => true, flaky: (c) => c.flaky, failed: (c) => c.passed < c.measured,
    passed: (c) => c.measured && c.passed === c.measured,
    unmeasured: (c) => c.measured < c.trials.length,
  }[state];
  const key = COLUMNS[order.column].key, sign = order.up ? 1 : -1;
  return cases.filter((c) => (!text || c.search.includes(text)) && fits(c) &&
      (!difficulty || c.difficulty === difficulty) && (!tag || c.tags.includes(tag)))
    .sort((a, b) => {
      const x = key(a), y = key(b);
      return sign * (x < y ? -1 : x > y ? 1 : 0) || (a.id < b.id ? -1 : 1);
    });
}
function showCases() {
  const chosen = chosenCases();
  byId("cases").replaceChildren(...chosen.slice(0, shown).map(rowOf));
  byId("f-count").textContent = chosen.length === cases.length ? many(cases.length, "case") : `${chosen.length} of ${many(cases.length, "case")}`;
  byId("more").hidden = chosen.length <= shown;
  byId("more").textContent = `Show more (${chosen.length - shown})`;
  byId("cases-head").replaceChildren(...COLUMNS.map((column, place) => {
    const sort = () => {
      order = { column: place, up: order.column === place ? !order.up : true };
      showCases();
      byId("cases-head").children[place].firstChild.focus();
    };
    const sorted = order.column === place && (order.up ? "ascending" : "descending");
    return el("th", { scope: "col", class: column.cell, "aria-sort": sorted }, el("button", { type: "button", onclick: sort }, column.name));
  }));
}
function fillSelect(id, values) {
  const names = [...new Set(values.filter(Boolean))].sort();
  byId(id).append(...names.map((name) => el("option", { value: name }, name)));
  byId(id).closest("label").hidden = !names.length;
}
fillSelect("f-difficulty", cases.map((c) => c.difficulty));
fillSelect("f-tag", cases.flatMap((c) => c.tags));
byId("filters").addEventListener("input", () => { shown = PAGE; showCases(); });
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("more").addEventListener("click", () => { shown += 4 * PAGE; showCases(); });
addEventListener("beforeprint", () => { shown = cases.length; showCases(); });
showCases();

// The trace of a trial
const dialog = byId("trace");
const block = (title, text) => (text ? [el("h4", {}, title), el("pre", {}, text)] : []);
const fact = (name, value) => (value ? el("div", {}, el("dt", {}, name), el("dd", {}, value)) : "");
const OUTCOMES = { denied: "denied", fail: "failed", unknown: "unknown outcome", released: "not sent" };

function checks(verdicts) {
  return verdicts.map((verdict) => {
    const state = verdict.passed === true ? "passed" : verdict.passed === false ? "failed" : "unmeasured";
    const said = state === "passed" ? "" : el("div", { class: "pairs" },
      verdict.expected ? el("div", {}, block("expected", verdict.expected)) : "",
      verdict.got || verdict.expected ? el("div", {}, block("got", verdict.got || "(nothing)")) : "");
    const why = state === "passed" ? "" : verdict.why;
    return el("div", { class: "check" }, el("p", {}, mark(state), " ", el("b", {}, verdict.verifier),
      state === "unmeasured" ? " not measured" : ""), said, why ? el("p", { class: "because" }, why) : "");
  });
}
function stepOf(step, whole) {
  const kind = step.name.split(".")[0], outcome = step.outcome || "ok";
  const at = step.at_ns || 0, total = step.total_ns || 0, queue = step.queue_ns || 0;
  const left = (ns) => `left:${Math.min(99.5, (100 * ns) / whole)}%;width:`;
  const wrong = outcome !== "ok" || step.is_error;
  const notes = [
    "+" + time(at), total ? time(total) : "", queue ? `queued ${time(queue)}` : "",
    step.backoff_ns ? `backed off ${time(step.backoff_ns)}` : "",
    step.usd_micro ? money(step.usd_micro) : "",
    step.input_tokens || step.output_tokens ? `${step.input_tokens || 0} in, ${step.output_tokens || 0} out` : "",
    step.finish && step.finish !== "unknown" ? step.finish : "", step.status >= 300 ? `status ${step.status}` : "",
  ].filter(Boolean).join(" · ");
  return el("li", { class: `step ${kind}${wrong ? " wrong" : ""}` },
    el("header", {}, el("b", {}, kind === "tool" ? step.name.slice(5) : step.model || step.name),
      step.retry ? el("span", { class: "tag" }, `retry ${step.retry}`) : "",
      (step.faults || []).map((fault) => el("span", { class: "tag flaky" }, "fault: " + fault)),
      wrong ? el("span", { class: "wrongly" }, OUTCOMES[outcome] || "error") : "",
      el("span", { class: "say num" }, notes)),
    el("div", { class: "span", "aria-hidden": "true" },
      queue ? el("i", { class: "q", style: left(at) + (100 * queue) / whole + "%" }) : "",
      el("i", { style: left(at + queue) + (100 * Math.max(0, total - queue)) / whole + "%" })),
    (step.heard || []).map((said) => (said.who === "system"
      ? el("details", {}, el("summary", {}, "system prompt"), el("pre", {}, said.text)) : block(said.who, said.text))),
    block("said", step.text),
    (step.asked || []).map((call) => block(`asked for ${call.name}`, call.arguments)),
    block("arguments", step.arguments), block(step.is_error ? "error result" : "result", step.result),
    step.other ? el("p", { class: wrong ? "wrongly" : "say" }, step.other) : "");
}
function copyButton(text) {
  const button = el("button", { type: "button", class: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(button.previousSibling); }
  });
  return button;
}
function quoted(text) { return /^[\w@%+=:,./-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\"'\"'") + "'"; }
function traceOf(trial) {
  const trace = data.traces[trial.id], held = cases[trial.place];
  if (!trace) {
    return [el("h3", {}, "Trace"), el("p", { class: "say" }, "The trace of this trial is not in this file, to keep it small. To see it:"),
      el("pre", {}, `${data.show} ${quoted(trial.id)}`), trial.why ? el("p", {}, trial.why) : ""];
  }
  const steps = trace.steps || [];
  const whole = Math.max(1, trial.ns, ...steps.map((step) => (step.at_ns || 0) + (step.total_ns || 0)));
  const command = `${data.command} --case ${quoted(held ? held.id : trial.id)} --seed ${data.seed}`;
  return [
    el("dl", { class: "facts tight" }, fact("Took", time(trial.ns)), fact("Cost", money(trial.usd)),
      fact("Tokens", String(trial.tokens)), fact("Ended by", trace.ending), fact("Exit code", trace.exit_code == null ? "" : String(trace.exit_code)),
      fact("Tenant", trace.tenant), fact("Trial seed", trace.seed ? String(trace.seed) : "")),
    trace.verdicts ? [el("h3", {}, "Verdicts"), checks(trace.verdicts)] : "",
    trace.error ? [el("h3", {}, "Error"), el("pre", {}, trace.error), trace.detail ? el("details", {}, el("summary", {}, "Detail"), el("pre", {}, trace.detail)) : ""] : "",
    trace.answer ? [el("h3", {}, "Final answer"), el("pre", {}, trace.answer)] : "",
    el("h3", {}, "Reproduce"), el("div", { class: "cmd" }, el("pre", {}, command), copyButton(command)),
    el("h3", {}, many(steps.length, "action")), el("ol", { class: "steps" }, steps.map((step) => stepOf(step, whole))),
    trace.left_out ? el("p", { class: "say" }, `${many(trace.left_out, "further history entry").replace("entrys", "entries")} left out.`) : "",
  ];
}
function openTrial(id) {
  const trial = trialOf.get(id);
  if (!trial) return;
  const listed = chosenCases().flatMap((c) => c.trials), place = listed.findIndex((one) => one.id === id);
  const step = (by, name) => el("button", { type: "button", class: "button", disabled: !listed[place + by] || place < 0,
    onclick: () => openTrial(listed[place + by].id) }, name);
  const state = trial.state === "unmeasured" ? "not measured" : trial.state;
  byId("trace-body").replaceChildren(
    el("div", { class: "bar" }, step(-1, "← Previous"), step(1, "Next →"), el("span", { class: "grow" }),
      el("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Close")),
    el("h2", { id: "trace-title", tabindex: "-1", autofocus: true }, mark(trial.state), trial.id),
    el("p", { class: "say" }, [state, trial.failure, trial.role && trial.role + " agent", trial.denied && `${trial.denied} denied`, trial.retries && many(trial.retries, "retried call")].filter(Boolean).join(" · ")),
    ...traceOf(trial).flat(Infinity).filter(Boolean));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  byId("trace-title").focus();
  history.replaceState(null, "", "#trial=" + encodeURIComponent(id));
}
dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-trial]");
  if (button) openTrial(button.dataset.trial);
});
function fromHash() { if (location.hash.startsWith("#trial=")) openTrial(decodeURIComponent(location.hash.slice(7))); }
addEventListener("hashchange", fromHash);

// The timeline
const canvas = byId("tl-canvas"), frame = byId("tl"), tip = byId("tip");
const AXIS = 24, FAILED = 4, DENIED = 8, FAULT = 16;
const lanes = data.lanes.map(([id, begin, length, retried, flat]) => ({ id, begin, end: begin + length, retried, flat, trial: trialOf.get(id) }));
let picked = [], view = { from: 0, to: 1 }, focus = -1, drag = null;

byId("tl-pick").append(...cases.slice(0, 500).map((c) => el("option", { value: c.id }, c.id)));
const baseline = (lane) => (lane.trial ? lane.trial.role !== "" : /[:@](null|reference)(~\d+)?$/.test(lane.id));
const caseOf = (lane) => (lane.trial ? cases[lane.trial.place].id : lane.id.slice(0, lane.id.lastIndexOf(":")));
function pick() {
  const value = byId("tl-pick").value;
  const fits = {
    "": (lane) => !baseline(lane), "!baseline": baseline,
    "!failed": (lane) => lane.trial && !lane.trial.role && lane.trial.state === "failed",
  }[value] || ((lane) => !baseline(lane) && caseOf(lane) === value);
  picked = lanes.filter(fits);
  focus = -1;
  whole();
}
function whole() {
  view = { from: Math.min(...picked.map((lane) => lane.begin)), to: Math.max(...picked.map((lane) => lane.end)) };
  if (!picked.length) view = { from: 0, to: 1 };
  if (view.to <= view.from) view.to = view.from + 1;
  drawTimeline();
}
const laneHeight = () => (picked.length <= 24 ? 18 : picked.length <= 120 ? 9 : 5);
const gutter = () => (laneHeight() >= 18 && frame.clientWidth > 640 ? 170 : 14);
const place = (t) => gutter() + ((t - view.from) / (view.to - view.from)) * (frame.clientWidth - gutter() - 10);
const timeAt = (x) => view.from + ((x - gutter()) / (frame.clientWidth - gutter() - 10)) * (view.to - view.from);
function ticks() {
  const span = ((view.to - view.from) * data.tick_ns) / 1e9, rough = span / Math.max(2, frame.clientWidth / 130);
  const power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].find((n) => n * power >= rough) * power;
  const from = (view.from * data.tick_ns) / 1e9, found = [];
  for (let n = Math.ceil(from / step); n * step <= from + span && found.length < 40; n++) found.push([(n * step * 1e9) / data.tick_ns, n * step * 1e9]);
  return found;
}
function drawTimeline() {
  const width = frame.clientWidth, high = laneHeight(), full = AXIS + picked.length * high + 6;
  const height = Math.min(full, 438), ratio = devicePixelRatio || 1;
  canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = height + "px";
  byId("tl-space").style.height = Math.max(0, full - height) + "px";
  const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue("--" + name).trim();
  const colors = Object.fromEntries(["accent", "tool", "queue", "bad", "unsure", "good", "rule", "soft", "faint", "panel", "track", "accent-soft"].map((name) => [name, color(name)]));
  pen.scale(ratio, ratio);
  pen.fillStyle = colors.panel; pen.fillRect(0, 0, width, height);
  pen.font = "11px system-ui,sans-serif"; pen.textBaseline = "middle";
  const first = Math.max(0, Math.floor(frame.scrollTop / high)), last = Math.min(picked.length, first + Math.ceil(height / high) + 1);
  pen.strokeStyle = colors.rule;
  for (const [at] of ticks()) { pen.beginPath(); pen.moveTo(place(at), AXIS - 4); pen.lineTo(place(at), height); pen.stroke(); }
  for (let n = first; n < last; n++) drawLane(pen, colors, picked[n], AXIS + n * high - frame.scrollTop, high, n === focus);
  pen.fillStyle = colors.panel; pen.fillRect(0, 0, width, AXIS - 3);
  pen.fillStyle = colors.faint; pen.textAlign = "center";
  for (const [at, ns] of ticks()) if (place(at) < width - 24) pen.fillText(ns ? time(ns) : "0", Math.max(16, place(at)), AXIS / 2);
  if (drag && drag.moved) { pen.globalAlpha = 0.25; pen.fillStyle = colors.accent; pen.fillRect(Math.min(drag.x, drag.now), AXIS, Math.abs(drag.now - drag.x), height); pen.globalAlpha = 1; }
  byId("tl-said").textContent = many(picked.length, "lane") + ", " + time((view.to - view.from) * data.tick_ns);
}
function drawLane(pen, colors, lane, y, high, focused) {
  if (y + high < AXIS) return;
  const side = gutter(), inner = high > 6 ? high - 4 : high - 1, top = y + (high - inner) / 2;
  const state = lane.retried || !lane.trial ? "unmeasured" : lane.trial.state;
  if (focused) { pen.fillStyle = colors["accent-soft"]; pen.fillRect(0, y, frame.clientWidth, high); }
  pen.save();
  pen.beginPath(); pen.rect(side, AXIS - 3, frame.clientWidth - side, 1e5); pen.clip();
  pen.fillStyle = colors.queue;
  pen.globalAlpha = 0.5;
  const x0 = place(lane.begin);
  pen.fillRect(x0, top + inner / 2 - 1, Math.max(1, place(lane.end) - x0), high > 6 ? 2 : 1);
  pen.globalAlpha = 1;
  for (let n = 0; n < lane.flat.length; n += 5) drawBar(pen, colors, lane, n, top, inner);
  pen.restore();
  drawState(pen, colors, state, 7, y + high / 2, Math.min(4, high / 2 - 0.5));
  if (side > 20) { pen.fillStyle = colors.soft; pen.textAlign = "left"; pen.fillText(shorten(lane.id, 26), 16, y + high / 2); }
}
function drawBar(pen, colors, lane, n, top, inner) {
  const [start, queue, , total, code] = lane.flat.slice(n, n + 5);
  const from = place(lane.begin + start), to = place(lane.begin + start + total);
  if (to < 0 || from > frame.clientWidth) return;
  const kind = code & 3, slim = kind === 1 ? inner * 0.56 : inner, at = top + (inner - slim) / 2;
  if (code & DENIED) {
    pen.strokeStyle = colors.bad; pen.lineWidth = 1.6; pen.beginPath();
    cross(pen, from, top + inner / 2, Math.min(4, inner / 2));
    pen.stroke(); pen.lineWidth = 1;
    return;
  }
  const began = queue ? place(lane.begin + start + queue) : from;
  if (queue) { pen.fillStyle = colors.queue; pen.fillRect(from, at, Math.max(0.75, began - from), slim); }
  pen.fillStyle = code & FAILED ? colors.bad : kind === 1 ? colors.tool : kind === 2 ? colors.soft : colors.accent;
  pen.fillRect(began, at, Math.max(1, to - began - (to - began > 3 ? 0.75 : 0)), slim);
  if (code & FAULT) { pen.fillStyle = colors.unsure; pen.beginPath(); pen.moveTo(from, top - 1); pen.lineTo(from + 5, top + 7); pen.lineTo(from - 5, top + 7); pen.fill(); }
}
function cross(pen, x, y, r) {
  pen.moveTo(x - r, y - r); pen.lineTo(x + r, y + r);
  pen.moveTo(x + r, y - r); pen.lineTo(x - r, y + r);
}
function drawState(pen, colors, state, x, y, r) {
  pen.beginPath();
  pen.lineWidth = r > 3 ? 2 : 1.4;
  pen.strokeStyle = state === "failed" ? colors.bad : colors.faint;
  if (state === "failed") cross(pen, x, y, r * 0.9); else pen.arc(x, y, r, 0, 7);
  pen.fillStyle = colors.good;
  if (state === "passed") pen.fill(); else pen.stroke();
  pen.lineWidth = 1;
}
const shorten = (text, most) => (text.length > most ? text.slice(0, most - 8) + "…" + text.slice(-7) : text);
function zoom(factor, centre) {
  const middle = centre ?? (view.from + view.to) / 2, span = Math.max(5, (view.to - view.from) * factor);
  view = { from: middle - ((middle - view.from) * span) / (view.to - view.from), to: 0 };
  view.to = view.from + span;
  drawTimeline();
}
function laneAt(event) {
  const box = canvas.getBoundingClientRect(), y = event.clientY - box.top;
  return y < AXIS ? -1 : Math.floor((y - AXIS + frame.scrollTop) / laneHeight());
}
function barAt(lane, t) {
  const near = ((view.to - view.from) / frame.clientWidth) * 3;
  for (let n = 0; n < lane.flat.length; n += 5) {
    const from = lane.begin + lane.flat[n], to = from + lane.flat[n + 3];
    if (t >= from - near && t <= to + near) return lane.flat.slice(n, n + 5);
  }
  return null;
}
function hover(event) {
  const lane = picked[laneAt(event)];
  tip.hidden = !lane || (drag && drag.moved);
  if (tip.hidden) return;
  const bar = barAt(lane, timeAt(event.clientX - canvas.getBoundingClientRect().left));
  const state = lane.retried ? "to be retried" : lane.trial ? lane.trial.state : "never ended";
  let said = `${lane.id} · ${state}${lane.trial && lane.trial.failure ? " (" + lane.trial.failure + ")" : ""}`;
  if (bar) {
    const code = bar[4], ns = (n) => time(bar[n] * data.tick_ns);
    said += `\n${["model call", "tool call", "action"][code & 3]} at +${ns(0)}` + (code & DENIED ? ", denied" : `, ${ns(3)}`) +
      (bar[1] ? `\nqueue ${ns(1)}, service ${ns(2)}` : "") + (code & FAULT ? "\nan injected fault hit it" : "") + (code & FAILED ? "\nit failed" : "");
  }
  tip.textContent = said;
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)) + "px";
  tip.style.top = Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8) + "px";
}
canvas.addEventListener("pointermove", (event) => {
  const x = event.clientX - canvas.getBoundingClientRect().left;
  if (drag) { drag.now = x; drag.moved = drag.moved || Math.abs(x - drag.x) > 5; drawTimeline(); }
  hover(event);
});
canvas.addEventListener("pointerdown", (event) => {
  const x = event.clientX - canvas.getBoundingClientRect().left;
  drag = { x, now: x, moved: false };
});
canvas.addEventListener("pointerup", (event) => {
  const held = drag;
  drag = null;
  if (held && held.moved) {
    const [from, to] = [timeAt(Math.min(held.x, held.now)), timeAt(Math.max(held.x, held.now))];
    if (to - from >= 2) view = { from, to };
    drawTimeline();
  } else if (picked[laneAt(event)]) openTrial(picked[laneAt(event)].id);
});
canvas.addEventListener("pointerleave", () => { tip.hidden = true; if (drag) { drag = null; drawTimeline(); } });
canvas.addEventListener("keydown", (event) => {
  const span = view.to - view.from;
  const move = (by) => { focus = Math.max(0, Math.min(picked.length - 1, focus + by)); frame.scrollTop = Math.max(0, focus * laneHeight() - 200); drawTimeline(); };
  const actions = {
    ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: () => picked[focus] && openTrial(picked[focus].id),
    ArrowLeft: () => { view = { from: view.from - span / 6, to: view.to - span / 6 }; drawTimeline(); },
    ArrowRight: () => { view = { from: view.from + span / 6, to: view.to + span / 6 }; drawTimeline(); },
    "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), 0: whole,
  };
  if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
});
byId("tl-in").addEventListener("click", () => zoom(0.6));
byId("tl-out").addEventListener("click", () => zoom(1 / 0.6));
byId("tl-reset").addEventListener("click", whole);
byId("tl-pick").addEventListener("change", pick);
frame.addEventListener("scroll", drawTimeline);
addEventListener("resize", drawTimeline);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTimeline);
pick();
fromHash();
})();
