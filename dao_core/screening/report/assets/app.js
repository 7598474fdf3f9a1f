// Wiring: header, panels, theme, selection from the address.
function drawHeader() {
  const { info } = DATA;
  const formula = /^[A-Z][A-Za-z0-9()]*$/.test(info.title);
  $("title").innerHTML = formula ? formulaHtml(info.title) : escapeHtml(info.title);
  $("answer").innerHTML = answerText();
  const reasons = Object.entries(info.reasons || {}).map(([k, v]) => `${v} ${k.replace(/_/g, " ")}`).join(", ");
  const counts = [["asked", info.n_asked, "proposals, and starts kept beside what they became"], ["relaxed", CANDIDATES.length ? (info.work || {}).relaxed ?? 0 : 0, "ended a relaxation with an energy"], ...((info.work || {}).judged ? [["judged", info.work.judged, `relaxed by ${brief(info.judge)} too`]] : []), ["failed", info.n_failed, reasons || "rejected or no energy"], ["merged", info.n_merged, "duplicates"], ["distinct", CANDIDATES.filter((c) => !c.rejected).length, "structures"]];
  $("counts").innerHTML = counts.map(([label, value, note]) => `<div class="${label}" title="${escapeHtml(note)}"><dd>${count(value)}</dd><dt>${label}</dt></div>`).join("");
  const stages = Object.entries(info.stages || {});
  const total = stages.reduce((sum, [, s]) => sum + s, 0);
  const facts = [["Model", plainText(info.model)], ["First energy", known(info.potential) ? escapeHtml(brief(info.potential)) : DASH], ...(known(info.judge) ? [["Judge", escapeHtml(brief(info.judge))]] : []), ...(known(info.library) ? [["Library", escapeHtml(brief(String(info.library).replace(/ \(([0-9a-f]{8,})\)$/, "-$1")))]] : []), ["Database", plainText(info.database_version)], ["Seed", known(info.seed) ? info.seed : DASH], ["Time", stages.length ? seconds(total) : DASH], ["Made", plainText(info.created)]];
  $("facts").innerHTML = facts.map(([k, v]) => `<div><dt>${k}</dt><dd>${v}</dd></div>`).join("");
  $("notes").replaceChildren(...(info.notes || []).map((note) => element("p", { class: "notice" }, note)));
  $("foot").innerHTML = `<p>${plainText(info.software || "DAO")}. A predicted structure is a claim; first-principles calculation decides. ${DASH} means not known.</p>${costLedger(stages, total, info)}`;
}

/** What the run cost: seconds of each stage, their share, what it means for one proposal, and the work that was done. */
function costLedger(stages, total, info) {
  if (!stages.length) return "";
  const each = (s) => (info.n_asked ? seconds(s / info.n_asked) : DASH);
  const rows = [...stages, ["all", total]].map(([k, s]) => `<tr><th scope="row">${escapeHtml(k)}</th><td>${seconds(s)}</td><td>${percent(total ? s / total : 0)}</td><td>${each(s)}</td></tr>`).join("");
  const work = Object.entries(info.work || {}).map(([k, n]) => `${count(n)} ${escapeHtml(k)}`).join(", ");
  return `<details class="part ledger" id="ledger"><summary><h3>Cost ledger <span class="muted">${seconds(total)}</span></h3></summary><table class="mini pairs"><thead><tr><th></th><th>time</th><th>share</th><th>a proposal</th></tr></thead><tbody>${rows}</tbody></table>${work ? `<p>${work}.</p>` : ""}</details>`;
}

function answerText() {
  const best = CANDIDATES.find((c) => !c.rejected);
  if (!best) return "No candidate came through.";
  const group = `${groupHtml(best.sg)}${best.sg ? ` <span class="sgn">no. ${best.sg.number}</span>` : ""}`;
  if (byFormula) {
    const onHull = CANDIDATES.filter((c) => c.usable && known(c.e_above_hull) && c.e_above_hull <= 1e-4).length;
    const stable = CANDIDATES.filter((c) => c.usable && known(c.e_above_hull) && c.e_above_hull <= DATA.info.stable_below).length;
    const hull = CANDIDATES.some((c) => known(c.e_above_hull)) ? `, ${stable} within ${meV(DATA.info.stable_below)} meV/atom of the hull${onHull ? `, ${onHull} on it` : ""}` : "";
    return `${FORMULAS.length} formulas${hull}. First: <b>${formulaHtml(best.formula)}</b> ${group}.`;
  }
  const other = best.library_sg && best.sg && best.library_sg.number !== best.sg.number ? ` as ${groupHtml(best.library_sg)}` : "";
  const whose = known(best.library_id) ? `, known${other} (${escapeHtml(entryName(best.library_id))}${measuredText(best)})` : "";
  const sure = `${whose}${known(best.probability) ? `, ${percent(best.probability)} probability` : ", not relaxed"}`;
  const rivals = CANDIDATES.filter((c) => c.undecided && c !== best).length;
  if (best.undecided && rivals) return `First: <b>${group}</b>${sure}. ${rivals} more ${rivals > 1 ? "lie" : "lies"} closer to the lowest energy than ${escapeHtml(best.energy_model)} can tell: undecided.`;
  if (known(best.above_best) && best.above_best > 0) {
    return `First: <b>${group}</b>${sure}: ${meV(best.above_best, 1)} meV/atom above the lowest, but what is known${known(best.r2scan_shift) ? " and r2SCAN's correction speak" : " speaks"} for it more.`;
  }
  if (!known(best.above_best)) return `First: <b>${group}</b>${sure}.`;
  const next = CANDIDATES.find((c) => c.usable && c !== best && known(c.above_best));
  const gap = next ? `, ${meV(Math.abs(next.above_best), 1)} meV/atom below the second, ${groupHtml(next.sg)}` : "";
  return `First and lowest in energy: <b>${group}</b>${sure}${gap}.`;
}

