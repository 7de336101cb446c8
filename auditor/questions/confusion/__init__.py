"""Which classes are taken for which, and do the cells agree?"""
