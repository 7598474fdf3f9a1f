// Everything known about the selected candidate, with downloads.
const cell = (label, value, unit = "") => `<div><dt>${label}</dt><dd>${value}${unit && value !== DASH ? ` <span class="unit">${unit}</span>` : ""}</dd></div>`;
const plainText = (value) => (known(value) && value !== "" ? escapeHtml(value) : DASH);
const section = (title, body, open = null) => (open === null
  ? `<section class="part"><h3>${title}</h3>${body}</section>`
  : `<details class="part"${open ? " open" : ""}><summary><h3>${title}</h3></summary>${body}</details>`);

function drawDetail({ candidate: c }) {
  $("who").innerHTML = `<span class="rank-badge">${c.rank}</span><div><h2>${formulaHtml(c.formula)} ${groupHtml(c.sg)}</h2><p>${[c.sg ? `${c.sg.system}, no. ${c.sg.number}` : "", `${c.structure.species.length} atoms`, noveltyWords(c)].filter(Boolean).join(" · ")}</p></div>`;
  const parts = c.dft && detailTab === "dft" ? dftParts(c) : [energyPart(c), cellPart(c), symmetryPart(c), wyckoffPart(c), powderPart(c), distancePart(c), originPart(c), phononPart(c), pressurePart(c), sitePart(c), costPart(c), provenancePart(c)];
  const tabs = c.dft ? '<div class="segmented detail-tabs" id="detail-tabs" role="group" aria-label="Details shown"></div>' : "";
  $("detail").innerHTML = [headline(c), tabs, ...parts].join("");
  wireDownloads(c);
  if (c.dft) wireDft(c);
}

let detailTab = "structure"; // or "dft", for a candidate that was validated

const noveltyWords = noveltyLabel;

function headline(c) {
  const items = [
    ["Energy", fixed(c.energy, 4), "eV/atom", known(c.energy_model) ? `${escapeHtml(c.energy_kind)} energy, ${escapeHtml(c.energy_model)}${known(c.std) ? `, ± ${meV(c.std)} meV` : ""}` : ""],
    ["Above hull", meV(c.e_above_hull, 1), "meV/atom", c.hull_identity ? `<span title="${escapeHtml(c.hull_identity)}">hull of ${escapeHtml(brief(c.hull_identity))}</span>` : ""],
    ["P(stable)", percent(c.p_stable), "", known(c.p_stable) ? `≤ ${meV(DATA.info.stable_below)} meV/atom` : ""],
  ];
  return `<div class="headline">${items.map(([label, value, unit, note]) => `<div><span class="label">${label}</span><span class="value">${value}</span> <span class="unit">${value === DASH ? "" : unit}</span><span class="note">${note}</span></div>`).join("")}</div>
    <div class="downloads"><button type="button" class="primary" data-get="cif"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 4v11m0 0 4.500-4.500M12 15l-4.500-4.500M5 20h14"/></svg>CIF</button><button type="button" data-get="poscar">POSCAR</button><button type="button" data-get="png">Picture</button><button type="button" data-get="link">Link</button></div>`.replace(/4\.500/g, "4.5");
}

/* only differences within a formula mean something */
function firstShift(c) {
  return CANDIDATES.find((other) => other.formula === c.formula && known(other.r2scan_shift)).r2scan_shift;
}

