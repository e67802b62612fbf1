// Draws runs with Plotly. RUNS holds what a world made of each: figures by model (`simulators.report.drawing`), or panels that are ready
// (`ray_cluster.demo.drawing`). Times are seconds since a run began, drawn as dates of a year that begins with it. A panel is a strip of one
// figure; all strips of a figure share the axis of time.
"use strict";

const FLEET = "\u0000all";
const INK = "#1f2a37", MUTED = "#6b7785", GRID = "#e8ecf1", ALARM = "#c8453b";
const SIDES = ["#2f6db5", "#d9822b"];
const KINDS = {
  fault: [ALARM, "x-thin-open"], scale: ["#2f6db5", "diamond"], restart: ["#1a9988", "diamond"], retrain: ["#7a5ab5", "diamond"],
  stop_training: ["#9a86c4", "diamond"], start_rollout: ["#b0578d", "diamond"], set_traffic: ["#c97fb0", "diamond"],
  promote: ["#3c9a4f", "triangle-up"], roll_back: [ALARM, "triangle-down"], quarantine: ["#a6761d", "square"],
  alert: ["#d9822b", "star"], refused: ["#8c2d24", "x"], agent: [INK, "circle"], suggestion: ["#6c9bd2", "diamond-open"],
  veto: ["#a0522d", "circle-open"], hold: ["#9aa5b1", "circle-open"],
};
const byId = (id) => document.getElementById(id);
// Plotly takes a number of four digits for a year, so simulated time begins in a later one than 1970.
const EPOCH = Date.UTC(2001, 0, 1);
const moment = (s) => EPOCH + s * 1000;
const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function clock(s) {
  const days = Math.floor(s / 86400), rest = Math.floor(s % 86400);
  const two = (n) => String(n).padStart(2, "0");
  return `${days ? `${days} d ` : ""}${two(Math.floor(rest / 3600))}:${two(Math.floor(rest / 60) % 60)}:${two(rest % 60)}`;
}

