"""Where else is this region?"""
