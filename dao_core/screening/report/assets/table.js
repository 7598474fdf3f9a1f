// The table: sorting by any column, filters, keyboard movement.
const share = (c) => (known(c.p_stable) ? `<span class="share"><i style="width:${Math.round(c.p_stable * 100)}%"></i></span>` : "");
const COLUMNS = [
  { key: "rank", label: "#", title: "Rank", value: (c) => c.rank, html: (c) => c.rank, cls: "num rank" },
  { key: "structure", label: "Structure", title: "Formula, space group and prototype", value: (c) => `${c.formula} ${String(c.sg ? c.sg.number : 999).padStart(3, "0")}`, cls: "what",
    html: (c) => `<span class="main">${formulaHtml(c.formula)} ${groupHtml(c.sg)} <span class="sgn">${c.sg ? c.sg.number : ""}</span></span><span class="sub">${escapeHtml(shortOrigin(c))}${c.judged ? ` · judged by ${escapeHtml(c.energy_model)}` : ""}${c.z > 1 ? ` · Z = ${c.z}` : ""}</span>${c.status === "converged" ? "" : `<span class="sub state ${statusOf(c).tone}"><i></i>${statusOf(c).label}</span>`}` },
  { key: "probability", label: "Probability", title: "Posterior within this formula: how likely before any energy, times exp(-ΔE / T) with the temperature of the energy model's errors; nothing where nobody relaxed it", value: (c) => c.probability, html: (c) => percent(c.probability), cls: "num" },
  { key: "above_best", label: "ΔE", unit: "meV/atom", title: "Energy above the lowest of the same formula, by the model that decides; ? where that model can't tell", value: (c) => c.above_best, html: (c) => `${meV(c.above_best, 1)}${c.undecided ? " ?" : ""}`, cls: "num strong" },
  { key: "std", label: "±", unit: "meV/atom", title: "Spread of the energy", value: (c) => c.std, html: (c) => meV(c.std), cls: "num wide" },
  { key: "e_above_hull", label: "Above hull", unit: "meV/atom", title: "Energy above the convex hull", value: (c) => c.e_above_hull, html: (c) => meV(c.e_above_hull, 0), cls: "num" },
  { key: "p_stable", label: "P(stable)", title: "", value: (c) => c.p_stable, html: (c) => `${percent(c.p_stable)}${share(c)}`, cls: "num narrow-out" },
  { key: "library_hull", label: "In library", unit: "meV/atom", title: "Above the hull of the library's own energies", value: (c) => c.library_e_above_hull, html: (c) => meV(c.library_e_above_hull), cls: "num wide" },
  { key: "volume", label: "Volume", unit: "Å³/atom", title: "Volume per atom", value: (c) => c.volume, html: (c) => fixed(c.volume, 2), cls: byFormula ? "num wide" : "num narrow-out" },
  { key: "novelty", label: "Novelty", title: "Against the database", value: (c) => c.novelty, html: noveltyBadge, cls: "narrow-out" },
  { key: "n_merged", label: "Found", title: "Proposals that led to this structure", value: (c) => c.n_merged, html: (c) => `${c.n_merged}×`, cls: "num wide" },
];
const tableState = { sort: "rank", ascending: true, text: "", formula: "", novelty: "", usable: false };

/** Where it came from in a few words: the template's name where there is one. */
function shortOrigin(c) {
  const p = c.provenance || {};
  if (c.origin === "known") return "known structure";
  if (known(p.parent)) return `${c.origin} of ${p.parent}`;
  return known(p.template_id) ? `${c.origin} ${p.template_id}` : known(p.start) && p.start !== c.origin ? `generated from ${p.start}` : String(c.origin).replace(/^template:/, "template ");
}
let columnsShown = null;
function visibleColumns() {
  columnsShown = columnsShown || COLUMNS.filter((column) => ["rank", "structure", "above_best"].includes(column.key) || CANDIDATES.some((c) => known(column.value(c))));
  return columnsShown;
}

function searchable(c) {
  if (!c._search) c._search = [c.id, c.formula, c.sg && c.sg.symbol, c.sg && c.sg.number, c.sg && c.sg.system, c.origin, c.prototype, c.novelty, c.novelty_reference, c.library_id, c.mineral, c.status].filter(known).join(" ").toLowerCase();
  return c._search;
}

function passes(c) {
  const words = tableState.text.toLowerCase().split(/\s+/).filter(Boolean);
  return words.every((w) => searchable(c).includes(w)) && (!tableState.formula || c.formula === tableState.formula)
    && (!tableState.novelty || c.novelty === tableState.novelty) && (!tableState.usable || !c.rejected);
}

/** Unknown values come last in either direction; ties keep the rank. */
function sorted(items) {
  const column = COLUMNS.find((c) => c.key === tableState.sort);
  const sign = tableState.ascending ? 1 : -1;
  return [...items].sort((a, b) => {
    const x = column.value(a), y = column.value(b);
    if (!known(x) || !known(y)) return known(x) ? -1 : known(y) ? 1 : a.rank - b.rank;
    const order = typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en");
    return order * sign || a.rank - b.rank;
  });
}

