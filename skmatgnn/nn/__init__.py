"""Networks in plain torch: nothing here knows scikit-learn, skorch or pymatgen."""

from skmatgnn.nn._tokens import TokenBatch
from skmatgnn.nn.models import (
    ALIGNN,
    CGCNN,
    CrabNet,
    MODNet,
    MultiPropertyALIGNN,
    MultiPropertyCGCNN,
)

__all__ = [
    "ALIGNN",
    "CGCNN",
    "CrabNet",
    "MODNet",
    "MultiPropertyALIGNN",
    "MultiPropertyCGCNN",
    "TokenBatch",
]
