// The three pictures: energy against volume, the convex hull, enthalpy against pressure.
const RANGES = [["all", "all"], ["0.5", "500"], ["0.1", "100"]];
const plotState = { tab: byFormula && DATA.hull ? "hull" : "landscape", range: "all", passes: () => true };

function availablePlots() {
  const tabs = [["landscape", "Energy–volume"]];
  if (DATA.hull) tabs.push(["hull", "Convex hull"]);
  if (CANDIDATES.some((c) => c.extras && c.extras.pressure)) tabs.push(["pressure", "Pressure"]);
  return tabs;
}

function drawPlot() {
  const host = $("plot");
  hideTip();
  $("plot-range").hidden = plotState.tab === "pressure" || (plotState.tab === "hull" && DATA.hull.elements.length === 3);
  if (plotState.tab === "landscape") landscape(host);
  else if (plotState.tab === "hull") DATA.hull.elements.length === 2 ? binaryHull(host) : ternaryHull(host);
  else pressurePlot(host);
  markSelected();
}

const inRange = (value) => known(value) && (plotState.range === "all" || value <= Number(plotState.range) + 1e-9);
const shownCandidates = () => CANDIDATES.filter((c) => c.usable && known(c.above_best) && plotState.passes(c));

function emptyPlot(host, message) {
  host.replaceChildren(element("p", { class: "empty" }, message));
  $("plot-legend").replaceChildren();
}

function tipFor(c) {
  const rows = [["ΔE", known(c.above_best) ? `${meV(c.above_best, 1)} meV/atom` : DASH], ["above hull", known(c.e_above_hull) ? `${meV(c.e_above_hull, 1)} meV/atom` : DASH], ["volume", `${fixed(c.volume, 2)} Å³/atom`], ["found", `${c.n_merged}×`]];
  return `<b>#${c.rank} ${formulaHtml(c.formula)}</b> ${groupHtml(c.sg)}<table>${rows.map(([k, v]) => `<tr><td>${k}</td><td>${v}</td></tr>`).join("")}</table>`;
}

/** One candidate's mark; the table is the keyboard's way. */
function dot2(root, c, px, py, radius, extra = {}) {
  root.append(svg("circle", { cx: px.toFixed(1), cy: py.toFixed(1), r: radius, class: "dot", "data-id": c.id, style: `--dot:${groupColor(groupOf(c))}`, ...extra }));
}

/** One listener of each kind for all marks: five hundred of their own would be a third of the page's start. */
function startPlot() {
  const host = $("plot");
  const under = (e) => { const dot = e.target.closest(".dot"); return dot && BY_ID.get(dot.dataset.id); };
  host.addEventListener("pointermove", (e) => { const c = under(e); if (c) showTip(tipFor(c), e.clientX, e.clientY); else if (!e.target.closest(".reference")) hideTip(); });
  host.addEventListener("pointerleave", hideTip);
  host.addEventListener("click", (e) => { const c = under(e); if (c) select(c.id, "plot"); });
}
const dotRadius = (c) => Math.min(4.6 + 1.5 * Math.sqrt(c.n_merged - 1), 13);

function landscape(host) {
  const wanted = shownCandidates().filter((c) => inRange(c.above_best));
  // one runaway cell must not squeeze all others into a line: it is counted, not drawn
  const middle = wanted.map((c) => c.volume).sort((a, b) => a - b)[wanted.length >> 1];
  const items = wanted.filter((c) => c.volume < 2.5 * middle && c.volume > 0.4 * middle);
  const outside = wanted.length - items.length;
  if (!items.length) return emptyPlot(host, "No candidate with an energy to show.");
  const top = plotState.range === "all" ? Math.max(...items.map((c) => c.above_best), 0.02) : Number(plotState.range);
  const chart = frame(host, {
    xRange: padded(items.map((c) => c.volume), 0.07, 0.4), yRange: [-0.055 * top, top * 1.06],
    xLabel: "Volume (Å³/atom)", yLabel: byFormula ? "Energy above own lowest (eV/atom)" : "Energy above lowest (eV/atom)",
  });
  chart.root.setAttribute("aria-label", `Energy against volume of ${items.length} candidates`);
  const within = (v) => Math.min(chart.inner.bottom, Math.max(chart.inner.top, chart.y(v))).toFixed(1);
  const spreads = items.filter((c) => known(c.std)).map((c) => `M${chart.x(c.volume).toFixed(1)} ${within(c.above_best - c.std)}V${within(Math.min(c.above_best + c.std, top * 1.06))}`);
  if (spreads.length) chart.root.append(svg("path", { class: "whisker", d: spreads.join("") }));
  for (const c of [...items].reverse()) dot2(chart.root, c, chart.x(c.volume), chart.y(c.above_best), dotRadius(c));
  annotate(chart, items.filter((c) => c.rank <= 3), (c) => [chart.x(c.volume), chart.y(c.above_best)]);
  groupLegend(items, `size: how often it was found${outside ? ` · ${outside} beyond the volumes shown` : ""}`);
}

