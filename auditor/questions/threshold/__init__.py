"""What does keeping only confident cells cost, and what does it buy? (A.3, Figures 5 and 6)"""
