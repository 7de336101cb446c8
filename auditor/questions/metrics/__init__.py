"""How well does the whole set localize, and what does it owe to its backgrounds? (Tables 1 to 3)"""