/** Names beside the best few, only where they don't collide. */
function annotate(chart, items, place) {
  const taken = [];
  for (const c of items) {
    const [px, py] = place(c);
    if (taken.some(([qx, qy]) => Math.abs(qx - px) < 90 && Math.abs(qy - py) < 16)) continue;
    taken.push([px, py]);
    const flip = px > chart.inner.right - 90;
    const label = byFormula ? c.formula : c.sg ? c.sg.symbol : c.id;
    const node = text(px + (flip ? -1 : 1) * (dotRadius(c) + 6), py, "", { class: "name", "text-anchor": flip ? "end" : "start", "dominant-baseline": "central" });
    node.innerHTML = byFormula ? escapeHtml(label).replace(/(\d+)/g, '<tspan baseline-shift="sub" font-size="9">$1</tspan>') : escapeHtml(label).replace(/-(\d)/g, "$1\u0305").replace(/_(\d)/g, (_, d) => SUBSCRIPTS[d]);
    chart.root.append(node);
  }
}

function groupLegend(items, note) {
  const groups = [...new Set(items.map(groupOf))].sort((a, b) => (byFormula ? FORMULAS : SYSTEMS).indexOf(a) - (byFormula ? FORMULAS : SYSTEMS).indexOf(b));
  const chips = groups.slice(0, 10).map((g) => element("span", { class: "chip", style: `--dot:${groupColor(g)}`, html: `<i></i><span>${byFormula ? formulaHtml(g) : escapeHtml(g)}</span>` }));
  if (groups.length > 10) chips.push(element("span", { class: "chip" }, `and ${groups.length - 10} more`));
  $("plot-legend").replaceChildren(...chips, element("span", { class: "chip note" }, note));
}

const hullFraction = (c, index) => {
  const counts = c.structure.species.filter((s) => s === DATA.hull.elements[index]).length;
  return counts / c.structure.species.length;
};

function binaryHull(host) {
  const { points, edges, elements, identity } = DATA.hull;
  const limit = plotState.range === "all" ? Infinity : Number(plotState.range);
  const items = shownCandidates().filter((c) => known(c.formation_energy) && (limit === Infinity || (known(c.e_above_hull) && c.e_above_hull <= limit)));
  const energies = [...points.filter((p) => p.stable || p.energy < 0.15).map((p) => p.energy), ...items.map((c) => c.formation_energy), 0];
  const chart = frame(host, { xRange: [-0.03, 1.03], yRange: padded(energies, 0.09), xLabel: `Fraction of ${elements[1]} in ${elements[0]}–${elements[1]}`, yLabel: "Formation energy (eV/atom)", xTicks: 6 });
  chart.root.setAttribute("aria-label", `Convex hull of ${elements.join("-")}`);
  for (const [i, j] of edges) chart.root.append(svg("line", { class: "hull-edge", x1: chart.x(points[i].x[1]), y1: chart.y(points[i].energy), x2: chart.x(points[j].x[1]), y2: chart.y(points[j].energy) }));
  for (const p of points) reference(chart.root, p, chart.x(p.x[1]), chart.y(p.energy), chart);
  for (const c of [...items].reverse()) dot2(chart.root, c, chart.x(hullFraction(c, 1)), chart.y(c.formation_energy), 5.5);
  groupLegend(items, `◇ references of ${brief(identity)}`);
}

function reference(root, p, px, py, chart) {
  if (chart && (py < chart.inner.top || py > chart.inner.bottom)) return;
  const r = p.stable ? 6 : 4;
  const node = svg("path", { class: p.stable ? "reference stable" : "reference", d: `M${px} ${py - r}L${px + r} ${py}L${px} ${py + r}L${px - r} ${py}Z` });
  const tip = `<b>${formulaHtml(p.label)}</b> ${p.stable ? "on the hull" : "reference"}<table><tr><td>id</td><td>${escapeHtml(p.id)}</td></tr><tr><td>formation</td><td>${fixed(p.energy)} eV/atom</td></tr></table>`;
  node.addEventListener("pointermove", (e) => showTip(tip, e.clientX, e.clientY));
  node.addEventListener("pointerleave", hideTip);
  root.append(node);
}