function energyPart(c) {
  const status = statusOf(c);
  const p = c.provenance || {};
  return section("Energy and relaxation", `<dl class="grid">${[
    cell("Above the lowest of this formula", `${meV(c.above_best, 1)}${c.undecided ? ' <span class="badge info" title="closer to the lowest than the energy model can tell">undecided</span>' : ""}`, "meV/atom"),
    ...(known(c.first_energy) ? [cell(`Before, by ${escapeHtml(c.first_energy_model)}`, fixed(c.first_energy, 4), `eV/atom, ${escapeHtml(c.first_energy_kind)}`)] : []),
    ...(known(c.r2scan_shift) ? [cell("r2SCAN less PBE, against the first", meV(c.r2scan_shift - firstShift(c), 1), "meV/atom")] : []),
    ...(known(c.library_e_above_hull) ? [cell(`Above hull in ${escapeHtml(c.library)}`, meV(c.library_e_above_hull, 1), "meV/atom")] : []),
    ...(c.mineral ? [cell("Mineral", escapeHtml(mineralName(c)))] : []),
    ...(c.n_measured ? [cell("Measured at ordinary conditions", `${c.n_measured}×`)] : []),
    cell("Formation energy", fixed(c.formation_energy, 4), "eV/atom"),
    cell("Relaxation", `<span class="state ${status.tone}"><i></i>${status.label}</span>`),
    cell("Steps", plainText(p.n_steps)),
    cell("Largest force left", typeof p.fmax === "number" ? fixed(p.fmax, 3) : DASH, "eV/Å"),
    cell("Potential", plainText(c.energy_identity)),
    cell("Competing phases", c.decomposition ? formulaHtml(c.decomposition) : DASH),
    cell("Probability", percent(c.probability)),
    cell("Found", `${c.n_merged}×`),
  ].join("")}</dl>`);
}

function cellPart(c) {
  const crystal = crystalOf(c);
  const conventional = cellParameters(times(rows3(c.structure.conventional), crystal.lattice));
  const own = cellParameters(crystal.lattice);
  const row = (name, p) => `<tr><th scope="row" title="${name === "conv." ? "conventional cell" : "cell as calculated, the one in the files"}">${name}</th>${p.lengths.map((x) => `<td>${x.toFixed(3)}</td>`).join("")}${p.angles.map((x) => `<td>${x.toFixed(2)}</td>`).join("")}<td>${p.volume.toFixed(1)}</td></tr>`;
  return section("Cell", `<div class="scroll"><table class="mini"><thead><tr><th></th><th>a</th><th>b</th><th>c <small>Å</small></th><th>α</th><th>β</th><th>γ <small>°</small></th><th>V <small>Å³</small></th></tr></thead><tbody>${row("conv.", conventional)}${row("calc.", own)}</tbody></table></div>
    <dl class="grid">${[cell("Volume", fixed(c.volume, 3), "Å³/atom"), cell("Density", fixed(c.density, 3), "g/cm³"), cell("Atoms in the cell", c.structure.species.length), cell("Formula units", c.z)].join("")}</dl>`);
}

function symmetryPart(c) {
  const before = c.sg_before ? `${groupHtml(c.sg_before)} <span class="sgn">${c.sg_before.number}</span>` : DASH;
  const after = c.sg ? `${groupHtml(c.sg)} <span class="sgn">${c.sg.number}</span>` : DASH;
  return section("Symmetry", `<dl class="grid">${[...(c.library_sg ? [cell("In the library", `${groupHtml(c.library_sg)} <span class="sgn">${c.library_sg.number}</span>`)] : []), cell("As relaxed", before), cell("Symmetrised", after), cell("Tolerance", fixed(c.symprec, 3), "Å"), cell("Crystal system", c.sg ? c.sg.system : DASH), cell("Prototype label", plainText(c.prototype))].join("")}</dl>`);
}

/** Occupied sites of the conventional standard cell. */
function wyckoffPart(c) {
  if (!c.sites || !c.sites.length) return "";
  const rows = c.sites.map((s) => `<tr><th scope="row">${escapeHtml(s.element)}</th><td>${s.multiplicity}${escapeHtml(s.letter)}</td><td>${escapeHtml(s.symmetry)}</td>${s.position.map((x) => `<td>${x.toFixed(4)}</td>`).join("")}</tr>`).join("");
  return section(`Wyckoff sites <span class="muted">${c.sites.length}</span>`, `<div class="scroll"><table class="mini" id="wyckoff"><thead><tr><th></th><th>site</th><th>symmetry</th><th>x</th><th>y</th><th>z</th></tr></thead><tbody>${rows}</tbody></table></div>`, c.sites.length <= 10);
}