function start() {
  startTheme();
  drawHeader();
  if (!CANDIDATES.length) {
    document.querySelector("main").replaceChildren(element("p", { class: "empty" }, "The run ended without a candidate."));
    document.documentElement.dataset.ready = "true";
    return;
  }
  const viewer = new Viewer($("viewer"));
  window.daoViewer = viewer; // for a user's console
  segmented($("cell-mode"), [["conventional", "Conventional"], ["primitive", "Primitive"], ["supercell", "2×2×2"]], "conventional", (mode) => viewer.set("mode", mode));
  $("view-along").replaceChildren(...[["a", "a"], ["b", "b"], ["c", "c"], ["reset", "↺"]].map(([axis, label]) => element("button", { type: "button", title: axis === "reset" ? "Reset the view" : `Look along ${axis}`, "data-value": axis, onclick: () => viewer.along(axis) }, label)));
  $("toggles").replaceChildren(...[["bonds", "Bonds", true], ["images", "Beyond the cell", true], ["polyhedra", "Polyhedra", false], ["spin", "Spin", false]].map(([key, label, state]) => element("label", { class: "check" }, element("input", { type: "checkbox", "data-option": key, checked: state, oninput: (e) => viewer.set(key, e.target.checked) }), label)));
  segmented($("plot-tabs"), availablePlots(), plotState.tab, (tab) => { plotState.tab = tab; drawPlot(); });
  $("plot-tabs").hidden = availablePlots().length < 2;
  segmented($("plot-range"), RANGES.map(([v, l]) => [v, l, v === "all" ? "All energies" : `Up to ${l} meV/atom`]), "all", (range) => { plotState.range = range; drawPlot(); });
  $("plot-range").append(element("span", { class: "unit" }, "meV/atom"));
  startPlot();
  drawPlot(); // before the table: the plot asks for its width, which would lay out every row
  startTable();
  on("select", ({ candidate }) => showInViewer(candidate));
  on("select", drawDetail);
  on("select", ({ candidate }) => drawAtomLegend(candidate));
  on("select", ({ how }) => markRow(how !== "table" && how !== "start"));
  on("select", markSelected);
  on("select", ({ how }) => { if (how !== "start" && how !== "keys" && innerWidth < 1000) document.querySelector(".viewer-card").scrollIntoView({ behavior: "smooth", block: "start" }); });
  on("theme", () => { if (selected) drawDetail({ candidate: selected }); });
  on("theme", () => { viewer.sprites.clear(); viewer.palette = null; viewer.draw(); });
  $("previous").addEventListener("click", () => select((neighbour(-1) || selected).id, "keys"));
  $("next").addEventListener("click", () => select((neighbour(1) || selected).id, "keys"));
  addEventListener("hashchange", () => select(decodeURIComponent(location.hash.slice(1)), "address"));
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawPlot(); } });
  select(decodeURIComponent(location.hash.slice(1)), "start");
  if (!selected) select(CANDIDATES[0].id, "start");
  else markRow();
  document.documentElement.dataset.ready = "true";
}

function drawAtomLegend(c) {
  const counts = new Map();
  for (const s of c.structure.species) counts.set(s, (counts.get(s) || 0) + 1);
  $("atoms").replaceChildren(...[...counts].map(([s]) => {
    const e = DATA.elements[s];
    return element("span", { class: "chip", title: e.name, html: `<i style="--dot:rgb(${e.color})"></i>${s}` });
  }));
}

function startTheme() {
  const root = document.documentElement;
  const stored = recall("dao-theme");
  if (stored) root.dataset.theme = stored;
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  $("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remember("dao-theme", root.dataset.theme);
    emit("theme");
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => emit("theme"));
}

// Storage is refused on some file:// pages and in private windows: the theme is then simply not remembered.
function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch (error) {
    return null;
  }
}
function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch (error) {
    return;
  }
}

start();
