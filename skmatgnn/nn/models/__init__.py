"""Networks for crystal graphs, compositions and tables of features."""

from skmatgnn.nn.models.alignn import ALIGNN
from skmatgnn.nn.models.cgcnn import CGCNN
from skmatgnn.nn.models.crabnet import CrabNet
from skmatgnn.nn.models.modnet import MODNet
from skmatgnn.nn.models.multi_property import MultiPropertyALIGNN, MultiPropertyCGCNN

__all__ = [
    "ALIGNN",
    "CGCNN",
    "CrabNet",
    "MODNet",
    "MultiPropertyALIGNN",
    "MultiPropertyCGCNN",
]