/** The powder pattern as lines, the strongest with their indices. */
function powderPart(c) {
  if (!c.powder || !c.powder.length) return "";
  const w = 400, h = 130, base = h - 22, x = (t) => 8 + ((t - 5) / 85) * (w - 16), y = (i) => base - (i / 100) * (base - 20);
  const lines = c.powder.map(([t, i]) => `M${x(t).toFixed(1)} ${base}V${y(i).toFixed(1)}`).join("");
  const named = [];
  for (const [t, i, hkl] of [...c.powder].sort((a, b) => b[1] - a[1])) {
    if (named.length < 7 && !named.some(([u, j]) => Math.abs(x(u) - x(t)) < 34 && Math.abs(y(j) - y(i)) < 12)) named.push([t, i, hkl]);
  }
  const names = named.map(([t, i, hkl]) => `<text x="${Math.max(14, Math.min(w - 14, x(t))).toFixed(1)}" y="${(y(i) - 4).toFixed(1)}" text-anchor="middle">${escapeHtml(hkl)}</text>`).join("");
  const marks = [20, 40, 60, 80].map((t) => `<line class="mark" x1="${x(t)}" x2="${x(t)}" y1="${base}" y2="${base + 4}"/><text x="${x(t)}" y="${h - 6}" text-anchor="middle">${t}${t === 80 ? "°" : ""}</text>`).join("");
  return section("Powder pattern <small>2θ, Cu Kα, simulated</small>", `<svg class="powder" viewBox="0 0 ${w} ${h}" role="img" aria-label="Simulated powder pattern, ${c.powder.length} reflections"><path d="M8 ${base}H${w - 8}"/><path class="peak" d="${lines}"/>${names}${marks}</svg>`, true);
}

function distancePart(c) {
  const pairs = pairDistances(crystalOf(c)).slice(0, 8);
  const rows = pairs.map((p) => `<tr><th scope="row">${p.a}–${p.b}</th><td>${p.distance.toFixed(3)} Å</td><td>${p.coordination}×</td></tr>`).join("");
  return section("Distances", `<dl class="grid">${cell("Shortest of all", fixed(c.min_distance, 3), "Å")}</dl><table class="mini pairs"><thead><tr><th>Pair</th><th>nearest</th><th>neighbours</th></tr></thead><tbody>${rows}</tbody></table>`);
}

function originPart(c) {
  const novelty = NOVELTY[c.novelty];
  const p = c.provenance || {};
  return section("Origin and novelty", `<dl class="grid">${[
    cell("Origin", plainText(shortOrigin(c))),
    cell("Model", plainText(p.model ?? DATA.info.model)),
    cell("Seed", plainText(p.seed)),
    cell("Novelty", novelty ? `<span class="badge ${novelty.tone}">${noveltyLabel(c)}</span>` : DASH),
    cell("Nearest known", known(c.novelty_reference) ? escapeHtml(entryName(c.novelty_reference)) : DASH),
    cell("Also found as", c.merged_ids.length ? `${c.merged_ids.length} more: <span class="ids">${escapeHtml(c.merged_ids.slice(0, 6).join(", "))}${c.merged_ids.length > 6 ? ", …" : ""}</span>` : DASH),
  ].join("")}</dl>`);
}

function phononPart(c) {
  const ph = c.extras && c.extras.phonons;
  if (!ph) return "";
  const stable = ph.stable === true ? '<span class="state good"><i></i>no imaginary mode</span>' : ph.stable === false ? '<span class="state bad"><i></i>imaginary modes</span>' : DASH;
  return section("Phonons", `<dl class="grid">${[
    cell("Dynamical stability", stable), cell("Lowest frequency", fixed(ph.min_frequency_thz, 2), "THz"), cell("Imaginary modes", plainText(ph.n_imaginary)),
    cell("Supercell", plainText(Array.isArray(ph.supercell) ? ph.supercell.join(" × ") : ph.supercell)), cell("Soft mode followed to", plainText(ph.followed_to)), cell("Forces from", plainText(ph.potential)),
  ].join("")}</dl>${ph.dos ? dosPicture(ph.dos) : ""}`);
}

