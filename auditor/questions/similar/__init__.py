"""Which cells of the dataset are most similar to this one?"""
