"""Counting, rates, significance: what the questions about classes share (section 4.1)."""
