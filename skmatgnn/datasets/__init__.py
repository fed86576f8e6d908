"""Data sets: bundled, synthetic, from the network, and the user's own files.

``load_*`` reads what our dependencies install, and ``make_*`` computes; neither uses a
network. ``fetch_*`` downloads to a folder (`get_data_home`), once, and checks what
came:

=========================  ==========================================================
`fetch_matbench`           the 13 tasks of Matbench v0.1, with their official folds
`fetch_matminer`           matminer's 45 datasets
`fetch_jarvis`             JARVIS-DFT and others that JARVIS offers
`fetch_transfer_study`     the eight sets of a study of transfer learning
`fetch_electrodes`         insertion electrodes of the Materials Project, with a key
=========================  ==========================================================

``read_*`` and `load_id_prop` read the user's files.
"""

from __future__ import annotations

from skmatgnn.datasets._bundled import load_formation_energies, load_transport
from skmatgnn.datasets._capacity import theoretical_capacity
from skmatgnn.datasets._data_home import clear_data_home, get_data_home
from skmatgnn.datasets._fetch_electrodes import fetch_electrodes
from skmatgnn.datasets._fetch_jarvis import fetch_jarvis
from skmatgnn.datasets._fetch_matminer import fetch_matbench, fetch_matminer
from skmatgnn.datasets._fetch_transfer import fetch_transfer_study
from skmatgnn.datasets._id_prop import load_id_prop
from skmatgnn.datasets._prototypes import load_prototypes
from skmatgnn.datasets._readers import read_electrodes, read_formulas
from skmatgnn.datasets._structure_tables import read_structures
from skmatgnn.datasets._synthetic import make_crystals

__all__ = [
    "clear_data_home",
    "fetch_electrodes",
    "fetch_jarvis",
    "fetch_matbench",
    "fetch_matminer",
    "fetch_transfer_study",
    "get_data_home",
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
