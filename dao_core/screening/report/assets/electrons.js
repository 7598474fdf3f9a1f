// The tab of a validated candidate: energies of the models and of first principles, magnetism, electrons, vibrations.
const elfState = { axis: 2, height: 0, surface: false, level: 0.8 };

/** What the viewer shows: first principles relaxed the structure, so their tab shows that one. */
function shownStructure(c) {
  return c.dft && c.dft.structure && detailTab === "dft" ? { ...c, structure: c.dft.structure } : c;
}

function dftParts(c) {
  return [comparisonPart(c), magnetismPart(c.dft.magnetism), ...c.dft.sections.map(dftSection), levelPart(c)];
}

const sectionOf = (c, part) => (c.dft.sections.find((s) => s.part === part) || {}).data;

/** Formation energy and distance to the hull, by each of the three that gave one. */
function comparisonPart(c) {
  const d = c.dft;
  if (d.status !== "validated") return section("First principles", `<p class="state bad"><i></i>${escapeHtml(d.status.replace(/_/g, " "))}</p><p>${escapeHtml(d.message)}</p>`);
  const first = known(c.first_energy_model);
  const judge = { name: c.energy_model, formation: c.formation_energy ?? (c.energy_kind === "formation" ? c.energy : null), above: c.e_above_hull, volume: c.volume };
  const rows = first ? [{ name: c.first_energy_model, formation: c.first_energy_kind === "formation" ? c.first_energy : null, above: null, volume: null }, judge] : [judge];
  rows.push({ name: "pw.x", formation: d.formation_energy, above: d.e_above_hull, volume: d.volume });
  const off = (r) => (r.name !== "pw.x" && known(r.formation) && known(d.formation_energy) ? meV(r.formation - d.formation_energy, 0) : DASH);
  const body = rows.map((r) => `<tr><th scope="row">${plainText(r.name)}</th><td>${fixed(r.formation, 3)}</td><td>${off(r)}</td><td>${meV(r.above, 0)}</td><td>${fixed(r.volume, 2)}</td></tr>`).join("");
  const words = [
    d.same_structure === true ? "The relaxation kept the structure." : d.same_structure === false ? "The relaxation left the structure: it is another one now." : "",
    d.missing_references.length ? `No reference energy for ${d.missing_references.join(", ")}, so no formation energy.` : "",
    d.message,
  ].filter(Boolean).map((w) => `<p>${escapeHtml(w)}</p>`).join("");
  return section("Models and first principles", `<div class="scroll"><table class="mini" id="comparison"><thead><tr><th></th><th>formation <small>eV/atom</small></th><th>off pw.x <small>meV/atom</small></th><th>above hull <small>meV/atom</small></th><th>V <small>Å³/atom</small></th></tr></thead><tbody>${body}</tbody></table></div>${words}<p class="muted">Each stands on its own hull: formation energies compare, totals do not.</p>`);
}

function magnetismPart(m) {
  if (!m) return "";
  const orderings = m.orderings.map((o) => `<tr><th scope="row">${escapeHtml(o.label)}</th><td>${known(o.above_lowest) ? meV(o.above_lowest, 1) : DASH}</td><td>${escapeHtml(o.message)}</td></tr>`).join("");
  const sites = m.sites.map((s, i) => `<tr><th scope="row">${escapeHtml(s.symbol)}${i + 1}</th><td>${fixed(s.start, 2)}</td><td>${fixed(s.final, 2)}</td></tr>`).join("");
  const sentence = m.ordering ? `Lowest of ${m.orderings.length}: ${m.ordering}.` : "One ordering was computed.";
  return section("Magnetism", `<p>${escapeHtml(sentence)} ${m.warning ? escapeHtml(`${m.warning}.`) : ""}</p>
    ${orderings ? `<table class="mini" id="orderings"><thead><tr><th></th><th>above lowest <small>meV/atom</small></th><th></th></tr></thead><tbody>${orderings}</tbody></table>` : ""}
    <table class="mini" id="moments"><thead><tr><th></th><th>start <small>μB</small></th><th>end <small>μB</small></th></tr></thead><tbody>${sites}</tbody></table>`);
}

function dftSection(s) {
  const pictures = { bands: () => '<div class="plot" data-dft="bands"></div>', dispersion: () => '<div class="plot" data-dft="dispersion"></div>', states: statesBody, elf: elfBody, phonons: vibrationBody, bader: (data) => chargeTable(data.charges, "bader", "Bader") };
  return section(escapeHtml(s.title), `<p>${escapeHtml(s.sentence)}</p>${s.data ? pictures[s.part](s.data) : ""}`);
}

function statesBody(data) {
  return `<div class="plot" data-dft="states"></div><div class="legend" data-dft="states-legend"></div>${chargeTable(data.charges, "charges", "Löwdin")}`;
}

