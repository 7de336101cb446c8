"""Cells that are alike: exact retrieval, the layout of a map, its clusters, the classes of what was found."""