function drawHead() {
  COLUMNS.find((c) => c.key === "p_stable").title = `Probability of being at most ${meV(DATA.info.stable_below)} meV/atom above the hull`;
  const row = element("tr");
  for (const column of visibleColumns()) {
    const current = tableState.sort === column.key;
    const button = element("button", { type: "button", title: column.title, "data-key": column.key,
      onclick: () => { tableState.ascending = current ? !tableState.ascending : true; tableState.sort = column.key; drawHead(); drawRows(); $("table").querySelector(`[data-key="${column.key}"]`).focus(); } },
      element("span", {}, column.label), column.unit ? element("small", {}, column.unit) : null);
    row.append(element("th", { scope: "col", class: `${column.cls} col-${column.key}`, "aria-sort": current ? (tableState.ascending ? "ascending" : "descending") : null }, button));
  }
  $("table").tHead.replaceChildren(row);
}

const FIRST_ROWS = 16; // more than the table's window shows; the others follow once the page has been painted
const BATCH_ROWS = 90;
let waiting = [];

function rowHtml(c) {
  return `<tr data-id="${escapeHtml(c.id)}" tabindex="0" class="${c.rejected ? "unusable" : ""}">${visibleColumns().map((column) => `<td class="${column.cls}">${column.html(c)}</td>`).join("")}</tr>`;
}

function drawRows() {
  tableState.order = sorted(CANDIDATES.filter(passes));
  waiting = tableState.order.slice();
  $("table").tBodies[0].replaceChildren();
  appendRows(FIRST_ROWS);
  if (waiting.length) requestAnimationFrame(() => setTimeout(fillRows, 30, waiting));
  const { length } = tableState.order;
  $("shown").textContent = length === CANDIDATES.length ? `${length}` : `${length} of ${CANDIDATES.length}`;
  $("empty").hidden = length > 0;
  markRow(false);
}

function appendRows(number) {
  $("table").tBodies[0].insertAdjacentHTML("beforeend", waiting.splice(0, number).map(rowHtml).join(""));
}

/** Append the waiting rows in batches, so that the page stays responsive; a newer drawing ends an older one. */
function fillRows(mine) {
  if (mine !== waiting || !waiting.length) return;
  appendRows(BATCH_ROWS);
  setTimeout(fillRows, 10, mine);
}

/** Mark the selected row; only the old and the new one are touched, since every touch of 500 rows costs a layout. */
function markRow(scroll = true) {
  const body = $("table").tBodies[0];
  for (const old of body.querySelectorAll('[aria-selected="true"]')) old.removeAttribute("aria-selected");
  if (selected && waiting.includes(selected)) appendRows(waiting.length);
  const row = selected && body.querySelector(`[data-id="${CSS.escape(selected.id)}"]`);
  if (!row) return;
  row.setAttribute("aria-selected", "true");
  if (!scroll) return;
  const wrap = document.querySelector(".table-wrap");
  const top = row.offsetTop - $("table").tHead.offsetHeight;
  if (top < wrap.scrollTop) wrap.scrollTop = top;
  else if (row.offsetTop + row.offsetHeight > wrap.scrollTop + wrap.clientHeight) wrap.scrollTop = row.offsetTop + row.offsetHeight - wrap.clientHeight;
}

/** The candidate `step` places from the selected one, in the order shown. */
function neighbour(step) {
  const { order } = tableState;
  const at = order.indexOf(selected);
  return order[Math.max(0, Math.min(order.length - 1, at + step))];
}

function startTable() {
  const options = (values, all, label = (v) => v) => [element("option", { value: "" }, all), ...values.map((v) => element("option", { value: v }, label(v)))];
  const novelties = [...new Set(CANDIDATES.map((c) => c.novelty).filter(known))];
  $("formula").replaceChildren(...options(FORMULAS, "all formulas"));
  $("novelty").replaceChildren(...options(novelties, "any novelty", (v) => (NOVELTY[v] ? NOVELTY[v].label : v)));
  $("formula-field").hidden = FORMULAS.length < 2;
  $("novelty-field").hidden = novelties.length < 2;
  $("usable-field").hidden = CANDIDATES.every((c) => !c.rejected);
  const refresh = () => {
    Object.assign(tableState, { text: $("search").value, formula: $("formula").value, novelty: $("novelty").value, usable: $("usable").checked });
    drawRows();
    drawPlot();
  };
  for (const id of ["search", "formula", "novelty", "usable"]) $(id).addEventListener("input", refresh);
  const body = $("table").tBodies[0];
  body.addEventListener("click", (e) => { const row = e.target.closest("tr"); if (row) select(row.dataset.id, "table"); });
  body.addEventListener("keydown", (e) => {
    const row = e.target.closest("tr");
    if (e.key === "Enter" || e.key === " ") { e.preventDefault(); select(row.dataset.id, "table"); }
    if (e.key !== "ArrowDown" && e.key !== "ArrowUp") return;
    e.preventDefault();
    if (!row.nextElementSibling) appendRows(waiting.length);
    const next = e.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
    if (next) { next.focus(); select(next.dataset.id, "keys"); }
  });
  plotState.passes = passes;
  drawHead();
  drawRows();
}