// What a hover says of a moment: minutes are enough where hours are drawn.
function shortClock(s) {
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${two((s / 3600) % 24)}:${two((s / 60) % 60)}`;
}

function figure4(value) {
  if (value === null || value === undefined) return "not known";
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));
}

function wrapped(text, width = 90) {
  const lines = [""];
  for (const word of String(text).split(" ")) {
    if ((lines[lines.length - 1] + word).length > width) lines.push("");
    lines[lines.length - 1] += `${word} `;
  }
  return lines.map((line) => escaped(line.trim())).join("<br>");
}

// -- what a panel shows ------------------------------------------------------------------------------------------

const FONT = 'system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
const line = (name, x, y, color, more = {}) => ({ name, x: x.map(moment), y, color, ...more });

// A step for each change, which is far less to draw than each moment.
function steps(name, at, y, color, more = {}) {
  const x = [], levels = [];
  at.forEach((s, n) => {
    if (n && y[n] === y[n - 1] && n < at.length - 1) return;
    if (n) { x.push(s); levels.push(y[n - 1]); }
    x.push(s); levels.push(y[n]);
  });
  return line(name, x, levels, color, more);
}

// What was counted in a minute is drawn in its middle.
const middles = (drawing, m) => m.begin_s.map((s) => s + 30 * drawing.minutes);

function added(series) {
  const longest = series.reduce((a, b) => (b.length > a.length ? b : a), []);
  return longest.map((_, n) => series.reduce((sum, each) => sum + (each[n] ?? 0), 0));
}

function panelsOf(run, model) {
  const drawing = run.drawing;
  const panels = drawing.panels ? drawing.panels.map(ready) : model === FLEET ? fleetPanels(drawing) : modelPanels(drawing, model);
  return [...panels, decisionPanel(drawing, model)];
}

// A panel that came as data: its series have their own times, and may be steps, or bars of a given width.
function ready(panel) {
  const drawn = ({ name, at_s, y, color, stepped, ...more }) => (stepped ? steps : line)(name, at_s, y, color, more);
  return { ...panel, series: panel.series.map(drawn) };
}

function modelPanels(drawing, name) {
  const m = drawing.models[name], t = middles(drawing, m), at = m.at_s;
  const panels = [
    { title: "traffic, requests/s", weight: 1, series: [line("arrived", t, m.rate_rps, "#2f6db5", { fill: "rgba(47,109,181,.14)", main: true })] },
    {
      title: "latency, ms", weight: 1.4, log: true, limit: [drawing.slo_ms[name], "SLO"],
      series: [line("p50", t, m.p50_ms, "#a9c6e8"), line("p95", t, m.p95_ms, "#5c93d1"), line("p99", t, m.p99_ms, "#174a86", { main: true })],
    },
    { title: "late or lost, % of requests", weight: 0.7, least: 1, series: [line("late or lost", t, m.violations.map((v) => v === null ? null : 100 * v), ALARM, { fill: "rgba(200,69,59,.18)", main: true })] },
    {
      title: "replicas", weight: 1.1, least: 3,
      series: [steps("running", at, m.running, "#1a9988", { fill: "rgba(26,153,136,.16)", main: true }), steps("wanted", at, m.wanted, INK, { dash: "dot" })],
    },
    { title: "waiting requests", weight: 0.7, least: 4, series: [line("waiting", at, m.queued, "#d9822b", { fill: "rgba(217,130,43,.16)", main: true })] },
  ];
  if (m.loss.some((each) => each !== null)) {
    panels.push({ title: "quality: loss of the champion", weight: 0.9, series: [line("loss", at, m.loss, "#7a5ab5", { main: true })], notes: versions(m) });
  }
  return panels;
}

function versions(m) {
  return m.version.flatMap((version, n) => (version !== null && version !== m.version[n - 1] ? [[m.at_s[n], `version ${version}`]] : []));
}

function fleetPanels(drawing) {
  const all = Object.values(drawing.models), names = Object.keys(drawing.models);
  const t = middles(drawing, all[0]), at = all[0].at_s;
  const rows = names.map((name) => drawing.models[name].violations.map((v) => v === null ? null : 100 * v));
  return [
    { title: "traffic, requests/s", weight: 1, series: [line("arrived", t, added(all.map((m) => m.rate_rps)), "#2f6db5", { fill: "rgba(47,109,181,.14)", main: true })] },
    { title: "late or lost, % of requests, by model", weight: Math.min(3, 0.5 + 0.12 * names.length), heat: { x: t.map(moment), y: names, z: rows } },
    {
      title: "replicas", weight: 1.1, least: 3,
      series: [steps("running", at, added(all.map((m) => m.running)), "#1a9988", { fill: "rgba(26,153,136,.16)", main: true }), steps("wanted", at, added(all.map((m) => m.wanted)), INK, { dash: "dot" })],
    },
    { title: "waiting requests", weight: 0.7, least: 4, series: [line("waiting", at, added(all.map((m) => m.queued)), "#d9822b", { fill: "rgba(217,130,43,.16)", main: true })] },
  ];
}

function decisionsOf(drawing, model) {
  const faults = drawing.faults.map(([at_s, kind]) => ({ at_s, kind: "fault", what: kind, why: "", policy: "", outcome: "", model: "" }));
  const mine = drawing.decisions.filter((each) => model === FLEET || !each.model || each.model === model);
  return [...faults, ...mine];
}

function decisionPanel(drawing, model) {
  const found = decisionsOf(drawing, model);
  const kinds = Object.keys(KINDS).filter((kind) => found.some((each) => each.kind === kind));
  return { title: "faults and decisions", weight: 0.3 + 0.17 * Math.max(kinds.length, 2), decisions: found, kinds };
}

// -- from panels to a figure -------------------------------------------------------------------------------------

function hover(each, drawnModel) {
  const of = drawnModel === FLEET && each.model ? `${escaped(each.model)}: ` : "";
  const parts = [`<b>${clock(each.at_s)}  ${of}${wrapped(each.what)}</b>`];
  if (each.why) parts.push(`because ${wrapped(each.why)}`);
  if (each.outcome) parts.push(wrapped(each.outcome));
  if (each.policy) parts.push(`<i>policy ${escaped(each.policy)}</i>`);
  return parts.join("<br>");
}

function tracesOf(panel, axis, model) {
  if (panel.heat) {
    return [{
      type: "heatmap", ...panel.heat, yaxis: axis, zmin: 0, zmax: 100, showscale: false, hovertemplate: "%{y}: %{z:.1f} %<extra></extra>",
      colorscale: [[0, "#f4f6f9"], [0.02, "#f7e3c8"], [0.2, "#e99a5b"], [1, "#a3251d"]],
    }];
  }
  if (panel.decisions) {
    return panel.kinds.map((kind) => {
      const mine = panel.decisions.filter((each) => each.kind === kind);
      return {
        type: "scatter", mode: "markers", name: kind, yaxis: axis, x: mine.map((each) => moment(each.at_s)), y: mine.map(() => kind.replace("_", " ")),
        text: mine.map((each) => hover(each, model)), hovertemplate: "%{text}<extra></extra>",
        marker: { color: KINDS[kind][0], symbol: KINDS[kind][1], size: kind === "hold" || kind === "veto" ? 7 : 11, line: { width: 1.6, color: KINDS[kind][0] } },
      };
    });
  }
  return panel.series.map((each) => each.bars_s ? {
    type: "bar", name: each.name, yaxis: axis, x: each.x, y: each.y, width: each.bars_s * 1000, customdata: each.said ?? each.y,
    marker: { color: each.y.map((y) => (y < 0 ? each.color : ALARM)) }, hovertemplate: `%{customdata} · ${each.name} %{y:,.4~g}<extra></extra>`,
  } : {
    type: "scatter", mode: each.x.length > 1 ? "lines" : "lines+markers", name: each.name, yaxis: axis, x: each.x, y: each.y, connectgaps: false,
    line: { color: each.color, width: each.main ? 1.8 : 1.4, dash: each.dash }, fill: each.fill ? "tozeroy" : "none",
    customdata: each.said ?? each.x.map((x) => shortClock((x - EPOCH) / 1000)),
    fillcolor: each.fill, hovertemplate: `%{customdata} · ${each.name} %{y:,.4~g}<extra></extra>`,
  });
}

function highest(panels) {
  return panels.map((panel) => {
    const values = (panel.series ?? []).flatMap((each) => each.y).filter((y) => y !== null);
    const high = Math.max(...values, panel.limit?.[0] ?? 0, panel.least ?? 0);
    return values.length ? [Math.min(...values.filter((y) => y > 0), panel.limit?.[0] ?? Infinity), high] : null;
  });
}

// 1, 2 and 5 of each power of ten, or only its 1 where there are many powers.
function logTicks(low, high) {
  const parts = high / low > 100 ? [1] : [1, 2, 5], tickvals = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.log10(high) + 1; power += 1) tickvals.push(...parts.map((part) => Number((part * 10 ** power).toPrecision(1))));
  return { tickvals, ticktext: tickvals.map((value) => value.toLocaleString("en", { maximumSignificantDigits: 2 })) };
}

function axisOf(panel, domain, extent) {
  const axis = { domain, gridcolor: GRID, zeroline: false, linecolor: GRID, tickfont: { size: 11, color: MUTED }, fixedrange: true, automargin: false };
  if (panel.decisions) return { ...axis, type: "category", categoryarray: panel.kinds.map((kind) => kind.replace("_", " ")).reverse(), range: [-0.6, Math.max(panel.kinds.length, 1) - 0.4] };
  if (panel.heat) return { ...axis, type: "category", autorange: "reversed", ticks: "" };
  if (!extent) return { ...axis, range: [0, 1], nticks: 4 };
  if (panel.log) return { ...axis, type: "log", range: [Math.log10(extent[0] / 1.5), Math.log10(extent[1] * 1.5)], ...logTicks(...extent) };
  if (panel.range) return { ...axis, range: panel.range, nticks: 4, zeroline: panel.range[0] < 0, zerolinecolor: MUTED };
  if (panel.dates) return { ...axis, range: [0, extent[1] * 1.08], tickvals: panel.dates[0], ticktext: panel.dates[1] };
  return { ...axis, range: [0, extent[1] * 1.08], nticks: 4, tickformat: extent[1] >= 1000 ? "~s" : "~r" };
}

function notesOf(panel, axis, top) {
  const names = (panel.series ?? []).length > 1 ? panel.series.map((each) => `<span style="color:${each.color}">${each.name}</span>`).join("  ") : "";
  const title = { text: `<b>${panel.title}</b>   ${names}`, xref: "paper", x: 0, xanchor: "left", yref: "paper", y: top, yanchor: "bottom", showarrow: false, font: { size: 12, color: INK } };
  const notes = (panel.notes ?? []).map(([at_s, text]) => ({
    text, x: moment(at_s), xanchor: "left", yref: "paper", y: top, yanchor: "top", showarrow: false, font: { size: 10, color: "#7a5ab5" },
  }));
  return [title, ...notes];
}

function linesOf(panel, axis, color = ALARM) {
  const limits = panel.limit ? [{ type: "line", xref: "paper", x0: 0, x1: 1, yref: axis, y0: panel.limit[0], y1: panel.limit[0], line: { color, width: 1.4, dash: "dash" }, label: { text: `${panel.limit[1]} ${figure4(panel.limit[0])} ms`, textposition: "end", font: { size: 10, color } } }] : [];
  return limits;
}

// What lasts is a band over all panels: a training, a rollout, or what is done to the world.
const BANDS = { training: "#7a5ab5", rollout: "#b0578d", fault: ALARM };

function bands(spans) {
  return spans.map(([from_s, until_s, kind]) => ({
    type: "rect", layer: "below", x0: moment(from_s), x1: moment(until_s), yref: "paper", y0: 0, y1: 1, line: { width: 0 }, fillcolor: BANDS[kind], opacity: 0.09,
  }));
}

function bandNames(spans, duration_s) {
  return spans.map(([from_s, until_s, kind, text], n) => ({
    text, ...(from_s > 0.85 * duration_s ? { x: moment(until_s), xanchor: "right" } : { x: moment(from_s), xanchor: "left" }), yref: "paper", y: 1, yanchor: "bottom", yshift: 2 + 13 * (n % 3), showarrow: false, font: { size: 10, color: BANDS[kind] },
  }));
}

function faultLines(faults) {
  return faults.map(([at_s]) => ({ type: "line", x0: moment(at_s), x1: moment(at_s), yref: "paper", y0: 0, y1: 1, line: { color: ALARM, width: 1, dash: "dot" }, opacity: 0.55 }));
}

function tickFormat(duration_s) {
  return duration_s > 86400 ? "day %-j\n%H:%M" : duration_s > 3600 ? "%H:%M" : "%-M:%S";
}

function draw(target, panels, { extents, faults, spans = [], ticks = null, duration_s, model }) {
  const gap = 0.032, whole = panels.reduce((sum, panel) => sum + panel.weight, 0), room = 1 - gap * panels.length;
  const data = [], layout = {
    height: Math.max(420, whole * 128), margin: { l: 96, r: 28, t: spans.length ? 46 : 8, b: 34 }, showlegend: false, hovermode: "closest", paper_bgcolor: "white", plot_bgcolor: "white",
    font: { family: FONT, color: INK }, hoverlabel: { align: "left", bgcolor: "white", bordercolor: "#b8c2cc", font: { size: 12, color: INK } },
    shapes: [...bands(spans), ...faultLines(faults)], annotations: bandNames(spans, duration_s),
    xaxis: {
      type: "date", range: [moment(-0.008 * duration_s), moment(1.002 * duration_s)], anchor: "free", position: 0, gridcolor: GRID, linecolor: GRID, tickfont: { size: 11, color: MUTED }, showspikes: true,
      spikemode: "across", spikethickness: 1, spikecolor: "#9aa5b1", spikedash: "solid", spikesnap: "cursor",
      tickformat: tickFormat(duration_s), hoverformat: duration_s > 86400 ? "day %-j %H:%M:%S" : "%H:%M:%S",
    },
  };
  if (ticks) Object.assign(layout.xaxis, { tickvals: ticks[0].map(moment), ticktext: ticks[1], showspikes: false });
  let top = 1;
  panels.forEach((panel, n) => {
    const axis = n ? `y${n + 1}` : "y", height = (room * panel.weight) / whole;
    top -= gap;
    layout[n ? `yaxis${n + 1}` : "yaxis"] = axisOf(panel, [Math.max(0, top - height), top], extents[n]);
    layout.annotations.push(...notesOf(panel, axis, top));
    layout.shapes.push(...linesOf(panel, axis));
    data.push(...tracesOf(panel, axis, model));
    top -= height;
  });
  Plotly.newPlot(target, data, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
}

// -- one run -----------------------------------------------------------------------------------------------------

function choices(select, runs) {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.drawing?.models ?? {})))];
  const chosen = select.value;
  const all = names.length > 1 ? [[FLEET, `all ${names.length} models`]] : [];
  select.innerHTML = "";
  for (const [value, text] of [...all, ...names.map((name) => [name, name])]) select.add(new Option(text, value));
  if (names.includes(chosen)) select.value = chosen;
}

function panelTarget(count) {
  byId("panels").innerHTML = "";
  byId("panels").className = `panels of-${count}`;
  return Array.from({ length: count }, () => byId("panels").appendChild(document.createElement("div")));
}

function showRun(name) {
  const run = RUNS[name], select = byId("model"), shown = new Set(Object.keys(KINDS).filter((kind) => kind !== "hold"));
  choices(select, [run]);
  select.parentElement.hidden = select.options.length < 2;
  const redraw = () => {
    const panels = panelsOf(run, select.value);
    const [target] = panelTarget(1);
    const { faults, spans } = run.drawing;
    draw(target, panels, { extents: highest(panels), faults, spans, duration_s: run.duration_s, model: select.value });
    tell();
  };
  const tell = () => tellDecisions(run.drawing, select.value, shown, tell);
  select.onchange = redraw;
  redraw();
}

// A run and, below its own figure, one with an axis of its own: what it was worth by week of the stream that was played.
function showPlay(name) {
  showRun(name);
  const weeks = RUNS[name].drawing.weeks, target = byId("weeks");
  if (!weeks) { target.textContent = "No week of the stream has labels."; return; }
  const panels = weeks.panels.map(ready);
  draw(target, panels, { extents: highest(panels), faults: [], ticks: weeks.ticks, duration_s: weeks.duration_s, model: "" });
}

function tellDecisions(drawing, model, shown, again) {
  const found = decisionsOf(drawing, model).sort((a, b) => a.at_s - b.at_s);
  const kinds = Object.keys(KINDS).filter((kind) => found.some((each) => each.kind === kind));
  byId("kinds").innerHTML = "";
  for (const kind of kinds) {
    const button = byId("kinds").appendChild(document.createElement("button"));
    button.textContent = `${kind.replace("_", " ")} ${found.filter((each) => each.kind === kind).length}`;
    button.style.setProperty("--kind", KINDS[kind][0]);
    button.setAttribute("aria-pressed", shown.has(kind));
    button.onclick = () => { shown.has(kind) ? shown.delete(kind) : shown.add(kind); again(); };
  }
  const rows = found.filter((each) => shown.has(each.kind)).slice(0, 1000).map((each) =>
    `<tr><td class="t">${clock(each.at_s)}</td><td class="t"><i class="kind" style="--kind:${KINDS[each.kind]?.[0] ?? INK}"></i>${escaped(each.model)}</td>` +
    `<td>${escaped(each.what)}</td><td>${escaped(each.why)}</td><td>${escaped(each.policy)}</td><td>${escaped(each.outcome)}</td></tr>`);
  byId("decisions").innerHTML = `<thead><tr><th>when</th><th>model</th><th>what</th><th>because</th><th>policy</th><th>what came of it</th></tr></thead><tbody>${rows.join("") || "<tr><td colspan=6>nothing was decided</td></tr>"}</tbody>`;
}

// -- two runs ----------------------------------------------------------------------------------------------------

function choosePair() {
  const picks = [...document.querySelectorAll(".pick")], button = byId("compare");
  const picked = () => picks.filter((each) => each.checked).map((each) => each.value);
  document.addEventListener("change", () => { button.disabled = picked().length !== 2; });
  button.onclick = () => { const [a, b] = picked(); location.href = `compare.html#a=${a}&b=${b}`; };
}

