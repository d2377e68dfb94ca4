// The timeline
const canvas = byId("tl-canvas"), frame = byId("tl"), tip = byId("tip");
const BANDS = !scenes.length ? 0 : scenes.some((scene) => scene.phases.length) ? 34 : 20, AXIS = 24 + BANDS;
const FAILED = 16, DENIED = 32, FAULT = 64, LIMITED = 256;
const KINDS = [
  { said: "model call", name: "model", color: "accent", slim: 1 }, { said: "tool call", name: "tool", color: "tool", slim: 0.56 },
  { said: "action", name: "other", color: "soft", slim: 1 }, { said: "shared memory", name: "kv", color: "kv", slim: 0.8 },
  { said: "lock", name: "lock", color: "lock", slim: 0.8, pattern: "rising" }, { said: "cache", name: "cache", color: "cache", slim: 0.8, pattern: "dots" },
  { said: "message queue", name: "mq", color: "mq", slim: 0.8, pattern: "upright" }, { said: "quota", name: "quota", color: "quota", slim: 0.8, pattern: "level" },
  { said: "connection pool", name: "pool", color: "pool", slim: 0.8, pattern: "falling" }, { said: "file", name: "file", color: "file", slim: 0.8, pattern: "hollow" },
];
const lanes = data.lanes.map(([id, begin, length, retried, flat, regions]) => ({ id, begin, end: begin + length, retried, flat, regions, trial: trialOf.get(id), scene: sceneOf(id), flags: [], marks: [] }));
const laneOf = new Map(lanes.map((lane) => [lane.id, lane]));
for (const flag of flags) if (laneOf.has(flag.trial)) laneOf.get(flag.trial).flags.push(flag);
for (const scene of scenes) for (const [trial, t, kind, said] of scene.marks) if (laneOf.has(trial)) laneOf.get(trial).marks.push({ t, kind, said });
const findingSaid = (number) => { const held = byId("finding-" + number); return held ? held.firstElementChild.textContent.trim().replace(/^\d+\s*/, "") : ""; };
let picked = [], view = { from: 0, to: 1 }, focus = -1, drag = null;

const option = (value, text) => el("option", { value }, text);
byId("tl-pick").append(
  flags.length ? option("!found", "in findings") : "",
  scenes.length ? el("optgroup", { label: "Scenario" }, scenes.map((scene) => option("@" + scene.name, scene.name))) : "",
  ...cases.slice(0, 500).map((c) => option(c.id, c.id)));
