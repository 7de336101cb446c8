"""Which contexts fire a class?"""