function loaded(name) {
  if (RUNS[name]) return Promise.resolve();
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    Object.assign(script, { src: `${name}.js`, onload: done, onerror: failed });
    document.head.appendChild(script);
  });
}

function showPair(runs) {
  const names = runs.map((run) => run.name);
  const asked = new URLSearchParams(location.hash.slice(1));
  const a = byId("a"), b = byId("b"), model = byId("model"), layout = byId("layout");
  a.value = names.includes(asked.get("a")) ? asked.get("a") : names[0];
  b.value = names.includes(asked.get("b")) ? asked.get("b") : counterpart(runs, a.value);
  const redraw = async () => {
    await Promise.all([loaded(a.value), loaded(b.value)]);
    const runs = [RUNS[a.value], RUNS[b.value]];
    choices(model, runs);
    history.replaceState(null, "", `#a=${a.value}&b=${b.value}`);
    tellPair(runs, model.value);
    drawPair(runs, model.value, layout.value === "over");
  };
  for (const each of [a, b, model, layout]) each.onchange = redraw;
  redraw();
}

// The same scenario from the same seed under other policies is what most people want to see beside a run.
function counterpart(runs, name) {
  const one = runs.find((run) => run.name === name), others = runs.filter((run) => run.name !== name);
  const twin = others.find((run) => run.file === one.file && run.seed === one.seed) ?? others.find((run) => run.file === one.file);
  return (twin ?? others[0] ?? one).name;
}