function pressurePart(c) {
  const curve = c.extras && c.extras.pressure;
  if (!curve) return "";
  const rows = curve.map((p) => `<tr><th scope="row">${fixed(p.gpa, 1)}</th><td>${fixed(p.enthalpy_per_atom, 4)}</td><td>${meV(p.above_best, 1)}</td><td>${fixed(p.volume_per_atom, 2)}</td></tr>`).join("");
  return section("Pressure", `<table class="mini pairs"><thead><tr><th>GPa</th><th>enthalpy <small>eV/atom</small></th><th>above lowest <small>meV/atom</small></th><th>V <small>Å³/atom</small></th></tr></thead><tbody>${rows}</tbody></table>`);
}

/** Density of states as a small filled curve: [[frequency THz, density], ...]. */
function dosPicture(dos) {
  const w = 360, h = 84, top = Math.max(...dos.map((d) => d[1])) || 1;
  const low = Math.min(...dos.map((d) => d[0])), high = Math.max(...dos.map((d) => d[0]));
  const x = (v) => ((v - low) / (high - low || 1)) * w;
  const path = dos.map((d, i) => `${i ? "L" : "M"}${x(d[0]).toFixed(1)} ${(h - 18 - (d[1] / top) * (h - 24)).toFixed(1)}`).join("");
  const zero = low < 0 ? `<line class="zero" x1="${x(0)}" x2="${x(0)}" y1="2" y2="${h - 18}"/>` : "";
  return `<svg class="dos" viewBox="0 0 ${w} ${h}" role="img" aria-label="Phonon density of states"><path d="${path}L${w} ${h - 18}L0 ${h - 18}Z"/>${zero}<text x="0" y="${h - 4}">${fixed(low, 1)}</text><text x="${w}" y="${h - 4}" text-anchor="end">${fixed(high, 1)} THz</text></svg>`;
}

function sitePart(c) {
  const crystal = crystalOf(c);
  const names = labels(crystal.species);
  const rows = crystal.frac.map((f, i) => `<tr><th scope="row">${names[i]}</th>${f.map((x) => `<td>${x.toFixed(5)}</td>`).join("")}</tr>`).join("");
  return section(`Sites <span class="muted">${crystal.species.length}</span>`, `<table class="mini"><thead><tr><th></th><th>x</th><th>y</th><th>z</th></tr></thead><tbody>${rows}</tbody></table>`, crystal.species.length <= 6);
}

function costPart(c) {
  const entries = Object.entries(c.cost || {});
  if (!entries.length) return "";
  const rows = entries.map(([k, v]) => `<tr><th scope="row">${escapeHtml(k.replace(/_s$/, "").replace(/_/g, " "))}</th><td>${/_s$/.test(k) ? seconds(v) : typeof v === "number" ? count(v) : plainText(v)}</td></tr>`).join("");
  return section("Cost", `<table class="mini pairs"><tbody>${rows}</tbody></table>`, false);
}

function provenancePart(c) {
  const flat = (value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : value);
  const rows = [["id", c.id], ["file", c.file], ...Object.entries(c.provenance || {})]
    .map(([k, v]) => `<tr><th scope="row">${escapeHtml(k)}</th><td>${plainText(flat(v))}</td></tr>`).join("");
  return section("Provenance", `<table class="mini words"><tbody>${rows}</tbody></table>`, false);
}

function wireDownloads(c) {
  const actions = {
    cif: () => download(`${fileStem(c)}.cif`, cifText(c)),
    poscar: () => download(`${fileStem(c)}.vasp`, poscarText(c), "text/plain"),
    png: () => $("viewer").toBlob((blob) => download(`${fileStem(c)}.png`, blob)),
    link: async (button) => {
      const link = location.href;
      try {
        await navigator.clipboard.writeText(link);
        button.textContent = "Copied";
      } catch (error) {
        prompt("Link to this candidate", link); // file:// pages may not write to the clipboard
      }
    },
  };
  for (const button of $("detail").querySelectorAll("[data-get]")) button.addEventListener("click", () => actions[button.dataset.get](button));
}
