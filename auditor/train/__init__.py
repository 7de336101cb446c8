"""Training classifiers from random weights (paper 4.4, A.2, A.4): `audit train`."""
