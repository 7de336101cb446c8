"""Does Delta hold under other fills, and is it more than a placebo gives? (A.6)"""
