"""Which classes does a network see where they are not? (Tables 7 and 8)"""