function ternaryHull(host) {
  const { points, edges, elements, identity } = DATA.hull;
  const width = Math.max(300, host.clientWidth), height = Math.min(400, width * 0.82);
  const side = Math.min(width - 90, (height - 64) / 0.866);
  const left = (width - side) / 2, base = height - 30;
  const place = (f) => [left + side * (f[1] + f[2] / 2), base - side * 0.866 * f[2]];
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "chart", role: "img", "aria-label": `Convex hull of ${elements.join("-")}` });
  const corners = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map(place);
  root.append(svg("path", { class: "triangle", d: `M${corners.map((p) => p.join(" ")).join("L")}Z` }));
  for (const [i, j] of edges) {
    const [a, b] = [place(points[i].x), place(points[j].x)];
    root.append(svg("line", { class: "hull-edge", x1: a[0], y1: a[1], x2: b[0], y2: b[1] }));
  }
  const anchors = ["end", "start", "middle"], shift = [[-12, 8], [12, 8], [0, -14]];
  elements.forEach((e, i) => root.append(text(corners[i][0] + shift[i][0], corners[i][1] + shift[i][1], e, { class: "corner", "text-anchor": anchors[i] })));
  const names = [];
  for (const p of points) {
    const [px, py] = place(p.x);
    reference(root, p, px, py);
    if (p.stable && Math.max(...p.x) < 0.999) names.push(text(px, py + 19, p.label.replace(/\d/g, (d) => SUBSCRIPTS[d]), { class: "name soft", "text-anchor": "middle" }));
  }
  const items = shownCandidates().filter((c) => known(c.e_above_hull));
  const stacks = new Map(); // several candidates share a composition: fan them out from best to worst
  for (const c of items) stacks.set(c.formula, [...(stacks.get(c.formula) || []), c]);
  for (const stack of stacks.values()) {
    stack.sort((a, b) => b.e_above_hull - a.e_above_hull);
    for (const c of stack.slice(-1)) {
      const [px, py] = place([0, 1, 2].map((i) => hullFraction(c, i)));
      dot2(root, c, px, py, 7, { style: `--dot:${hullColor(c.e_above_hull)}` });
    }
  }
  root.append(...names);
  host.replaceChildren(root);
  const scaleChips = [[0, "on or below"], [0.05, "50"], [0.15, "150"], [0.3, "300 meV/atom above"]].map(([v, label]) => element("span", { class: "chip", style: `--dot:${hullColor(v)}`, html: `<i></i>${label}` }));
  $("plot-legend").replaceChildren(...scaleChips, element("span", { class: "chip note" }, `best candidate of each formula · ◇ references of ${brief(identity)}`));
}

/** Green on the hull, through amber, to red 0.3 eV/atom above it. */
function hullColor(above) {
  const t = Math.max(0, Math.min(1, above / 0.3));
  return `hsl(${Math.round(155 - 150 * Math.sqrt(t))} 70% var(--hull-light))`;
}

function pressurePlot(host) {
  const items = shownCandidates().filter((c) => c.extras && c.extras.pressure);
  if (!items.length) return emptyPlot(host, "No candidate with enthalpies to show.");
  const all = items.flatMap((c) => c.extras.pressure.map((p) => p.above_best)).filter(known);
  const pressures = [...new Set(items.flatMap((c) => c.extras.pressure.map((p) => p.gpa)))].sort((a, b) => a - b);
  const chart = frame(host, { xRange: [pressures[0], pressures[pressures.length - 1]], yRange: padded(all, 0.06, 0.005), xLabel: "Pressure (GPa)", yLabel: "Enthalpy above lowest (eV/atom)" });
  for (const c of items) {
    const path = c.extras.pressure.filter((p) => known(p.above_best)).map((p, i) => `${i ? "L" : "M"}${chart.x(p.gpa)} ${chart.y(p.above_best)}`).join("");
    chart.root.append(svg("path", { class: "curve", d: path, style: `--dot:${groupColor(groupOf(c))}`, "data-curve": c.id }));
    for (const p of c.extras.pressure) if (known(p.above_best)) dot2(chart.root, c, chart.x(p.gpa), chart.y(p.above_best), 4);
  }
  groupLegend(items, "each structure relaxed again at each pressure");
}

function markSelected() {
  const root = $("plot").querySelector("svg");
  if (!root) return;
  for (const node of root.querySelectorAll(".dot")) node.classList.toggle("selected", Boolean(selected) && node.dataset.id === selected.id);
  for (const node of root.querySelectorAll(".curve")) node.classList.toggle("selected", Boolean(selected) && node.dataset.curve === selected.id);
  const mine = root.querySelector(".dot.selected");
  if (mine) root.append(mine);
}
