"""Where does an image score for a class? (Figure 7, A.5)"""
