"""What is every cell of an image taken for? (Figure 0)"""
