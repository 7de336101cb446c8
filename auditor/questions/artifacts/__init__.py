"""Which marks follow a label, a split, a source?"""
