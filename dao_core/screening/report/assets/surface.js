// Fields on a periodic grid: values between the points, isosurfaces by marching tetrahedra, planes through the cell.
const SURFACE_STEP = 0.34; // angstrom between two points of the grid that the surface is made on

/** A grid as it stands in the data (a byte a point, 0 to 255 for 0 to 1). */
function fieldOf(elf) {
  const bytes = Uint8Array.from(atob(elf.grid), (c) => c.charCodeAt(0));
  return { values: bytes, shape: elf.shape };
}

/** The value at a fractional position, linear between the points of the grid. */
function fieldAt(field, f) {
  const { values, shape } = field;
  const low = [0, 0, 0], high = [0, 0, 0], t = [0, 0, 0];
  for (let k = 0; k < 3; k++) {
    const g = (f[k] - Math.floor(f[k])) * shape[k];
    low[k] = Math.floor(g) % shape[k];
    high[k] = (low[k] + 1) % shape[k];
    t[k] = g - Math.floor(g);
  }
  let sum = 0;
  for (let corner = 0; corner < 8; corner++) {
    const i = corner & 1 ? high[0] : low[0], j = corner & 2 ? high[1] : low[1], k = corner & 4 ? high[2] : low[2];
    const weight = (corner & 1 ? t[0] : 1 - t[0]) * (corner & 2 ? t[1] : 1 - t[1]) * (corner & 4 ? t[2] : 1 - t[2]);
    sum += weight * values[(i * shape[1] + j) * shape[2] + k];
  }
  return sum / 255;
}

// six tetrahedra that fill a cube and share its long diagonal; corners are numbered by their bits x, y, z
const TETRAHEDRA = [[0, 1, 3, 7], [0, 3, 2, 7], [0, 2, 6, 7], [0, 6, 4, 7], [0, 4, 5, 7], [0, 5, 1, 7]];

/** Triangles {corners, normal} (Cartesian) where a field crosses a level, in the cell `matrix . lattice of the field`. */
function isosurface(field, matrix, lattice, level) {
  const n = lattice.map((v) => Math.max(8, Math.min(28, Math.round(norm(v) / SURFACE_STEP))));
  const size = n.map((x) => x + 1);
  const values = new Float32Array(size[0] * size[1] * size[2]);
  const at = (i, j, k) => (i * size[1] + j) * size[2] + k;
  for (let i = 0; i < size[0]; i++) for (let j = 0; j < size[1]; j++) for (let k = 0; k < size[2]; k++) values[at(i, j, k)] = fieldAt(field, rowTimes([i / n[0], j / n[1], k / n[2]], matrix));
  const triangles = [];
  const corner = (i, j, k, b) => [i + (b & 1), j + ((b >> 1) & 1), k + ((b >> 2) & 1)];
  for (let i = 0; i < n[0]; i++) for (let j = 0; j < n[1]; j++) for (let k = 0; k < n[2]; k++) {
    let above = 0;
    for (let b = 0; b < 8; b++) if (values[at(...corner(i, j, k, b))] > level) above++;
    if (!above || above === 8) continue;
    for (const tetrahedron of TETRAHEDRA) {
      const points = tetrahedron.map((b) => corner(i, j, k, b));
      cut(points, points.map((p) => values[at(...p)]), level, (p) => rowTimes([p[0] / n[0], p[1] / n[1], p[2] / n[2]], lattice), triangles);
    }
  }
  return triangles;
}

/** The one or two triangles of a level inside a tetrahedron. */
function cut(points, values, level, place, out) {
  const inside = [], outside = [];
  values.forEach((v, i) => (v > level ? inside : outside).push(i));
  if (!inside.length || !outside.length) return;
  const between = (a, b) => {
    const t = (level - values[a]) / (values[b] - values[a]);
    return place(points[a].map((x, k) => x + t * (points[b][k] - x)));
  };
  const push = (a, b, c) => {
    const normal = cross(sub(b, a), sub(c, a));
    if (norm(normal) > 1e-9) out.push({ corners: [a, b, c], normal: unit(normal) });
  };
  if (inside.length === 2) {
    const [a, b] = inside, [c, d] = outside;
    const quad = [between(a, c), between(a, d), between(b, d), between(b, c)];
    push(quad[0], quad[1], quad[2]);
    push(quad[0], quad[2], quad[3]);
  } else {
    const [lone, rest] = inside.length === 1 ? [inside[0], outside] : [outside[0], inside];
    push(...rest.map((other) => between(lone, other)));
  }
}

const HEAT = [[24, 28, 66], [49, 83, 140], [33, 145, 140], [120, 205, 88], [253, 231, 37]];
function heat(t) {
  const x = Math.max(0, Math.min(0.9999, t)) * (HEAT.length - 1);
  return mix(HEAT[Math.floor(x)], HEAT[Math.floor(x) + 1], x - Math.floor(x));
}

/** Paint the plane of a cell at a height along one axis, with the atoms that lie near it. */
function paintSlice(canvas, field, crystal, matrix, axis, height) {
  const [u, v] = [crystal.lattice[(axis + 1) % 3], crystal.lattice[(axis + 2) % 3]];
  const x = unit(u), along = dot(v, x), up = norm(sub(v, scale(x, along)));
  const left = Math.min(0, along), width = norm(u) + Math.abs(along);
  const pixels = 300 / Math.max(width, up);
  canvas.width = Math.round(width * pixels);
  canvas.height = Math.round(up * pixels);
  const c = canvas.getContext("2d");
  const image = c.createImageData(canvas.width, canvas.height);
  const g = [0, 0, 0];
  for (let row = 0; row < canvas.height; row++) for (let column = 0; column < canvas.width; column++) {
    const t = (canvas.height - row) / pixels / up;
    const s = (column / pixels + left - t * along) / norm(u);
    if (s < 0 || s > 1 || t < 0 || t > 1) continue;
    g[axis] = height; g[(axis + 1) % 3] = s; g[(axis + 2) % 3] = t;
    image.data.set([...heat(fieldAt(field, rowTimes(g, matrix))), 255], 4 * (row * canvas.width + column));
  }
  c.putImageData(image, 0, 0);
  const spacing = crystalHeight(crystal.lattice, axis);
  c.font = "600 12px ui-sans-serif, system-ui, sans-serif";
  c.textAlign = "center";
  c.textBaseline = "middle";
  for (const atom of withFaces(crystal)) {
    if (Math.abs(atom.frac[axis] - height) * spacing > 0.35) continue;
    const s = atom.frac[(axis + 1) % 3], t = atom.frac[(axis + 2) % 3];
    const px = (s * norm(u) + t * along - left) * pixels, py = canvas.height - t * up * pixels;
    c.lineWidth = 3;
    c.strokeStyle = "rgba(0,0,0,.65)";
    c.strokeText(atom.symbol, px, py);
    c.fillStyle = "#fff";
    c.fillText(atom.symbol, px, py);
  }
}

/** Distance between the two faces of a cell that an axis crosses, angstrom. */
function crystalHeight(lattice, axis) {
  const normal = unit(cross(lattice[(axis + 1) % 3], lattice[(axis + 2) % 3]));
  return Math.abs(dot(lattice[axis], normal));
}
