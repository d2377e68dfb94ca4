// Draws the cases and the traces from the data in the page; timeline.js, in the same scope, the rest.
// Rules: text is set as text, never as markup; nothing is fetched; every control works by keyboard.
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
const scenes = data.scenes.map(([name, begin, end, verdict, command, phases, marks]) => ({ name, begin, end, verdict, command, phases, marks }));
const sceneNamed = new Map(scenes.map((scene) => [scene.name, scene]));
const sceneOf = (id) => sceneNamed.get((/@([^@:]+):[^:]*$/.exec(id) || [])[1]);
const flags = data.flags.map(([trial, t, number, action]) => ({ trial, t, number, action }));
const named = new Set(data.named); // trials in findings
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

const markOf = (trial) => { const held = mark(trial.state); held.classList.toggle("found", named.has(trial.id)); return held; };
function dot(trial) {
  const scene = sceneOf(trial.id);
  const said = `${scene ? scene.name + " " : "repeat "}${trial.repeat}: ${trial.state === "unmeasured" ? "not measured" : trial.state}` +
    (trial.failure ? ` (${trial.failure})` : "") + (named.has(trial.id) ? ", in a finding" : "");
  return el("button", { type: "button", class: "dot", "aria-label": said, title: said, "data-trial": trial.id }, markOf(trial));
}
// So many dots that they would say nothing: the failed first, the rest counted.
const DOTS = 48, WORST = { failed: 0, unmeasured: 2, passed: 3 };
const rank = (trial) => (named.has(trial.id) && trial.state === "passed" ? 1 : WORST[trial.state]);
function dots(c) {
  if (c.trials.length <= DOTS + 12) return c.trials.map(dot);
  const ranked = [...c.trials].sort((a, b) => rank(a) - rank(b));
  return [ranked.slice(0, DOTS).map(dot), el("span", { class: "say" }, `and ${(c.trials.length - DOTS).toLocaleString("en")} more`)];
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
  return el("tr", { "data-row": c.id, tabindex: "-1" },
    el("td", { class: "name" }, c.id, c.flaky ? [" ", el("span", { class: "tag flaky" }, "flaky")] : "", tags.length ? el("div", {}, tags) : ""),
    el("td", { class: "wide" }, el("div", { class: "dots", style: `min-width:${Math.min(8, c.trials.length) * 21}px` }, dots(c))),
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
// A case that something else on the page names: unfiltered, and marked.
function openCase(id) {
  byId("filters").reset();
  shown = Math.max(shown, chosenCases().findIndex((c) => c.id === id) + 1);
  showCases();
  const row = [...byId("cases").children].find((one) => one.dataset.row === id);
  if (!row) return;
  row.classList.add("sought");
  row.scrollIntoView({ block: "center" });
  row.focus({ preventScroll: true });
}
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
  const proofs = step.id ? [...new Set(flags.filter((flag) => flag.action === step.id).map((flag) => flag.number))] : [];
  return el("li", { class: `step ${kind}${wrong ? " wrong" : ""}${proofs.length ? " evident" : ""}`, "data-step": step.id || false, "data-at": at, tabindex: "-1" },
    el("header", {}, el("b", {}, step.name === "note.miss" ? "not in the recording" : kind === "tool" ? step.name.slice(5) : step.model || step.name),
      proofs.map((n) => el("button", { type: "button", class: "link", "data-finding": n }, `evidence of finding ${n}`)),
      step.retry ? el("span", { class: "tag" }, `retry ${step.retry}`) : "",
      wrong ? el("span", { class: "wrongly" }, OUTCOMES[outcome] || "error") : "",
      el("span", { class: "say num" }, notes)),
    el("div", { class: "span", "aria-hidden": "true" },
      queue ? el("i", { class: "q", style: left(at) + (100 * queue) / whole + "%" }) : "",
      el("i", { style: left(at + queue) + (100 * Math.max(0, total - queue)) / whole + "%" })),
    (step.faults || []).map((met, place) => el("div", { class: "met" }, el("i", { class: "sw fault", "aria-hidden": "true" }),
      el("b", {}, "fault " + met.title), met.kind !== met.title ? el("span", { class: "say" }, met.kind) : "", el("span", { class: "num" }, met.says || ""),
      met.after_ns ? el("span", { class: "say num" }, `${time(met.after_ns)} after it began`) : "",
      step.undelivered && place === 0 ? el("span", { class: "hidden" }, "It was carried out, and the agent did not get to know.") : "")),
    (step.heard || []).map((said) => (said.who === "system"
      ? el("details", {}, el("summary", {}, "system prompt"), el("pre", {}, said.text)) : block(said.who, said.text))),
    step.about ? el("p", { class: "num" }, step.about) : "",
    block("said", step.text),
    step.expected || step.got ? el("div", { class: "pairs" }, el("div", {}, block("recorded", step.expected || "(nothing)")), el("div", {}, block("asked now", step.got || "(nothing)"))) : "",
    (step.asked || []).map((call) => block(`asked for ${call.name}`, call.arguments)),
    block("arguments", step.arguments), block(step.is_error ? "error result" : "result", step.result),
    step.other ? el("p", { class: wrong ? "wrongly" : "say" }, step.other) : "");
}
function changed(left) {
  const cells = ([path, what, size]) => el("tr", {}, el("td", { class: "num" }, path), el("td", {}, what), el("td", { class: "num r" }, size));
  const rows = left.rows || [];
  return [el("p", { class: "say" }, left.says), left.doubt ? el("p", { class: "wrongly" }, left.doubt) : "",
    (left.packages || []).map((one) => el("p", { class: "num" }, one)),
    rows.length ? el("details", {}, el("summary", {}, many(rows.length, "path")), el("table", { class: "scores" }, el("tbody", {}, rows.map(cells)))) : "",
    left.more ? el("p", { class: "say" }, `${many(left.more, "further path")} left out.`) : ""];
}
function boxed(box, used) {
  const tried = box.refused || [];
  return [el("p", { class: "say" }, box.says), used ? el("p", {}, `Used: ${used}`) : "",
    tried.length ? [el("p", { class: "wrongly" }, "It tried, and was refused:"), el("ul", {}, tried.map((one) => el("li", { class: "num" }, one)))] : "",
    box.more ? el("p", { class: "say" }, `${many(box.more, "further attempt")} refused.`) : ""];
}
async function copy(button) {
  const held = button.previousElementSibling;
  try { await navigator.clipboard.writeText(held.textContent); button.textContent = "Copied"; }
  catch { getSelection().selectAllChildren(held); }
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
  const scene = sceneOf(trial.id);
  const command = scene ? scene.command : `${data.command} --case ${quoted(held ? held.id : trial.id)} --seed ${data.seed}`;
  return [
    el("dl", { class: "facts tight" }, fact("Took", time(trial.ns)), fact("Cost", money(trial.usd)),
      fact("Tokens", String(trial.tokens)), fact("Ended by", trace.ending), fact("Exit code", trace.exit_code == null ? "" : String(trace.exit_code)),
      fact("Tenant", trace.tenant), fact("Trial seed", trace.seed ? String(trace.seed) : ""), trace.box ? "" : fact("Used", trace.used)),
    trace.verdicts ? [el("h3", {}, "Verdicts"), checks(trace.verdicts)] : "",
    trace.error ? [el("h3", {}, "Error"), el("pre", {}, trace.error), trace.detail ? el("details", {}, el("summary", {}, "Detail"), el("pre", {}, trace.detail)) : "",
      trace.box && trace.box.hint ? el("p", { class: "say" }, trace.box.hint) : ""] : "",
    trace.answer ? [el("h3", {}, "Final answer"), el("pre", {}, trace.answer)] : "",
    trace.box ? [el("h3", {}, "Box"), boxed(trace.box, trace.used)] : "",
    trace.changed ? [el("h3", {}, "Changed on disk"), changed(trace.changed)] : "",
    el("h3", {}, "Reproduce"), el("div", { class: "cmd" }, el("pre", {}, command), el("button", { type: "button", class: "button", "data-copy": true }, "Copy")),
    el("h3", {}, many(steps.length, "action")), el("ol", { class: "steps" }, steps.map((step) => stepOf(step, whole))),
    trace.left_out ? el("p", { class: "say" }, `${many(trace.left_out, "further history entry").replace("entrys", "entries")} left out.`) : "",
  ];
}
// `at`: the action to show, or the time of the run (nanoseconds) that it lies nearest before.
function openTrial(id, at) {
  const trial = trialOf.get(id);
  if (!trial) return;
  const listed = chosenCases().flatMap((c) => c.trials), place = listed.findIndex((one) => one.id === id);
  const step = (by, name) => el("button", { type: "button", class: "button", disabled: !listed[place + by] || place < 0,
    onclick: () => openTrial(listed[place + by].id) }, name);
  const state = trial.state === "unmeasured" ? "not measured" : trial.state;
  byId("trace-body").replaceChildren(
    el("div", { class: "bar" }, step(-1, "← Previous"), step(1, "Next →"), el("span", { class: "grow" }),
      el("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Close")),
    el("h2", { id: "trace-title", tabindex: "-1", autofocus: true }, markOf(trial), trial.id),
    el("p", { class: "say" }, [state, trial.failure, trial.role && trial.role + " agent", trial.denied && `${trial.denied} denied`, trial.retries && many(trial.retries, "retried call")].filter(Boolean).join(" · ")),
    ...traceOf(trial).flat(Infinity).filter(Boolean));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  byId("trace-title").focus();
  history.replaceState(null, "", "#trial=" + encodeURIComponent(id) + (at && at.action ? "&action=" + encodeURIComponent(at.action) : ""));
  if (at) showStep(id, at);
}
function showStep(id, at) {
  const steps = [...byId("trace-body").querySelectorAll(".step")], since = at.t - ((data.traces[id] || {}).began_ns || 0);
  const step = steps.find((one) => at.action && one.dataset.step === at.action)
    || (at.t ? steps.filter((one) => +one.dataset.at <= since).pop() : null);
  if (!step) return;
  step.classList.add("shown");
  step.focus({ preventScroll: true });
  step.scrollIntoView({ block: "center" });
}
function openFinding(number) {
  const held = byId("finding-" + number);
  if (!held) return;
  if (dialog.open) dialog.close();
  for (let outer = held; outer; outer = outer.parentElement) if (outer.tagName === "DETAILS") outer.open = true;
  for (const other of document.querySelectorAll(".finding.shown")) other.classList.remove("shown");
  held.classList.add("shown");
  held.scrollIntoView({ block: "start" });
  held.firstElementChild.focus({ preventScroll: true });
  history.replaceState(null, "", "#finding-" + number);
}
dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-trial],[data-finding],[data-case],[data-copy]");
  if (!button) return;
  const { trial, finding, action, t } = button.dataset;
  if ("case" in button.dataset) { event.preventDefault(); openCase(button.dataset.case); }
  else if (finding) openFinding(finding);
  else if (trial) openTrial(trial, t ? { action, t: +t } : null);
  else copy(button);
});
for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
function fromHash() {
  const [, trial, action] = /^#trial=([^&]*)(?:&action=(.*))?$/.exec(location.hash) || [];
  if (trial) openTrial(decodeURIComponent(trial), action ? { action: decodeURIComponent(action) } : null);
  const number = /^#finding-(\d+)$/.exec(location.hash);
  if (number) openFinding(number[1]);
}
addEventListener("hashchange", fromHash);

