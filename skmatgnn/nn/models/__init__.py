"""Networks for crystal graphs and compositions."""

from skmatgnn.nn.models.alignn import ALIGNN
from skmatgnn.nn.models.cgcnn import CGCNN
from skmatgnn.nn.models.crabnet import CrabNet

__all__ = ["ALIGNN", "CGCNN", "CrabNet"]