function chargeTable(charges, id, whose) {
  const spin = charges.some((a) => known(a.polarisation));
  const rows = charges.map((a, i) => `<tr><th scope="row">${escapeHtml(a.symbol)}${i + 1}</th><td>${signed(a.charge)}</td>${spin ? `<td>${fixed(a.polarisation, 2)}</td>` : ""}</tr>`).join("");
  return `<table class="mini" id="${id}"><thead><tr><th>Charge</th><th>${whose} <small>e</small></th>${spin ? "<th>spin <small>μB</small></th>" : ""}</tr></thead><tbody>${rows}</tbody></table>`;
}
const signed = (x) => (known(x) ? `${x > 0 ? "+" : ""}${fixed(x, 2)}` : DASH);

const KINDS = { interstitial: "off the nuclei", lone_pair: "lone pair", bond: "bond", shell: "shell" };
function elfBody(data) {
  const off = data.maxima.filter((m) => m.kind !== "shell");
  const rows = off.slice(0, 12).map((m) => `<tr><th scope="row">${KINDS[m.kind]}</th><td>${fixed(m.value, 2)}</td><td>${m.frac_coords.map((x) => x.toFixed(3)).join(", ")}</td><td>${escapeHtml(m.nearest)} ${fixed(m.distance, 2)}</td></tr>`).join("");
  const table = rows ? `<div class="scroll"><table class="mini" id="maxima"><thead><tr><th>Maximum</th><th>ELF</th><th>x, y, z <small>calculated cell</small></th><th>nearest <small>Å</small></th></tr></thead><tbody>${rows}</tbody></table></div>` : "";
  return `<div class="elf-tools"><div class="segmented" id="elf-axis" role="group" aria-label="Plane across"></div><label>at <input type="range" id="elf-height" min="0" max="1" step="0.02" value="${elfState.height}"> <output id="elf-height-value"></output></label></div>
    <canvas class="slice" id="elf-slice" role="img" aria-label="Electron localisation in a plane of the conventional cell"></canvas>
    <div class="elf-tools"><label class="check"><input type="checkbox" id="elf-surface"${elfState.surface ? " checked" : ""}> surface in the picture above</label><label>ELF <input type="range" id="elf-level" min="0.5" max="0.95" step="0.01" value="${elfState.level}"> <output id="elf-level-value"></output></label></div>${table}`;
}

function vibrationBody(data) {
  const groups = [];
  for (const f of data.frequencies) {
    const last = groups[groups.length - 1];
    if (last && Math.abs(last.f - f) < 0.05) last.n++;
    else groups.push({ f, n: 1 });
  }
  const list = groups.map((g) => `${fixed(g.f, 2)}${g.n > 1 ? ` <small>${g.n}×</small>` : ""}`).join(", ");
  return `<dl class="grid">${cell("Frequencies", list, "THz")}${data.dielectric ? cell("Dielectric constants", data.dielectric.map((row, i) => fixed(row[i], 2)).join(", ")) : ""}</dl>${data.curve ? '<div class="plot" data-dft="vibrations"></div>' : ""}`;
}

function levelPart(c) {
  const d = c.dft;
  const cost = Object.entries(d.seconds).map(([k, s]) => `<tr><th scope="row">${escapeHtml(k)}</th><td>${seconds(s)}</td></tr>`).join("");
  return section("Level and cost", `<dl class="grid">${[cell("Functional", plainText(d.functional)), cell("pw.x", plainText(d.code_version)), cell("Hubbard U", d.hubbard ? escapeHtml(d.hubbard) : "none"), cell("Volume change", known(d.volume_change) ? `${fixed(100 * d.volume_change, 1)} %` : DASH), cell("Energy", fixed(d.energy, 4), "eV/atom")].join("")}</dl><table class="mini pairs" id="dft-cost"><tbody>${cost}</tbody></table>`, false);
}

/** Tabs, plots and sliders, after the text stands. */
function wireDft(c) {
  segmented($("detail-tabs"), [["structure", "Structure"], ["dft", "First principles"]], detailTab, (tab) => { detailTab = tab; showDft(c); });
  if (detailTab !== "dft") return;
  const host = (name) => document.querySelector(`[data-dft="${name}"]`);
  for (const [name, part, unit] of [["bands", "bands", "Energy (eV)"], ["dispersion", "dispersion", "Frequency (THz)"]]) if (host(name)) branches(host(name), sectionOf(c, part), unit, name === "bands");
  if (host("vibrations")) branches(host("vibrations"), sectionOf(c, "phonons").curve, "Frequency (THz)", false);
  if (host("states")) statesPlot(host("states"), host("states-legend"), sectionOf(c, "states"));
  if ($("elf-slice")) wireElf(c);
}

function showDft(c) {
  showInViewer(c);
  drawDetail({ candidate: c });
}

/** The structure of the tab, with the surface of the ELF where it is asked for. */
function showInViewer(c) {
  const elf = c.dft && detailTab === "dft" && elfState.surface ? sectionOf(c, "elf") : null;
  window.daoViewer.surface = elf ? { grid: fieldOf(elf), level: elfState.level } : null;
  window.daoViewer.show(shownStructure(c));
}

