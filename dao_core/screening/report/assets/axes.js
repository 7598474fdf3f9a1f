// Axes for the SVG plots: round ticks, grid, labels.
function ticks(low, high, target) {
  const span = high - low || 1;
  const power = 10 ** Math.floor(Math.log10(span / target));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => span / s <= target) || 10 * power;
  const out = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-6; t += step) out.push(Math.abs(t) < step * 1e-6 ? 0 : t);
  let digits = 0; // as many as the step has: 2.5 is not 3
  while (digits < 8 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6) digits++;
  return { values: out, digits };
}

/** A plot frame filling `host`: returns {root, x(), y(), inner} with scales from data to pixels. `xMarks` are named places. */
function frame(host, { xRange, yRange, xLabel, yLabel, xTicks = 7, yTicks = 6, height = 320, xFormat, xMarks, grid = true }) {
  const width = Math.max(300, host.clientWidth);
  const margin = { left: 62, right: 16, top: 14, bottom: 44 };
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", class: "chart" });
  const inner = { left: margin.left, right: width - margin.right, top: margin.top, bottom: height - margin.bottom };
  const x = (v) => inner.left + ((v - xRange[0]) / (xRange[1] - xRange[0] || 1)) * (inner.right - inner.left);
  const y = (v) => inner.bottom - ((v - yRange[0]) / (yRange[1] - yRange[0] || 1)) * (inner.bottom - inner.top);
  const back = svg("g", { class: "axes" });
  const ty = ticks(...yRange, yTicks);
  for (const t of ty.values) {
    if (grid) back.append(svg("line", { class: "grid", x1: inner.left, x2: inner.right, y1: y(t), y2: y(t) }));
    back.append(text(inner.left - 10, y(t), fixed(t, ty.digits), { class: "tick", "text-anchor": "end", "dominant-baseline": "central" }));
  }
  const tx = xMarks ? { values: [] } : ticks(...xRange, width < 480 ? Math.min(5, xTicks) : xTicks);
  for (const t of tx.values) {
    back.append(svg("line", { class: "mark", x1: x(t), x2: x(t), y1: inner.bottom, y2: inner.bottom + 5 }));
    back.append(text(x(t), inner.bottom + 19, xFormat ? xFormat(t) : fixed(t, tx.digits), { class: "tick", "text-anchor": "middle" }));
  }
  for (const [at, name] of xMarks || []) {
    back.append(svg("line", { class: "grid", x1: x(at), x2: x(at), y1: inner.top, y2: inner.bottom }));
    back.append(text(x(at), inner.bottom + 19, name, { class: "tick", "text-anchor": "middle" }));
  }
  back.append(svg("line", { class: "base", x1: inner.left, x2: inner.right, y1: inner.bottom, y2: inner.bottom }));
  back.append(text((inner.left + inner.right) / 2, height - 6, xLabel, { class: "axis-label", "text-anchor": "middle" }));
  back.append(text(0, 0, yLabel, { class: "axis-label", "text-anchor": "middle", transform: `translate(14 ${(inner.top + inner.bottom) / 2}) rotate(-90)` }));
  root.append(back);
  host.replaceChildren(root);
  return { root, x, y, inner, width, height };
}

function text(x, y, content, attributes = {}) {
  const node = svg("text", { x, y, ...attributes });
  node.textContent = content;
  return node;
}

/** Pad a range a little, so that marks don't touch the frame. */
function padded(values, fraction = 0.06, least = 0.02) {
  const low = Math.min(...values), high = Math.max(...values);
  const pad = Math.max((high - low) * fraction, least);
  return [low - pad, high + pad];
}
