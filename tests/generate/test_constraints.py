"""Samples with a part given beforehand: the given part is kept to the last bit, and the flow treats it as known."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from dao_core.crystal import Crystal, CrystalBatch
from dao_core.generate.constraints import Constraint, ConstraintError, Rules
from dao_core.generate.flow_matching import COORD_SCALE, FlowPath, FlowSettings, base_sample
from dao_core.generate.integrate import SamplerSettings, Steering, integrate
from dao_core.generate.sampler import Generator, SampleStart
from dao_core.models.geometry import wrap_centered
from dao_core.models.heads import Outputs, masked_mean
from dao_core.models.lattice_base import LatticeBase
from dao_core.screening.symmetry import spacegroup_number
from tests.helpers.networks import random_crystals
from tests.helpers.structures import perovskite, rutile

SKEWED = np.array([[4.4, 0.0, 0.0], [1.3, 4.4, 0.0], [4.4, 0.1, 4.5]])  # far from reduced, on purpose
FRAMEWORK = Crystal(SKEWED, np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]), np.array([22] * 4))
TIH2 = {"H": 8, "Ti": 4}


@lru_cache(maxsize=2)
def generator(method: str = "ode") -> Generator:
    return Generator.load(settings=SamplerSettings(steps=6, method=method))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["ode", "sde"])
def test_a_framework_and_its_lattice_are_kept_to_the_last_bit(method: str) -> None:
    proposals = generator(method).propose(TIH2, 3, seed=0, constraint=Constraint(framework=FRAMEWORK))
    crystals = [p.crystal for p in proposals if p.crystal is not None]
    assert len(crystals) == 3
    for crystal in crystals:
        assert crystal.lattice.tobytes() == FRAMEWORK.lattice.tobytes()
        assert crystal.frac_coords[:4].tobytes() == FRAMEWORK.frac_coords.tobytes()
        assert crystal.atomic_numbers.tolist() == [22] * 4 + [1] * 8
    assert not np.allclose(crystals[0].frac_coords[4:], crystals[1].frac_coords[4:])


def test_the_network_sees_the_kept_atoms_where_they_belong_at_the_end() -> None:
    """Hydrogen is placed around the titanium atoms that are there: nearer than a blind choice, farther than a clash."""
    proposals = generator().propose(TIH2, 6, seed=1, constraint=Constraint(framework=FRAMEWORK))
    shortest = []
    for p in proposals:
        assert p.crystal is not None
        distances = p.crystal.to_ase().get_all_distances(mic=True)[:4, 4:]
        shortest.append(distances.min(axis=0).mean())
    blind = np.random.default_rng(0).random((400, 3))
    away = blind[:, None] - FRAMEWORK.frac_coords[None]
    away -= np.round(away)
    random_distance = np.linalg.norm(away @ SKEWED, axis=-1).min(1)
    assert np.std(shortest) < np.std(random_distance)
    assert min(shortest) > 1.2


def test_only_the_lattice_is_kept() -> None:
    cell = np.diag([3.9, 3.9, 4.2])
    for p in generator().propose({"Ba": 1, "Ti": 1, "O": 3}, 2, seed=0, constraint=Constraint(lattice=cell)):
        assert p.crystal is not None
        assert p.crystal.lattice.tobytes() == cell.tobytes()


@pytest.mark.parametrize(
    ("number", "composition"),
    [(225, {"Na": 1, "Cl": 1}), (221, {"Sr": 1, "Ti": 1, "O": 3}), (227, {"Si": 2}), (194, {"Mg": 2, "O": 2})],
)
def test_every_sample_has_the_operations_of_the_space_group(number: int, composition: dict[str, int]) -> None:
    from dao_core.generate.symmetry.wyckoff_sites import operations

    rotations, translations = operations(number)
    for p in generator().propose(composition, 3, seed=0, constraint=Constraint(spacegroup=number)):
        assert p.crystal is not None, p.reason
        metric = p.crystal.lattice @ p.crystal.lattice.T
        for rotation, translation in zip(rotations, translations, strict=True):
            np.testing.assert_allclose(rotation.T @ metric @ rotation, metric, rtol=1e-9, atol=1e-9)
            images = p.crystal.frac_coords @ rotation.T + translation
            away = images[:, None] - p.crystal.frac_coords[None]
            away -= np.round(away)
            partner = np.abs(away).max(-1).argmin(1)
            assert np.abs(away).max(-1).min(1).max() < 1e-9
            assert (p.crystal.atomic_numbers[partner] == p.crystal.atomic_numbers).all()
        assert spacegroup_number(p.crystal) >= number or number == 194


def test_a_template_s_symmetry_is_kept_unless_it_is_not_to_be() -> None:
    templates = [("rutile", rutile("Sn")), ("perovskite", perovskite()), ("none", random_crystals(3, (5,))[0])]
    starts = [SampleStart(t.atomic_numbers, 7 + i, t, name) for i, (name, t) in enumerate(templates)]
    kept = [p.crystal for p in generator().sample(starts)]
    loose = Generator.load(settings=SamplerSettings(seeded_symprec=0.0)).sample(starts)
    for (_, template), crystal, other in zip(templates, kept, loose, strict=True):
        assert crystal is not None
        assert other.crystal is not None
        assert spacegroup_number(crystal, 1e-4) == spacegroup_number(template)
        assert spacegroup_number(other.crystal, 1e-4) == 1
        assert abs(crystal.volume / template.volume - 1) > 1e-4  # it did move


def test_a_sample_does_not_depend_on_its_company() -> None:
    constraint = Constraint(framework=FRAMEWORK)
    alone = generator().propose(TIH2, 1, seed=5, constraint=constraint)[0].crystal
    among = generator().propose(TIH2, 3, seed=5, constraint=constraint)[0].crystal
    assert alone is not None
    assert among is not None
    np.testing.assert_allclose(alone.frac_coords, among.frac_coords, atol=1e-4)


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(ConstraintError, match="the framework has 4 Ti, the cell 2"):
        generator().propose({"Ti": 2, "H": 4}, 1, seed=0, constraint=Constraint(framework=FRAMEWORK))
    with pytest.raises(ConstraintError, match="from 1 to 230"):
        Constraint(spacegroup=231)
    with pytest.raises(ConstraintError, match="give one of"):
        Constraint(spacegroup=1, lattice=np.eye(3))
    refused = generator().propose({"Mn": 4, "O": 6}, 2, seed=0, constraint=Constraint(spacegroup=206))
    assert [p.crystal for p in refused] == [None, None]
    assert "no sites of space group 206" in refused[0].reason


class Blind(torch.nn.Module):
    """Knows where everything belongs, but only up to a translation of its own that changes from call to call."""

    def __init__(self, data: CrystalBatch, base: LatticeBase) -> None:
        super().__init__()
        self.data, self.base, self.calls = data, base, 0

    def forward(self, lattice, frac, numbers, t, seeded):  # noqa: ARG002
        self.calls += 1
        left = (1 - t).clamp_min(1e-6)
        delta = wrap_centered(self.data.frac_coords - frac) + 0.1 * self.calls
        delta = delta - masked_mean(delta, self.data.mask).unsqueeze(1)
        z = self.base.to_normal(lattice, numbers)
        z1 = self.base.to_normal(self.data.lattice, self.data.atomic_numbers)
        coords = delta / left.view(-1, 1, 1) / COORD_SCALE
        return Outputs(coords, lattice, (z1 - z) / left.unsqueeze(-1), lattice.new_zeros(len(t), 0), frac)


def test_free_atoms_end_in_the_frame_of_the_kept_ones() -> None:
    """The right answer up to a translation becomes the right answer: kept atoms fix the origin."""
    crystals = [c.niggli() for c in random_crystals(3, (4, 5, 6))]
    data = CrystalBatch.from_crystals(crystals, dtype=torch.float32)
    base = LatticeBase.fit(random_crystals(9, (2, 3, 4, 5, 6)))
    kept = [Constraint(framework=Crystal(c.lattice, c.frac_coords[:2], c.atomic_numbers[:2])) for c in crystals]
    rules = Rules(kept, data.atomic_numbers, base, [None] * 3)
    start = base_sample(data.atomic_numbers, torch.Generator().manual_seed(1))
    start.frac_coords, start.z = rules.start(start.frac_coords, start.z)
    # short paths, so that no geodesic folds over on the way
    start.frac_coords = data.frac_coords + 0.2 * wrap_centered(start.frac_coords - data.frac_coords)
    out = integrate(
        Blind(data, base),
        start,
        FlowPath(base, FlowSettings()),
        SamplerSettings(steps=20, anti_annealing=0.0),
        Steering(rules=rules),
    )
    assert wrap_centered(out.frac_coords - data.frac_coords)[data.mask].abs().max() < 1e-3
