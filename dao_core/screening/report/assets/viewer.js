// The structure viewer: shaded spheres, split bonds, polyhedra and cell edges on a 2-D canvas, sorted by depth.
// A canvas without WebGL looks the same on every machine and prints; a thousand atoms redraw in a few milliseconds.
const BALL = 0.42; // drawn radius over covalent radius
const FOG_LEVELS = 6;

class Viewer {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.options = { mode: "conventional", bonds: true, images: true, polyhedra: false, spin: false };
    this.sprites = new Map();
    this.scene = null;
    this.pending = false;
    this.resetView();
    this.listen();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  resetView() {
    this.rotation = viewMatrix(-0.42, 0.3);
    this.zoom = 1;
    this.pan = [0, 0];
  }

  show(candidate) {
    this.candidate = candidate;
    this.build();
  }

  set(option, value) {
    this.options[option] = value;
    option === "spin" ? this.startSpin() : this.build();
  }

  build() {
    if (!this.candidate) return;
    const primitive = crystalOf(this.candidate);
    let matrix = rows3(this.candidate.structure.conventional);
    if (this.options.mode === "primitive") matrix = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    if (this.options.mode === "supercell") matrix = matrix.map((row) => scale(row, 2));
    const crystal = transformed(primitive, matrix);
    const frame = standardFrame(crystal.lattice);
    crystal.lattice = times(crystal.lattice, frame);
    const small = { ...primitive, lattice: times(primitive.lattice, frame) };
    const atoms = withFaces(crystal);
    const hasNonmetal = crystal.species.some((s) => !DATA.elements[s].metal);
    const polyhedra = this.options.polyhedra ? polyhedraOf(atoms, small) : [];
    if (polyhedra.length) completeLigands(atoms, polyhedra);
    if (this.options.images && this.options.bonds && hasNonmetal && atoms.length < 400) addBondedImages(atoms, small, hasNonmetal);
    const bonds = this.options.bonds && atoms.length < 2500 ? bondsOf(atoms, hasNonmetal) : [];
    const center = scale(crystal.lattice.reduce(add, [0, 0, 0]), 0.5);
    const radius = Math.max(...atoms.map((a) => norm(sub(a.position, center)) + BALL * radiusOf(a.symbol)), 1);
    const surface = this.surface ? isosurface(this.surface.grid, matrix, crystal.lattice, this.surface.level) : [];
    this.scene = { atoms, bonds, polyhedra, surface, center, radius, lattice: crystal.lattice, edges: cellEdges(crystal.lattice, atoms) };
    this.draw();
  }

