"""Data sets: bundled with our dependencies, synthetic, and the user's own files."""

from __future__ import annotations

from skmatgnn.datasets._bundled import load_formation_energies, load_transport
from skmatgnn.datasets._capacity import theoretical_capacity
from skmatgnn.datasets._id_prop import load_id_prop
from skmatgnn.datasets._prototypes import load_prototypes
from skmatgnn.datasets._readers import read_electrodes, read_formulas
from skmatgnn.datasets._structure_tables import read_structures
from skmatgnn.datasets._synthetic import make_crystals

__all__ = [
    "load_formation_energies",
    "load_id_prop",
    "load_prototypes",
    "load_transport",
    "make_crystals",
    "read_electrodes",
    "read_formulas",
    "read_structures",
    "theoretical_capacity",
]