const baseline = (lane) => (lane.trial ? lane.trial.role !== "" : /[:@](null|reference)(~\d+)?$/.test(lane.id));
function caseOf(lane) {
  const held = lane.trial && cases[lane.trial.place], end = lane.id.lastIndexOf(lane.scene ? "@" : ":");
  return held ? held.id : lane.id.slice(0, end);
}
const firstFlag = (lane) => (lane.flags.length ? Math.min(...lane.flags.map((flag) => flag.number)) : Infinity);
const flaggedFirst = (a, b) => { const x = firstFlag(a), y = firstFlag(b); return x === y ? a.begin - b.begin : x - y; };
function chosenScene() {
  const value = byId("tl-pick").value;
  return value[0] === "@" ? sceneNamed.get(value.slice(1)) : null;
}
function pick() {
  const value = byId("tl-pick").value, scene = chosenScene();
  const fits = {
    "": (lane) => !baseline(lane), "!baseline": baseline, "!found": (lane) => lane.flags.length,
    "!failed": (lane) => lane.trial && !lane.trial.role && lane.trial.state === "failed",
  }[value] || ((lane) => (scene ? lane.scene === scene : !baseline(lane) && caseOf(lane) === value));
  picked = lanes.filter(fits);
  if (scene || value === "!found") picked.sort(flaggedFirst); // else in the order of their begin
  focus = -1;
  frame.scrollTop = 0;
  legend();
  whole();
}
// What is to be seen of kinds and marks: the usual ones always, the others where there are any.
function legend() {
  const seen = new Set(), pair = (swatch, text) => el("span", { class: "pair" }, swatch, " ", text);
  const sign = (name, text) => pair(shape("svg", { class: "sign", viewBox: "-6 -6 12 12", "aria-hidden": "true" }, shape("path", SIGNS[name])), text);
  const swatch = (name, text) => pair(el("i", { class: "sw " + name }, name === "denied" ? "×" : ""), text);
  let limited = false;
  for (const lane of picked) for (let n = 4; n < lane.flat.length; n += 5) { seen.add(lane.flat[n] & 15); limited = limited || lane.flat[n] & LIMITED; }
  if (!scenes.length && Math.max(0, ...seen) < 3) return; // nothing that the page's own legend lacks
  const kinds = KINDS.filter((kind, place) => place < 2 || (place > 2 && seen.has(place)));
  const marks = new Set(picked.flatMap((lane) => lane.marks.map((mark) => mark.kind)));
  byId("tl-legend").replaceChildren(...[
    ...kinds.map((kind) => swatch("wide " + kind.name, kind.said.replace(" call", ""))),
    swatch("queue", "waiting"), swatch("bad", "failed"), swatch("fault", "fault"), swatch("denied", "denied"),
    limited && sign("limited", "429"), picked.some((lane) => lane.flags.length) && sign("flag", "finding"),
    marks.has("kill") && sign("kill", "killed"), marks.has("lock_expired") && sign("lock_expired", "lock expired"),
  ].filter(Boolean));
}
// Signs that stand on a lane: outlines around (0, 0), about 10 high.
const SIGNS = {
  limited: { d: "M0-5 5 0 0 5-5 0z", fill: "var(--panel)", stroke: "var(--bad)", "stroke-width": 2 },
  flag: { d: "M-4-6h1.6v1H5L3-2l2 3h-7.4v5H-4z", fill: "var(--bad)" },
  kill: { d: "M-4.5-4.5h9v9h-9zM-2.5-2.5l5 5M2.5-2.5l-5 5", fill: "var(--ink)", stroke: "var(--panel)", "stroke-width": 1.2 },
  lock_expired: { d: "M-4-5h8L-4 5h8z", fill: "var(--lock)", stroke: "var(--lock)", "stroke-width": 1.2, "stroke-linejoin": "round" },
};
const paths = Object.fromEntries(Object.entries(SIGNS).map(([name, sign]) => [name, new Path2D(sign.d)]));
function whole() {
  view = { from: Infinity, to: -Infinity };
  for (const lane of picked) view = { from: Math.min(view.from, lane.begin), to: Math.max(view.to, lane.end) };
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
  const chosen = chosenScene(), zero = chosen ? chosen.begin : 0; // times of a scenario count from its begin
  const from = ((view.from - zero) * data.tick_ns) / 1e9, found = [];
  for (let n = Math.ceil(from / step); n * step <= from + span && found.length < 40; n++) found.push([zero + (n * step * 1e9) / data.tick_ns, n * step * 1e9]);
  return found;
}
function drawTimeline() {
  const width = frame.clientWidth, high = laneHeight(), full = AXIS + picked.length * high + 6;
  const height = Math.min(full, 438), ratio = devicePixelRatio || 1;
  canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = height + "px";
  byId("tl-space").style.height = Math.max(0, full - height) + "px";
  const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue("--" + name).trim();
  const colors = Object.fromEntries(["accent", "tool", "queue", "bad", "unsure", "good", "rule", "soft", "faint", "panel", "track", "accent-soft", "ink", ...KINDS.slice(3).map((kind) => kind.color)].map((name) => [name, color(name)]));
  pen.scale(ratio, ratio);
  const fills = KINDS.map((kind) => fillOf(pen, kind, colors));
  pen.fillStyle = colors.panel; pen.fillRect(0, 0, width, height);
  pen.font = "11px system-ui,sans-serif"; pen.textBaseline = "middle";
  const first = Math.max(0, Math.floor(frame.scrollTop / high)), last = Math.min(picked.length, first + Math.ceil(height / high) + 1);
  pen.strokeStyle = colors.rule;
  for (const [at] of ticks()) { pen.beginPath(); pen.moveTo(place(at), AXIS - 4); pen.lineTo(place(at), height); pen.stroke(); }
  for (let n = first; n < last; n++) drawLane(pen, colors, fills, picked[n], AXIS + n * high - frame.scrollTop, high, n === focus);
  for (let n = first; n < last; n++) drawSigns(pen, colors, picked[n], AXIS + n * high - frame.scrollTop, high);
  pen.fillStyle = colors.panel; pen.fillRect(0, 0, width, AXIS - 3);
  pen.fillStyle = colors.faint; pen.textAlign = "center";
  for (const [at, ns] of ticks()) if (place(at) < width - 24) pen.fillText(ns ? (chosenScene() ? "+" : "") + time(ns) : "0", Math.max(16, place(at)), 12);
  scenes.forEach((scene, n) => drawBand(pen, colors, scene, n));
  if (drag && drag.moved) { pen.globalAlpha = 0.25; pen.fillStyle = colors.accent; pen.fillRect(Math.min(drag.x, drag.now), AXIS, Math.abs(drag.now - drag.x), height); pen.globalAlpha = 1; }
  const lane = picked[focus], found = lane ? [...new Set(lane.flags.map((flag) => flag.number))] : [];
  byId("tl-said").textContent = lane
    ? lane.id + found.map((n) => ` · finding ${n}: ${findingSaid(n)}`).join("") + lane.marks.map((mark) => " · " + mark.said).join("")
    : many(picked.length, "lane") + ", " + time((view.to - view.from) * data.tick_ns);
}
// The colour of a kind with its pattern, so that kinds are told apart without the colour.
function fillOf(pen, kind, colors) {
  const color = colors[kind.color];
  if (!kind.pattern) return color;
  const tile = document.createElement("canvas"), draw = tile.getContext("2d"), size = kind.pattern === "level" ? 4 : 5;
  tile.width = tile.height = size;
  draw.fillStyle = color;
  draw.globalAlpha = 0.35;
  draw.fillRect(0, 0, size, size);
  draw.globalAlpha = 1;
  draw.strokeStyle = color; draw.lineWidth = 2;
  draw.beginPath();
  if (kind.pattern === "rising") { for (const x of [-5, 0, 5]) { draw.moveTo(x, 5); draw.lineTo(x + 5, 0); } }
  if (kind.pattern === "falling") { for (const x of [-5, 0, 5]) { draw.moveTo(x, 0); draw.lineTo(x + 5, 5); } }
  if (kind.pattern === "upright") { draw.moveTo(1.5, 0); draw.lineTo(1.5, 5); }
  if (kind.pattern === "level") { draw.moveTo(0, 1); draw.lineTo(4, 1); }
  if (kind.pattern === "dots") draw.fillRect(1, 1, 3, 3);
  draw.stroke();
  return pen.createPattern(tile, "repeat");
}
function drawBand(pen, colors, scene, n) {
  const side = gutter(), from = Math.max(side, place(scene.begin)), to = Math.min(frame.clientWidth, place(scene.end));
  if (to <= side || from >= frame.clientWidth) return;
  const wide = Math.max(2, to - from - 1), ink = { valid: colors.good, invalid: colors.bad, unknown: colors.unsure, baseline: colors.faint }[scene.verdict];
  pen.save();
  pen.beginPath(); pen.rect(from, 22, wide, BANDS); pen.clip();
  pen.fillStyle = n % 2 ? colors.track : colors["accent-soft"]; pen.fillRect(from, 23, wide, 17);
  pen.fillStyle = ink; pen.fillRect(from, 23, 3, 17);
  pen.textAlign = "left"; pen.font = "600 11px system-ui,sans-serif";
  const tick = { valid: "✓", invalid: "✗", unknown: "?" }[scene.verdict];
  if (tick) pen.fillText(tick, from + 7, 32);
  pen.fillStyle = colors.ink; pen.fillText(scene.name, from + (tick ? 19 : 7), 32);
  pen.font = "10px system-ui,sans-serif";
  for (const [name, begin, end] of scene.phases) {
    const x = Math.max(from, place(begin)), w = Math.max(2, Math.min(to, place(end)) - x - 1);
    if (place(end) < from || x > to) continue;
    pen.fillStyle = colors.track; pen.fillRect(x, 42, w, 13);
    pen.save(); pen.beginPath(); pen.rect(x, 42, w, 13); pen.clip();
    pen.fillStyle = colors.soft; if (w > 16) pen.fillText(name, x + 4, 49);
    pen.restore();
  }
  pen.restore();
  pen.font = "11px system-ui,sans-serif";
}
function drawSigns(pen, colors, lane, y, high) {
  if (y + high < AXIS) return;
  const middle = y + high / 2, size = high >= 18 ? 1 : high >= 9 ? 0.8 : 0.6;
  for (const flag of lane.flags) {
    const x = place(flag.t);
    if (x < gutter() || x > frame.clientWidth) continue;
    sign(pen, colors, "flag", x + 4 * size, middle, size * 1.25);
  }
  for (const mark of lane.marks) sign(pen, colors, mark.kind, place(mark.t) - 7 * size, middle, size);
}
function sign(pen, colors, name, x, y, size) {
  const given = SIGNS[name], color = (text) => colors[text.slice(6, -1)];
  if (x < gutter() - 6 || x > frame.clientWidth + 6 || y < AXIS) return;
  pen.save();
  pen.translate(x, y); pen.scale(size, size);
  pen.strokeStyle = colors.panel; pen.lineWidth = 3; pen.stroke(paths[name]); // a rim, to stand out from bars
  pen.fillStyle = color(given.fill); pen.fill(paths[name]);
  if (given.stroke) { pen.strokeStyle = color(given.stroke); pen.lineWidth = given["stroke-width"]; pen.stroke(paths[name]); }
  pen.restore();
}
function drawLane(pen, colors, fills, lane, y, high, focused) {
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
  drawFaults(pen, colors, lane, y, high);
  const under = (n) => KINDS[lane.flat[n + 4] & 15].name === "pool"; // a connection carries the calls that lie on it
  for (const first of [true, false]) for (let n = 0; n < lane.flat.length; n += 5) if (under(n) === first) drawBar(pen, colors, fills, lane, n, top, inner);
  pen.restore();
  drawState(pen, colors, state, 7, y + high / 2, Math.min(4, high / 2 - 0.5), named.has(lane.id));
  if (side > 20) { pen.fillStyle = colors.soft; pen.textAlign = "left"; pen.fillText(shorten(chosenScene() ? lane.id.replace("@" + lane.scene.name, "") : lane.id, 24), 16, y + high / 2); }
}
// Where faults were: their scheduled times as a faint line below the lane; what struck as a line
// above it and a shade behind its bars.
function* timesOf(window, lane) {
  const [, ofRun, after, lasts, every] = window, origin = ofRun ? 0 : lane.begin;
  for (let n = 0, from = origin + after; n < 500 && from <= lane.end; n++, from += every) {
    const to = lasts ? from + lasts : lane.end;
    if (to >= lane.begin) yield [Math.max(from, lane.begin), Math.min(to, lane.end)];
    if (!every) return;
  }
}
function drawFaults(pen, colors, lane, y, high) {
  pen.fillStyle = colors.unsure;
  if (!baseline(lane)) for (const window of data.windows) for (const [from, to] of timesOf(window, lane)) {
    pen.globalAlpha = 0.45; pen.fillRect(place(from), y + high - 2, Math.max(1, place(to) - place(from)), 2);
  }
  for (let n = 0; n < lane.regions.length; n += 3) {
    const from = place(lane.begin + lane.regions[n]), to = place(lane.begin + lane.regions[n] + lane.regions[n + 1]);
    pen.globalAlpha = 0.16; pen.fillRect(from, y, Math.max(1.5, to - from), high);
    pen.globalAlpha = 1; pen.fillRect(from, y, Math.max(1.5, to - from), high > 6 ? 2 : 1);
  }
  pen.globalAlpha = 1;
}
function faultsAt(lane, t) {
  const near = ((view.to - view.from) / frame.clientWidth) * 4, found = new Set();
  for (let n = 0; n < lane.regions.length; n += 3) {
    const from = lane.begin + lane.regions[n];
    if (t >= from - near && t <= from + lane.regions[n + 1] + near) found.add(data.faults[lane.regions[n + 2]]);
  }
  return [...found];
}
function drawBar(pen, colors, fills, lane, n, top, inner) {
  const [start, queue, , total, code] = lane.flat.slice(n, n + 5);
  const from = place(lane.begin + start), to = place(lane.begin + start + total);
  if (to < 0 || from > frame.clientWidth) return;
  const kind = KINDS[code & 15], slim = inner * kind.slim, at = top + (inner - slim) / 2;
  if (code & DENIED) {
    pen.strokeStyle = colors.bad; pen.lineWidth = 1.6; pen.beginPath();
    cross(pen, from, top + inner / 2, Math.min(4, inner / 2));
    pen.stroke(); pen.lineWidth = 1;
    return;
  }
  const began = queue ? place(lane.begin + start + queue) : from;
  if (queue) { pen.fillStyle = colors.queue; pen.fillRect(from, at, Math.max(0.75, began - from), slim); }
  const wide = Math.max(code & 15 ? 1.5 : 1, to - began - (to - began > 3 ? 0.75 : 0));
  if (kind.pattern === "hollow" && wide > 4 && !(code & FAILED)) {
    pen.strokeStyle = colors[kind.color]; pen.strokeRect(began + 0.5, at + 0.5, wide - 1, slim - 1);
  } else {
    pen.fillStyle = code & FAILED ? colors.bad : wide < 4 ? colors[kind.color] : fills[code & 15];
    pen.fillRect(began, at, wide, slim);
  }
  if (code & LIMITED) sign(pen, colors, "limited", from, top + inner / 2, Math.min(0.8, inner / 12));
  if (code & FAULT) { pen.fillStyle = colors.unsure; pen.beginPath(); pen.moveTo(from, top - 1); pen.lineTo(from + 5, top + 7); pen.lineTo(from - 5, top + 7); pen.fill(); }
}
function cross(pen, x, y, r) {
  pen.moveTo(x - r, y - r); pen.lineTo(x + r, y + r);
  pen.moveTo(x + r, y - r); pen.lineTo(x - r, y + r);
}
function drawState(pen, colors, state, x, y, r, found) {
  pen.beginPath();
  pen.lineWidth = r > 3 ? 2 : 1.4;
  pen.strokeStyle = state === "failed" ? colors.bad : colors.faint;
  if (state === "failed") cross(pen, x, y, r * 0.9); else pen.arc(x, y, r, 0, 7);
  pen.fillStyle = found ? colors.bad : colors.good;
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
const flagAt = (lane, x) => lane && lane.flags.find((flag) => Math.abs(place(flag.t) + 4 - x) < 9);
function hover(event) {
  const lane = picked[laneAt(event)], x = event.clientX - canvas.getBoundingClientRect().left, flag = flagAt(lane, x);
  canvas.style.cursor = flag ? "pointer" : "";
  tip.hidden = !lane || (drag && drag.moved);
  if (tip.hidden) return;
  const bar = barAt(lane, timeAt(x));
  const state = lane.retried ? "to be retried" : lane.trial ? lane.trial.state : "never ended";
  let said = `${lane.id} · ${state}${lane.trial && lane.trial.failure ? " (" + lane.trial.failure + ")" : ""}${named.has(lane.id) ? ", in a finding" : ""}`;
  if (bar) {
    const code = bar[4], ns = (n) => time(bar[n] * data.tick_ns);
    said += `\n${KINDS[code & 15].said} at +${ns(0)}` + (code & DENIED ? ", denied" : `, ${ns(3)}`) +
      (bar[1] ? `\n${(code & 15) < 3 ? "queue" : "waited"} ${ns(1)}, service ${ns(2)}` : "") + "" + (code & LIMITED ? "\nanswered 429" : code & FAILED ? "\nit failed" : "");
  }
  for (const title of faultsAt(lane, timeAt(x))) said += "\nfault: " + title;
  for (const mark of lane.marks) if (Math.abs(place(mark.t) - x) < 8) said += "\n" + mark.said;
  if (flag) said += `\nfinding ${flag.number}: ${findingSaid(flag.number)}\nclick to open it`;
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
    return;
  }
  const lane = picked[laneAt(event)], flag = held && flagAt(lane, held.x);
  if (flag) openFinding(flag.number);
  else if (lane) openTrial(lane.id);
});
canvas.addEventListener("pointerleave", () => { tip.hidden = true; if (drag) { drag = null; drawTimeline(); } });
canvas.addEventListener("keydown", (event) => {
  const span = view.to - view.from;
  const move = (by) => { focus = Math.max(0, Math.min(picked.length - 1, focus + by)); frame.scrollTop = Math.max(0, focus * laneHeight() - 200); drawTimeline(); };
  const actions = {
    ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: () => picked[focus] && openTrial(picked[focus].id),
    ArrowLeft: () => { view = { from: view.from - span / 6, to: view.to - span / 6 }; drawTimeline(); },
    ArrowRight: () => { view = { from: view.from + span / 6, to: view.to + span / 6 }; drawTimeline(); },
    f: () => { const next = [...picked.keys()].find((n) => n > focus && picked[n].flags.length) ?? [...picked.keys()].find((n) => picked[n].flags.length); if (next != null) move(next - focus); },
    o: () => picked[focus] && picked[focus].flags.length && openFinding(picked[focus].flags[0].number),
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
const worst = scenes.find((scene) => scene.verdict === "invalid");
if (worst && lanes.length > 60) byId("tl-pick").value = "@" + (sceneOf((flags[0] || {}).trial || "") || worst).name;
pick();
fromHash();
