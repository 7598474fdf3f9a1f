// Shared ground: the data, formatting, and who is selected. Everything lives in this one script's scope.
const DATA = JSON.parse(document.getElementById("data").textContent);
const CANDIDATES = DATA.candidates;
const BY_ID = new Map(CANDIDATES.map((c) => [c.id, c]));
const DASH = "—";
const MINUS = "−";
const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";
const $ = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "html") node.innerHTML = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const escapeHtml = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const known = (value) => value !== null && value !== undefined;

/** A number with fixed digits and a true minus sign, or an em dash where it is unknown. */
function fixed(value, digits = 3) {
  if (!known(value)) return DASH;
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", MINUS);
}

/** eV/atom shown in meV/atom. */
const meV = (value, digits = 0) => fixed(known(value) ? value * 1000 : value, digits);
const percent = (value) => (known(value) ? (value > 0 && value < 0.005 ? "<1 %" : value < 1 && value > 0.995 ? ">99 %" : `${Math.round(value * 100)} %`) : DASH);
const count = (value) => (known(value) ? String(value).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f") : DASH);

function seconds(value) {
  if (!known(value)) return DASH;
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 90) return `${value.toFixed(1)} s`;
  return value < 5400 ? `${(value / 60).toFixed(1)} min` : `${(value / 3600).toFixed(1)} h`;
}

/** SrTiO3 -> SrTiO<sub>3</sub>; also inside longer texts such as decomposition products when asked. */
const formulaHtml = (text) => escapeHtml(text).replace(/([A-Za-z)\]])(\d+)/g, "$1<sub>$2</sub>");

/** Hermann-Mauguin symbol with italics, overlines and screw subscripts: Pm-3m, P2_1/c. */
function groupHtml(group) {
  if (!group) return `<span class="muted">${DASH}</span>`;
  const text = escapeHtml(group.symbol)
    .replace(/-(\d)/g, '<span class="over">$1</span>')
    .replace(/_(\d)/g, "<sub>$1</sub>")
    .replace(/(^|[^&#\w])?([A-Za-z])(?![^<]*>)/g, "$1<i>$2</i>");
  return `<span class="hm">${text}</span>`;
}

const STATUS = {
  converged: { label: "converged", tone: "good" },
  start: { label: "as proposed: its relaxation left it", tone: "warn" },
  max_steps: { label: "not converged", tone: "warn" },
  not_relaxed: { label: "not relaxed", tone: "plain" },
  rejected_volume: { label: "rejected: volume", tone: "bad" },
  rejected_domain: { label: "rejected: outside training", tone: "bad" },
  rejected_distance: { label: "rejected: distance", tone: "bad" },
  rejected_energy: { label: "rejected: energy", tone: "bad" },
  potential_failed: { label: "no energy", tone: "bad" },
};
const statusOf = (c) => STATUS[c.status] || { label: escapeHtml(c.status), tone: "plain" };

const NOVELTY = {
  match: { label: "known", title: "matches a structure of the database", tone: "plain" },
  "same prototype": { label: "known type", title: "this prototype is known with other elements, or other parameters", tone: "info" },
  new: { label: "new", title: "no match and no known prototype in the database", tone: "accent" },
};
/** "known: quartz" or "known: OQMD-ICSD 5713", "known type", or "new". */
function noveltyLabel(c) {
  const novelty = NOVELTY[c.novelty];
  if (!novelty) return "";
  return c.novelty === "match" && known(c.novelty_reference) ? `known: ${escapeHtml(c.mineral ? mineralName(c) : entryName(c.novelty_reference))}` : novelty.label;
}
const entryName = (id) => String(id).replace(/^oqmd-icsd-/, "OQMD-ICSD ").replace(/^aflow-/, "AFLOW ").replace(/^amcsd-(\d+).*/, "AMCSD row $1");
const mineralName = (c) => c.mineral.replace(/-/g, " ");
const measuredText = (c) => (c.mineral ? `, ${escapeHtml(mineralName(c))}` : "") + (c.n_measured ? `, measured ${c.n_measured === 1 ? "once" : `${c.n_measured} times`}` : "");
function noveltyBadge(c) {
  const novelty = NOVELTY[c.novelty];
  return novelty ? `<span class="badge ${novelty.tone}" title="${novelty.title}${known(c.novelty_reference) ? `: ${escapeHtml(c.novelty_reference)}` : ""}">${noveltyLabel(c)}</span>` : `<span class="muted">${DASH}</span>`;
}

// One selection for all panels: they subscribe, and select() tells them.
const listeners = { select: [], hover: [], theme: [] };
const on = (event, listener) => listeners[event].push(listener);
const emit = (event, value) => listeners[event].forEach((listener) => listener(value));
let selected = null;
function select(id, how = "click") {
  const candidate = BY_ID.get(id);
  if (!candidate || candidate === selected) return;
  selected = candidate;
  if (how !== "start") replaceHash(`#${encodeURIComponent(id)}`);
  emit("select", { candidate, how });
}
function replaceHash(hash) {
  try {
    history.replaceState(null, "", hash);
  } catch (error) {
    location.hash = hash; // some browsers refuse replaceState on file://
  }
}

/** A model's name without the hash of its weights. */
const brief = (identity) => String(identity).replace(/[-+@:]?[0-9a-f]{8,}$/, "");

const SYSTEMS = ["cubic", "hexagonal", "trigonal", "tetragonal", "orthorhombic", "monoclinic", "triclinic"];
const FORMULAS = [...new Set(CANDIDATES.map((c) => c.formula))];
const colorVariable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** What colour stands for in the plots: the formula where there are several, else the crystal system. */
const byFormula = FORMULAS.length > 1;
function groupOf(c) {
  return byFormula ? c.formula : c.sg ? c.sg.system : "unknown";
}
function groupColor(group) {
  const order = byFormula ? FORMULAS : SYSTEMS;
  const index = order.indexOf(group);
  return index < 0 || index > 7 ? "var(--muted)" : `var(--c${index + 1})`;
}

function download(name, text, type = "chemical/x-cif") {
  const url = URL.createObjectURL(text instanceof Blob ? text : new Blob([text], { type }));
  const link = element("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** A row of exclusive buttons. */
function segmented(host, options, current, choose) {
  host.replaceChildren(
    ...options.map(([value, label, title]) =>
      element("button", { type: "button", "aria-pressed": String(value === current), title, "data-value": value,
        onclick: () => {
          for (const b of host.children) b.setAttribute("aria-pressed", String(b.dataset.value === String(value)));
          choose(value);
        } }, label)),
  );
}

// A tooltip that follows the pointer, shared by the plots.
function showTip(html, x, y) {
  const tip = $("tip");
  tip.innerHTML = html;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(x + 14, innerWidth - box.width - 8);
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18}px`;
}
const hideTip = () => ($("tip").hidden = true);
