// Structures as files, made in the page so that downloads work from a file system.
function labels(species) {
  const seen = {};
  return species.map((s) => `${s}${(seen[s] = (seen[s] || 0) + 1)}`);
}

function cifText(candidate) {
  const crystal = crystalOf(candidate);
  const { lengths, angles, volume } = cellParameters(crystal.lattice);
  const names = labels(crystal.species);
  const counts = {};
  crystal.species.forEach((s) => (counts[s] = (counts[s] || 0) + 1));
  const sum = Object.keys(counts).sort().map((s) => `${s}${counts[s]}`).join(" ");
  const lines = [
    `# DAO candidate ${candidate.id}, rank ${candidate.rank}`,
    candidate.sg ? `# space group ${candidate.sg.symbol} (${candidate.sg.number}); listed in P1` : "# listed in P1",
    known(candidate.energy) ? `# energy ${candidate.energy} eV/atom (${candidate.energy_identity || "potential not named"})` : "# energy unknown",
    `data_${candidate.formula.replace(/[^A-Za-z0-9]/g, "")}`,
    "_symmetry_space_group_name_H-M 'P 1'",
    "_symmetry_Int_Tables_number 1",
    ...["a", "b", "c"].map((n, i) => `_cell_length_${n} ${lengths[i].toFixed(8)}`),
    ...["alpha", "beta", "gamma"].map((n, i) => `_cell_angle_${n} ${angles[i].toFixed(8)}`),
    `_cell_volume ${volume.toFixed(6)}`,
    `_chemical_formula_sum '${sum}'`,
    "loop_", "_symmetry_equiv_pos_site_id", "_symmetry_equiv_pos_as_xyz", "1 'x, y, z'",
    "loop_", "_atom_site_label", "_atom_site_type_symbol", "_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z", "_atom_site_occupancy",
    ...crystal.frac.map((f, i) => `${names[i]} ${crystal.species[i]} ${f.map((x) => x.toFixed(8)).join(" ")} 1.0`),
  ];
  return lines.join("\n") + "\n";
}

function poscarText(candidate) {
  const crystal = crystalOf(candidate);
  const order = [...new Set(crystal.species)];
  const row = (v) => v.map((x) => x.toFixed(8).padStart(14)).join(" ");
  const lines = [`${candidate.formula} ${candidate.id}`, "1.0", ...crystal.lattice.map(row), order.join(" ")];
  lines.push(order.map((s) => crystal.species.filter((t) => t === s).length).join(" "), "Direct");
  for (const s of order) crystal.frac.forEach((f, i) => crystal.species[i] === s && lines.push(`${row(f)} ${s}`));
  return lines.join("\n") + "\n";
}

const fileStem = (c) => (c.file || `${String(c.rank).padStart(3, "0")}_${c.formula}_${c.sg ? c.sg.number : 0}.cif`).replace(/\.cif$/, "");
