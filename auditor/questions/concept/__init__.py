"""Where else is what a few cells, boxes or crops show? (section 6.2)"""
