"""Backbones, heads and their certificates: from images to grids of features and class scores."""
