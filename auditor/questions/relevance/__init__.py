"""Which pixels did the score of one cell come from? (Figure 8)"""
