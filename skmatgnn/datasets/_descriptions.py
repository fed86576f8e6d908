"""Texts of ``DESCR``."""

from __future__ import annotations

__all__ = [
    "CRYSTALS",
    "ELECTRODES",
    "FORMATION_ENERGIES",
    "PROTOTYPES",
    "TRANSPORT",
]

TRANSPORT = """\
Materials Project transport table
---------------------------------

47,737 inorganic materials, 34,630 reduced formulas, ten computed properties.

Band structures of the Materials Project (GGA, GGA+U) interpolated with BoltzTraP in
the constant relaxation time approximation. Values are averages over the eigenvalues
of each tensor at 300 K and a doping of 1e18 carriers per cm^3. The suffix _p means
hole doping, _n electron doping.

sigma_p, sigma_n   electrical conductivity / relaxation time, 1e15 / (ohm m s)
S_p, S_n           Seebeck coefficient, uV / K
kappa_p, kappa_n   electronic thermal conductivity / relaxation time, 1e9 W / (m K s)
PF_p, PF_n         power factor S^2 sigma / relaxation time, 1e9 W / (m K^2 s)
m_p, m_n           conductivity effective mass, electron masses

At a relaxation time of 1e-14 s one unit of sigma is 10 S/m, of kappa 1e-5 W/(m K), of
PF 0.1 uW/(cm K^2). No value is missing. sigma, kappa, PF and m span up to sixteen
orders of magnitude: use their logarithm. The table does not state the units; they
follow from m sigma = n e^2 / m_e (28.18 in these units, met by isotropic crystals),
the Wiedemann-Franz ratio of the metals, and PF = S^2 sigma.

The same formula occurs for several crystal structures: split by `groups` (reduced
formula). Metric: MAE, of log10 where logarithms are used.

Source: matminer, utils/data_files/mp_transport (BSD-type licence of LBNL).
Citation: F. Ricci et al., Scientific Data 4, 170085 (2017),
doi:10.1038/sdata.2017.85; data doi:10.5061/dryad.gn001 (Dryad, CC0).
"""

FORMATION_ENERGIES = """\
Experimental formation energies
-------------------------------

2,135 solid compounds; standard enthalpy of formation at 298 K in eV/atom.

The file gives eV per formula unit; both the energy and its uncertainty are divided
here by the number of atoms of the formula. 301 compounds have no reported uncertainty
(NaN), 555 no matching Materials Project entry (None). Each reduced formula occurs
once; were one repeated, the row of the smallest uncertainty would be kept.

Split by `groups` (chemical system, 1,319 of them): compounds such as FeS and
Fe877S1000 are nearly the same. Metric: MAE.

Source: pymatgen, exp_compounds.json.gz (MIT licence).
Citation: A. Wang et al., Scientific Reports 11, 15496 (2021),
doi:10.1038/s41598-021-94550-5. Measurements compiled there from G. Kim et al.,
Scientific Data 4, 170162 (2017), doi:10.1038/sdata.2017.162; Kubaschewski et al.,
Materials Thermochemistry (1993); the NIST-JANAF tables and others.
"""

PROTOTYPES = """\
AFLOW prototype crystals
------------------------

{kept} of the {total} crystal structures of the AFLOW Library of Crystallographic
Prototypes, part 1, as stored by pymatgen; left out is what is disordered or has atoms
closer than 0.1 A. The targets follow from the geometry alone:

volume_per_atom    cell volume / number of atoms, A^3 (regression)
packing_fraction   share of space filled by equal spheres on all atoms, as large as
                   the shortest interatomic distance allows (regression; fcc 0.7405)
crystal_system     by space group, found at a tolerance of 0.01 A (seven classes)

Structures keep the cell of the library. `groups` is the chemical system. The frame
adds the AFLOW label, Pearson symbol, Strukturbericht symbol, mineral name and space
group number. Metrics: MAE; balanced accuracy for crystal_system.

Source: pymatgen, aflow_prototypes.json (MIT licence).
Citation: M. J. Mehl et al., Computational Materials Science 136, S1-S828 (2017),
doi:10.1016/j.commatsci.2017.01.017.
"""

CRYSTALS = """\
Synthetic crystals
------------------

Prototype lattices filled with random elements (the more electropositive on the cation
sites), scaled so that spheres of the atomic radii touch, then strained and rattled.

target: the mean over the atoms i of the square root of rho_i, where rho_i is the sum
        over the neighbours j of i within R = 6 A of
        10 (1 + (x_i - x_j)^2) exp(-r_ij / 1 A) (1 + cos(pi r_ij / R)) / 2
with Pauling's electronegativities x, plus Gaussian noise if asked for. It depends on
composition and geometry, and does not change with the choice of the cell.

`groups` is the prototype.
"""

ELECTRODES = """\
Battery electrodes
------------------

One row per charge/discharge pair of an insertion electrode. Input: the formula of the
discharged electrode. Targets, referred to the discharged electrode:

average_voltage    V against the metal of the working ion
capacity_grav      mAh / g
capacity_vol       mAh / cm^3

`groups` is battery_id: rows of one battery share host and working ion, so that a
split has to keep them together. Metric: MAE, or MAE divided by that of the mean.
"""
