"""Which cells flip when an image is attacked, step by step? (Figure 11)"""
