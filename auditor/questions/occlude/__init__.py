"""What do the cells of one image show once its object is covered, or painted out? (Figures 2 and 12)"""