/** Curves along a path through reciprocal space: bands near the gap, or frequencies. */
function branches(host, data, yLabel, electronic) {
  const all = data.branches.flat(2);
  const yRange = electronic ? [Math.max(-10, Math.min(...all) - 0.3), Math.min(10, Math.max(...all))] : padded([0, ...all], 0.05, 0.3);
  const joined = [];
  data.label_positions.forEach((at, i) => {
    const name = data.labels[i].replace(/^G$/, "Γ").replace(/(\d)/g, (d) => SUBSCRIPTS[d]);
    const last = joined[joined.length - 1];
    if (last && Math.abs(last[0] - at) < 1e-3) { if (last[1] !== name) last[1] += `|${name}`; } else joined.push([at, name]);
  });
  const { distances } = data;
  const chart = frame(host, { xRange: [distances[0], distances[distances.length - 1]], yRange, xLabel: "", yLabel, xMarks: joined, height: 300, grid: false });
  chart.root.setAttribute("aria-label", electronic ? "Bands along the standard path" : "Phonon frequencies along the standard path");
  if (yRange[0] < 0 && yRange[1] > 0) chart.root.append(svg("line", { class: "fermi", x1: chart.inner.left, x2: chart.inner.right, y1: chart.y(0), y2: chart.y(0) }));
  data.branches.forEach((spin, s) => {
    for (const band of spin) {
      if (Math.max(...band) < yRange[0] || Math.min(...band) > yRange[1]) continue;
      const d = band.map((e, i) => [chart.x(distances[i]), chart.y(Math.max(yRange[0], Math.min(yRange[1], e)))]).map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
      chart.root.append(svg("path", { class: "band", d, style: `--dot:var(--c${s ? 4 : 1})` }));
    }
  });
}

/** Total and projected densities; the second spin points down. */
function statesPlot(host, legend, data) {
  const shown = data.energies.map((e, i) => [e, i]).filter(([e]) => e >= -10 && e <= 10);
  const values = (row) => shown.map(([e, i]) => [e, row[i]]);
  const top = Math.max(...data.total.flatMap((row) => values(row).map((p) => p[1])), 0.1);
  const spins = data.total.length;
  const chart = frame(host, { xRange: [shown[0][0], shown[shown.length - 1][0]], yRange: [spins > 1 ? -1.05 * top : 0, 1.05 * top], xLabel: data.gap.is_metal ? "Energy above the Fermi energy (eV)" : "Energy above the valence band (eV)", yLabel: "States (1/eV)", height: 260 });
  chart.root.setAttribute("aria-label", "Density of states, total and by orbital");
  const line = (row, s) => values(row).map(([e, v], i) => `${i ? "L" : "M"}${chart.x(e).toFixed(1)} ${chart.y(s ? -v : v).toFixed(1)}`).join("");
  data.total.forEach((row, s) => chart.root.append(svg("path", { class: "total", d: `${line(row, s)}L${chart.x(shown[shown.length - 1][0])} ${chart.y(0)}L${chart.x(shown[0][0])} ${chart.y(0)}Z` })));
  const names = Object.keys(data.projected).slice(0, 7);
  names.forEach((name, n) => data.projected[name].forEach((row, s) => chart.root.append(svg("path", { class: "band", d: line(row, s), style: `--dot:var(--c${n + 1})` }))));
  chart.root.append(svg("line", { class: "fermi", x1: chart.x(0), x2: chart.x(0), y1: chart.inner.top, y2: chart.inner.bottom }));
  legend.replaceChildren(element("span", { class: "chip", style: "--dot:var(--faint)", html: "<i></i>total" }), ...names.map((name, n) => element("span", { class: "chip", style: `--dot:var(--c${n + 1})`, html: `<i></i>${escapeHtml(name)}` })));
}

function wireElf(c) {
  const field = fieldOf(sectionOf(c, "elf"));
  const matrix = rows3(c.dft.structure.conventional);
  const crystal = transformed(crystalOf(shownStructure(c)), matrix);
  const paint = () => {
    $("elf-height-value").textContent = fixed(elfState.height, 2);
    $("elf-level-value").textContent = fixed(elfState.level, 2);
    paintSlice($("elf-slice"), field, crystal, matrix, elfState.axis, elfState.height);
  };
  const surface = () => window.daoViewer.showSurface(elfState.surface ? { grid: field, level: elfState.level } : null);
  segmented($("elf-axis"), [[0, "a"], [1, "b"], [2, "c"]], elfState.axis, (axis) => { elfState.axis = axis; paint(); });
  $("elf-height").addEventListener("input", (e) => { elfState.height = Number(e.target.value); paint(); });
  $("elf-level").addEventListener("input", (e) => { elfState.level = Number(e.target.value); paint(); surface(); });
  $("elf-surface").addEventListener("input", (e) => { elfState.surface = e.target.checked; surface(); });
  paint();
}
