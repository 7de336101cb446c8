"""Questions that need the model again."""