function drawPair(runs, model, over) {
  const drawn = runs.map((run) => (run.drawing && (model === FLEET || run.drawing.models[model]) ? panelsOf(run, model) : null));
  if (over && drawn.every(Boolean)) return drawOver(runs, drawn, model);
  const titles = drawn.filter(Boolean).map((panels) => Object.fromEntries(panels.map((panel, n) => [panel.title, highest(panels)[n]])));
  const targets = panelTarget(2);
  drawn.forEach((panels, side) => {
    if (!panels) { targets[side].textContent = "This run has no such model."; return; }
    const extents = panels.map((panel) => titles.map((each) => each[panel.title]).filter(Boolean).reduce((x, y) => (x ? [Math.min(x[0], y[0]), Math.max(x[1], y[1])] : y), null));
    draw(targets[side], panels, { extents, faults: runs[side].drawing.faults, duration_s: Math.max(...runs.map((run) => run.duration_s)), model });
  });
}

function drawOver(runs, drawn, model) {
  const merged = drawn[0].filter((panel) => panel.series).map((panel) => ({
    ...panel, notes: [],
    series: drawn.flatMap((panels, side) => (panels.find((each) => each.title === panel.title)?.series ?? []).filter((each) => each.main).map((each) => ({ ...each, name: `${"AB"[side]} ${each.name}`, color: SIDES[side], fill: undefined }))),
  }));
  const [target] = panelTarget(1);
  draw(target, merged, { extents: highest(merged), faults: runs[0].drawing.faults, duration_s: Math.max(...runs.map((run) => run.duration_s)), model });
}