  resize() {
    const ratio = Math.min(devicePixelRatio || 1, 3);
    const box = this.canvas.getBoundingClientRect();
    if (!box.width) return;
    this.width = box.width;
    this.height = box.height;
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    this.ratio = ratio;
    this.draw();
  }

  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      if (this.scene && this.width) this.paint();
    });
  }

  /** Screen position, depth (-1 far .. 1 near) and pixels per angstrom of a point. */
  project(point) {
    const p = rowTimes(sub(point, this.scene.center), this.rotation);
    const distance = 4.2 * this.scene.radius;
    const perspective = distance / (distance - p[2]);
    const size = (0.51 * Math.min(this.width, this.height) / this.scene.radius) * this.zoom * perspective;
    return { x: this.width / 2 + this.pan[0] + p[0] * size, y: this.height / 2 + this.pan[1] - p[1] * size, depth: p[2], size };
  }

  paint() {
    const c = this.context;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.clearRect(0, 0, this.width, this.height);
    if (!this.palette) this.palette = Object.fromEntries(["stage", "cell-edge", "axis-a", "axis-b", "axis-c"].map((name) => [name, colorVariable(`--${name}`)]));
    this.background = parseColor(this.palette.stage);
    this.edgeColor = this.palette["cell-edge"];
    const items = [...this.edgeItems(), ...this.bondItems(), ...this.atomItems(), ...this.polyhedronItems(), ...this.surfaceItems()];
    items.sort((a, b) => a.depth - b.depth);
    for (const item of items) item.paint();
    this.paintAxes();
    this.canvas.dataset.rotation = this.rotation.flat().map((x) => x.toFixed(4)).join(",");
    this.canvas.dataset.zoom = this.zoom.toFixed(4);
    this.canvas.dataset.atoms = this.scene.atoms.length;
    this.canvas.dataset.bonds = this.scene.bonds.length;
    this.canvas.dataset.triangles = this.scene.surface.length;
    this.canvas.dataset.candidate = this.candidate.id;
  }

  fog(depth) {
    const t = Math.max(0, Math.min(1, 0.5 - depth / (2 * this.scene.radius)));
    return Math.round(t * (FOG_LEVELS - 1));
  }

  faded(rgb, level) {
    return mix(rgb, this.background, (0.5 * level) / (FOG_LEVELS - 1));
  }

  edgeItems() {
    return this.scene.edges.map(([start, end]) => {
      const a = this.project(start), b = this.project(end);
      return { depth: (a.depth + b.depth) / 2, paint: () => this.line(a, b, 1.25, this.edgeColor) };
    });
  }

  bondItems() {
    const { atoms, bonds } = this.scene;
    const items = [];
    for (const [i, j] of bonds) {
      const a = atoms[i], b = atoms[j];
      const along = sub(b.position, a.position);
      const length = norm(along);
      const from = (BALL * radiusOf(a.symbol) * 0.92) / length;
      const to = 1 - (BALL * radiusOf(b.symbol) * 0.92) / length;
      const middle = (from + to) / 2;
      for (const [atom, s, e] of [[a, from, middle], [b, middle, to]]) {
        const p = this.project(add(a.position, scale(along, s)));
        const q = this.project(add(a.position, scale(along, e)));
        const depth = (p.depth + q.depth) / 2;
        items.push({ depth, paint: () => this.stick(p, q, atom.symbol, this.fog(depth)) });
      }
    }
    return items;
  }

  stick(p, q, symbol, level) {
    const rgb = this.faded(DATA.elements[symbol].color, level);
    const width = 0.2 * (p.size + q.size) / 2;
    this.line(p, q, width, css(mix(rgb, [0, 0, 0], 0.38)));
    this.line(p, q, width * 0.72, css(rgb));
    this.line(p, q, width * 0.26, css(mix(rgb, [255, 255, 255], 0.45)));
  }

  line(p, q, width, color) {
    const c = this.context;
    c.strokeStyle = color;
    c.lineWidth = width;
    c.lineCap = "round";
    c.beginPath();
    c.moveTo(p.x, p.y);
    c.lineTo(q.x, q.y);
    c.stroke();
  }

  atomItems() {
    this.spots = [];
    return this.scene.atoms.map((atom) => {
      const p = this.project(atom.position);
      const r = BALL * radiusOf(atom.symbol) * p.size;
      this.spots.push({ atom, x: p.x, y: p.y, r, depth: p.depth });
      return { depth: p.depth, paint: () => this.context.drawImage(this.sprite(atom.symbol, this.fog(p.depth)), p.x - r * 1.06, p.y - r * 1.06, 2.12 * r, 2.12 * r) };
    });
  }

  /** A shaded ball, drawn once per element and fog level. */
  sprite(symbol, level) {
    const key = `${symbol}${level}${this.background}`;
    if (this.sprites.has(key)) return this.sprites.get(key);
    const size = 160, r = size / 2.12, m = size / 2;
    const canvas = element("canvas", { width: size, height: size });
    const c = canvas.getContext("2d");
    const rgb = this.faded(DATA.elements[symbol].color, level);
    const shade = c.createRadialGradient(m - 0.34 * r, m - 0.4 * r, 0.04 * r, m - 0.1 * r, m - 0.12 * r, 1.12 * r);
    shade.addColorStop(0, css(mix(rgb, [255, 255, 255], 0.82)));
    shade.addColorStop(0.22, css(mix(rgb, [255, 255, 255], 0.28)));
    shade.addColorStop(0.6, css(rgb));
    shade.addColorStop(1, css(mix(rgb, [10, 14, 24], 0.52)));
    c.fillStyle = shade;
    c.beginPath();
    c.arc(m, m, r, 0, 2 * Math.PI);
    c.fill();
    c.strokeStyle = css(mix(rgb, [10, 14, 24], 0.6), 0.55);
    c.lineWidth = 2.5;
    c.stroke();
    this.sprites.set(key, canvas);
    return canvas;
  }

  polyhedronItems() {
    const items = [];
    for (const p of this.scene.polyhedra) {
      const rgb = DATA.elements[p.symbol].color;
      for (const face of p.faces) {
        const corners = face.corners.map((i) => this.project(p.points[i]));
        const normal = rowTimes(face.normal, this.rotation);
        const light = 0.5 + 0.5 * dot(normal, unit([-0.4, 0.55, 0.75]));
        const fill = css(mix(mix(rgb, [0, 0, 0], 0.25), [255, 255, 255], 0.45 * light), 0.42);
        const depth = (corners[0].depth + corners[1].depth + corners[2].depth) / 3;
        items.push({ depth, paint: () => this.triangle(corners, fill, css(mix(rgb, [0, 0, 0], 0.35), 0.55)) });
      }
    }
    return items;
  }

  /** The isosurface of a field on the cell (the ELF): {grid, level}, or null for none. */
  showSurface(surface) {
    this.surface = surface;
    this.build();
  }

  surfaceItems() {
    const rgb = [248, 188, 44], light = unit([-0.4, 0.55, 0.75]);
    return this.scene.surface.map(({ corners, normal }) => {
      const points = corners.map((p) => this.project(p));
      const shade = 0.35 + 0.65 * Math.abs(dot(rowTimes(normal, this.rotation), light));
      const depth = (points[0].depth + points[1].depth + points[2].depth) / 3;
      const color = css(mix([120, 66, 0], rgb, shade), 0.62);
      return { depth, paint: () => this.facet(points, color) };
    });
  }

  facet(points, fill) {
    const c = this.context;
    c.beginPath();
    points.forEach((p, i) => (i ? c.lineTo(p.x, p.y) : c.moveTo(p.x, p.y)));
    c.closePath();
    c.fillStyle = fill;
    c.fill();
  }

  triangle(corners, fill, stroke) {
    const c = this.context;
    c.beginPath();
    corners.forEach((p, i) => (i ? c.lineTo(p.x, p.y) : c.moveTo(p.x, p.y)));
    c.closePath();
    c.fillStyle = fill;
    c.strokeStyle = stroke;
    c.lineWidth = 0.8;
    c.lineJoin = "round";
    c.fill();
    c.stroke();
  }

  paintAxes() {
    const c = this.context;
    const origin = { x: this.width - 46, y: this.height - 44 };
    const order = this.scene.lattice
      .map((v, i) => ({ v: rowTimes(unit(v), this.rotation), label: "abc"[i], color: this.palette[`axis-${"abc"[i]}`] }))
      .sort((p, q) => p.v[2] - q.v[2]);
    c.font = "600 12px ui-sans-serif, system-ui, sans-serif";
    c.textAlign = "center";
    c.textBaseline = "middle";
    for (const { v, label, color } of order) {
      this.line(origin, { x: origin.x + 24 * v[0], y: origin.y - 24 * v[1] }, 2.2, color);
      c.fillStyle = color;
      c.fillText(label, origin.x + 33 * v[0], origin.y - 33 * v[1]);
    }
  }

  rotate(dx, dy) {
    this.rotation = times(this.rotation, times(rotationY(dx), rotationX(dy)));
    this.draw();
  }

  magnify(factor) {
    this.zoom = Math.max(0.35, Math.min(6, this.zoom * factor));
    this.draw();
  }

  /** Look along a lattice vector, with another one pointing up. */
  along(axis) {
    if (axis === "reset") this.resetView();
    else {
      const i = "abc".indexOf(axis);
      const z = unit(this.scene.lattice[i]);
      const upright = this.scene.lattice[i === 2 ? 1 : 2];
      const y = unit(sub(upright, scale(z, dot(upright, z))));
      const x = cross(y, z);
      this.rotation = [0, 1, 2].map((k) => [x[k], y[k], z[k]]);
      this.pan = [0, 0];
    }
    this.draw();
  }

  startSpin() {
    const turn = () => {
      if (!this.options.spin) return;
      if (!document.hidden) this.rotate(0.006, 0);
      requestAnimationFrame(turn);
    };
    turn();
  }

  pick(x, y) {
    let best = null;
    for (const spot of this.spots || []) {
      if (Math.hypot(spot.x - x, spot.y - y) < spot.r && (!best || spot.depth > best.depth)) best = spot;
    }
    return best;
  }

  listen() {
    const pointers = new Map();
    let spread = null;
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (e) => {
      canvas.setPointerCapture(e.pointerId);
      pointers.set(e.pointerId, [e.offsetX, e.offsetY]);
      spread = null;
      this.hint(null);
    });
    canvas.addEventListener("pointermove", (e) => {
      const old = pointers.get(e.pointerId);
      if (!old) return this.hint(e.pointerType === "mouse" ? this.pick(e.offsetX, e.offsetY) : null);
      const dx = e.offsetX - old[0], dy = e.offsetY - old[1];
      pointers.set(e.pointerId, [e.offsetX, e.offsetY]);
      if (pointers.size === 1) {
        if (e.shiftKey) {
          this.pan = [this.pan[0] + dx, this.pan[1] + dy];
          return this.draw();
        }
        return this.rotate(dx * 0.0095, dy * 0.0095);
      }
      const [p, q] = [...pointers.values()];
      const now = Math.hypot(p[0] - q[0], p[1] - q[1]);
      if (spread) this.magnify(now / spread);
      spread = now;
      this.pan = [this.pan[0] + dx / 2, this.pan[1] + dy / 2];
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (e) => { pointers.delete(e.pointerId); spread = null; });
    canvas.addEventListener("pointerleave", () => this.hint(null));
    canvas.addEventListener("wheel", (e) => { e.preventDefault(); this.magnify(Math.exp(-e.deltaY * 0.0012)); }, { passive: false });
    canvas.addEventListener("dblclick", () => { this.resetView(); this.draw(); });
    canvas.addEventListener("keydown", (e) => {
      const step = 0.12;
      const keys = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (keys[e.key]) this.rotate(...keys[e.key]);
      else if (e.key === "+" || e.key === "=") this.magnify(1.12);
      else if (e.key === "-") this.magnify(1 / 1.12);
      else if (e.key === "0") { this.resetView(); this.draw(); }
      else return;
      e.preventDefault();
    });
  }

  hint(spot) {
    const tip = $("atom-tip");
    tip.hidden = !spot;
    if (!spot) return;
    const f = crystalOf(this.candidate).frac[spot.atom.source];
    tip.innerHTML = `<b>${spot.atom.symbol}</b> <span>site ${spot.atom.source + 1}</span> ${f.map((x) => x.toFixed(3)).join(", ")}`;
    tip.style.left = `${Math.min(spot.x + 12, this.width - 170)}px`;
    tip.style.top = `${Math.max(spot.y - 34, 4)}px`;
  }
}

