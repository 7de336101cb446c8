"""Cells that are alike: retrieval, correspondence, the map of a dataset, concepts."""

from auditor.search.concept import Examples, concept, read_examples
from auditor.search.map import cell_map
from auditor.search.match import match
from auditor.search.similar import similar, similar_to_vector

__all__ = [
    "Examples",
    "cell_map",
    "concept",
    "match",
    "read_examples",
    "similar",
    "similar_to_vector",
]
