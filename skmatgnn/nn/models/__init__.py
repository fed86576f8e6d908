"""Networks for crystal graphs."""

from skmatgnn.nn.models.alignn import ALIGNN
from skmatgnn.nn.models.cgcnn import CGCNN

__all__ = ["ALIGNN", "CGCNN"]