const rotationX = (t) => [[1, 0, 0], [0, Math.cos(t), -Math.sin(t)], [0, Math.sin(t), Math.cos(t)]];
const rotationY = (t) => [[Math.cos(t), 0, -Math.sin(t)], [0, 1, 0], [Math.sin(t), 0, Math.cos(t)]];
const viewMatrix = (yaw, pitch) => times([[1, 0, 0], [0, 0, -1], [0, 1, 0]], times(rotationY(yaw), rotationX(pitch)));

/** Rotation (applied from the right) that puts a along x and b into the xy plane, right-handed. */
function standardFrame(lattice) {
  const x = unit(lattice[0]);
  let z = cross(lattice[0], lattice[1]);
  if (det3(lattice) < 0) z = scale(z, -1);
  z = unit(z);
  const y = cross(z, x);
  return [0, 1, 2].map((k) => [x[k], y[k], z[k]]);
}

/** The twelve edges of the cell in short pieces (so that they sort by depth), without those inside an atom. */
function cellEdges(lattice, atoms) {
  const out = [];
  const pieces = 24;
  for (let axis = 0; axis < 3; axis++) for (const u of [0, 1]) for (const v of [0, 1]) {
    const start = add(scale(lattice[(axis + 1) % 3], u), scale(lattice[(axis + 2) % 3], v));
    for (let i = 0; i < pieces; i++) {
      const [from, middle, to] = [0, 0.5, 1].map((t) => add(start, scale(lattice[axis], (i + t) / pieces)));
      if (!atoms.some((a) => norm(sub(a.position, middle)) < BALL * radiusOf(a.symbol))) out.push([from, to]);
    }
  }
  return out;
}

/** Add the ligands of polyhedra that lie outside the cell, once each. */
function completeLigands(atoms, polyhedra) {
  for (const p of polyhedra) p.points.forEach((point, i) => {
    if (!atoms.some((a) => norm(sub(a.position, point)) < 0.05)) atoms.push({ position: point, frac: [0, 0, 0], symbol: p.symbols[i], source: 0, image: 1 });
  });
}

function parseColor(text) {
  const hex = text.replace("#", "");
  return [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
}
const mix = (a, b, t) => a.map((v, i) => Math.round(v + (b[i] - v) * t));
const css = (rgb, alpha = 1) => `rgba(${rgb[0]},${rgb[1]},${rgb[2]},${alpha})`;
