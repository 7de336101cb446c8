"""Cells that are alike: retrieval over a dataset, correspondence between two images."""

from auditor.search.match import match
from auditor.search.similar import similar, similar_to_vector

__all__ = ["match", "similar", "similar_to_vector"]
