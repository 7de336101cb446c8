"""Reads data sets in place: one file per kind of annotation, decoding, foreground masks, occlusion."""