function tellPair(runs, model) {
  byId("verdicts").innerHTML = runs.map((run, side) =>
    `<div class="side-${"ab"[side]}"><h2><a href="${run.name}.html">${escaped(run.label)}</a> <span class="badge ${run.state.replace(" ", "-")}">${run.state}</span></h2><ul class="expectations">` +
    run.expectations.map((each) => `<li class="${each.held ? "held" : "missed"}"><code>${escaped(each.text)}</code><b>${figure4(each.value)}</b></li>`).join("") + "</ul></div>").join("");
  const measures = runs.map((run) => (model === FLEET ? run.totals : run.models[model] ?? {}));
  const keys = [...new Set(measures.flatMap(Object.keys))].filter((key) => measures.some((each) => each[key]));
  const rows = keys.map((key) => {
    const [x, y] = measures.map((each) => each[key] ?? null);
    const change = x !== null && y !== null && x !== 0 ? `${y >= x ? "+" : "−"}${figure4(Math.abs((100 * (y - x)) / x))} %` : "";
    return `<tr><td>${escaped(key.replaceAll("_", " "))}</td><td class="n">${figure4(x)}</td><td class="n">${figure4(y)}</td><td class="n">${change}</td></tr>`;
  });
  byId("measures").innerHTML = `<thead><tr><th>measure</th><th class="n side-a">A</th><th class="n side-b">B</th><th class="n">B against A</th></tr></thead><tbody>${rows.join("")}</tbody>`;
}
