"""Which cells of two images make them alike? (Figure 9, A.8)"""
